"""How formulas are written: as Unicode text, LaTeX or MathML. A pen per notation, with the same few strokes each."""

from __future__ import annotations

from html import escape
from typing import ClassVar

from .arithmetic import Fraction
from .tree import MATRIX, SUPERSCRIPT, Formula


class Pen:
    """The strokes; each gives the text of what it drew."""

    flat_fractions: ClassVar[bool] = False

    def inside(self, formula: Formula, least: int) -> str:
        """A part that must hold together at least so tightly, bracketed if it does not by itself."""
        binding = formula.binding
        if isinstance(formula, Fraction) and not self.flat_fractions:
            binding = SUPERSCRIPT
        drawn = formula.draw(self)
        return drawn if binding >= least else self.fenced("(", drawn, ")")

    def name(self, text: str, subscript: str) -> str:
        raise NotImplementedError

    def number(self, text: str) -> str:
        raise NotImplementedError

    def operator(self, sign: str, prefix: bool = False) -> str:
        raise NotImplementedError

    def function(self, name: str, subscript: str, primes: int) -> str:
        raise NotImplementedError

    def large(self, sign: str, index: str) -> str:
        raise NotImplementedError

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def fenced(self, left: str, inner: str, right: str) -> str:
        raise NotImplementedError

    def superscript(self, base: str, above: str, compound: bool) -> str:
        raise NotImplementedError

    def fraction(self, top: Formula, bottom: Formula) -> str:
        raise NotImplementedError

    def space(self) -> str:
        return " "

    def comma(self) -> str:
        return ", "


_INDICES = 4  # letters that are taken for indices, not for a word
_BELOW = dict(zip("0123456789aehijklmnoprstuvx+−", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ₊₋", strict=True))
_ABOVE = dict(zip("0123456789T−", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ⁻", strict=True))


def lowered(text: str, indices: int = 1) -> str:
    """A subscript in Unicode: behind an underscore if it is a word, of more than `indices` letters, or has no lowered form, and in braces
    unless it is a path."""
    if all(letter in _BELOW for letter in text) and not (text.isalpha() and len(text) > indices):
        return "".join(_BELOW[letter] for letter in text)
    return f"_{text}" if all(letter.isalnum() or letter in "._" for letter in text) else f"_{{{text}}}"


class UnicodePen(Pen):
    """One line of text."""

    flat_fractions: ClassVar[bool] = True

    def name(self, text: str, subscript: str) -> str:
        return text + lowered(subscript)

    def number(self, text: str) -> str:
        return text

    def operator(self, sign: str, prefix: bool = False) -> str:
        return sign if prefix else f" {sign} "

    def function(self, name: str, subscript: str, primes: int) -> str:
        return name + "′" * primes + lowered(subscript)

    def large(self, sign: str, index: str) -> str:
        return sign + lowered(index, _INDICES)

    def fenced(self, left: str, inner: str, right: str) -> str:
        return f"{left}{inner}{right}"

    def superscript(self, base: str, above: str, compound: bool) -> str:
        if all(letter in _ABOVE for letter in above):
            return base + "".join(_ABOVE[letter] for letter in above)
        return f"{base}^({above})" if compound else f"{base}^{above}"

    def fraction(self, top: Formula, bottom: Formula) -> str:
        return f"{self.inside(top, MATRIX)}/{self.inside(bottom, SUPERSCRIPT)}"


_LATEX = {
    "⊙": r"\odot ", "·": r"\cdot ", "−": "-", "≠": r"\ne ", "≤": r"\le ", "≥": r"\ge ", "Σ": r"\sum", "Π": r"\prod", "σ": r"\sigma", "δ": r"\delta",
    "ℓ": r"\ell ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "…": r"\dots ", "ι": r"\iota", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "√": r"\sqrt", "∂": r"\partial ", "∇": r"\nabla ",
}  # fmt: skip
_ESCAPES = {"\\": r"\backslash ", "_": r"\_", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "^": r"\hat{}", "~": r"\sim "}


class LatexPen(Pen):
    """LaTeX for math mode."""

    def word(self, text: str) -> str:
        if text in _LATEX:
            return _LATEX[text]
        escaped = "".join(_ESCAPES.get(letter, _LATEX.get(letter, letter)) for letter in text)
        return escaped if len(text) == 1 else rf"\mathrm{{{escaped}}}"

    def name(self, text: str, subscript: str) -> str:
        return self.word(text) + (f"_{{{self.number(subscript)}}}" if subscript else "")

    def number(self, text: str) -> str:
        return text if text.isalnum() and len(text) < 2 and text not in _LATEX else "".join(_ESCAPES.get(letter, _LATEX.get(letter, letter)) for letter in text)

    def operator(self, sign: str, prefix: bool = False) -> str:
        return _LATEX.get(sign, sign) if prefix else f" {_LATEX.get(sign, sign).strip()} "

    def function(self, name: str, subscript: str, primes: int) -> str:
        return self.word(name) + "'" * primes + (f"_{{{self.number(subscript)}}}" if subscript else "")

    def large(self, sign: str, index: str) -> str:
        drawn = _LATEX.get(sign) or rf"\operatorname*{{{sign}}}"
        return drawn + (f"_{{{index}}}" if index else "")

    def fenced(self, left: str, inner: str, right: str) -> str:
        return rf"\left{_LATEX.get(left, left)}{inner}\right{_LATEX.get(right, right)}"

    def superscript(self, base: str, above: str, compound: bool) -> str:
        return f"{base}^{{{above}}}" if above != "T" else rf"{base}^{{\top}}"

    def fraction(self, top: Formula, bottom: Formula) -> str:
        return rf"\frac{{{top.draw(self)}}}{{{bottom.draw(self)}}}"

    def space(self) -> str:
        return r"\,"


class MathmlPen(Pen):
    """The content of a MathML `<math>` element; all names are escaped."""

    def name(self, text: str, subscript: str) -> str:
        base = f"<mi>{escape(text)}</mi>"
        return f"<msub>{base}<mi>{escape(subscript)}</mi></msub>" if subscript else base

    def number(self, text: str) -> str:
        return f"<mn>{escape(text)}</mn>"

    def operator(self, sign: str, prefix: bool = False) -> str:
        return f'<mo form="prefix" lspace="0" rspace="0">{escape(sign)}</mo>' if prefix else f"<mo>{escape(sign)}</mo>"

    def function(self, name: str, subscript: str, primes: int) -> str:
        base, above = f"<mi>{escape(name)}</mi>", f"<mo>{'′' * primes}</mo>"
        if primes and subscript:
            return f"<msubsup>{base}<mi>{escape(subscript)}</mi>{above}</msubsup>"
        return f"<msup>{base}{above}</msup>" if primes else self.name(name, subscript)

    def large(self, sign: str, index: str) -> str:
        base = f"<mo>{escape(sign)}</mo>"
        return f"<munder>{base}<mi>{escape(index)}</mi></munder>" if index else base

    def row(self, *parts: str) -> str:
        return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"

    def fenced(self, left: str, inner: str, right: str) -> str:
        return f'<mrow><mo fence="true">{escape(left)}</mo>{inner}<mo fence="true">{escape(right)}</mo></mrow>'

    def superscript(self, base: str, above: str, compound: bool) -> str:
        return f"<msup>{base}{above}</msup>"

    def fraction(self, top: Formula, bottom: Formula) -> str:
        return f"<mfrac>{top.draw(self)}{bottom.draw(self)}</mfrac>"

    def space(self) -> str:
        return '<mspace width="0.2em"/>'

    def comma(self) -> str:
        return "<mo>,</mo>"


def latex(formula: Formula) -> str:
    """The formula in LaTeX, for math mode."""
    return formula.draw(LatexPen())


def mathml(formula: Formula) -> str:
    """A whole `<math>` element, for any browser: large, and in line with what stands beside it."""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" displaystyle="true">{formula.draw(MathmlPen())}</math>'


__all__ = ["LatexPen", "MathmlPen", "Pen", "UnicodePen", "latex", "lowered", "mathml"]

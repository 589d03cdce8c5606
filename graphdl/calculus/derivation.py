"""A derivation: the steps of a calculation as formulas, and how it is shown as text, LaTeX and HTML."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator, Sequence
from html import escape

from ..formula import Equation, Formula, Listed, Name, Number, latex, mathml
from ..ir import Node, Source, Tensor
from ..record import record

WIDTH = 100
_COLUMN = 64


@record(eq=False)
class Loop:
    """Lines that hold for every value of `index`, from `values[0]` on: of steps in time, or of layers that are alike.

    `starts` are the values before the first.
    """

    index: str
    values: tuple[str, ...]
    starts: tuple[Formula, ...] = ()

    @property
    def range(self) -> Formula:
        """ℓ = 0, 1, …, 11"""
        return Equation((Name(self.index), Listed(tuple(Number(value) for value in self.values))))

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return (self.range, *self.starts)

    def __str__(self) -> str:
        starts = ", where " + ", ".join(map(str, self.starts)) if self.starts else ""
        return f"For {self.range}{starts}:"


@record(eq=False)
class Step:
    """One line: an equation for `tensor`.

    `rule` names the rules that made it ("matmul, relu"), or the ops in a forward line; `forward` is the node it was
    derived from, or the node itself in a forward line; `source` is the line of the user's that declared it. In a `loop` it holds for
    every value of the index, and `tensor` is that of the first.
    """

    formula: Formula
    rule: str
    forward: Node
    source: Source | None
    tensor: Tensor
    loop: Loop | None = None

    @property
    def latex(self) -> str:
        return latex(self.formula)

    @property
    def note(self) -> str:
        return "  ".join(part for part in (self.rule, str(self.source or "")) if part)

    def __str__(self) -> str:
        return str(self.formula)


@record(eq=False, repr=False)
class Derivation:
    """How a tensor is calculated: `forward` lines give names to values, `steps` lead from the output to the derivative.

    For a tensor that is no derivative the steps are the forward lines. `remark` says what the formulas do not, and `whole` is the last
    step with everything put in that has a δ, where that is short and says more than the step.
    """

    tensor: Tensor
    title: Formula
    forward: tuple[Step, ...]
    steps: tuple[Step, ...]
    remark: str = ""
    whole: Formula | None = None

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int = WIDTH) -> str:
        """The derivation in Unicode, in lines of at most `width` columns where words allow it."""
        return "\n".join([*textwrap.wrap(str(self.title), width), *self._sections(width), *textwrap.wrap(self.remark, width)])

    __repr__ = __str__

    def _sections(self, width: int) -> Iterator[str]:
        for heading, steps in self._parts():
            yield ""
            yield f"{heading}:"
            for loop, inner in itertools.groupby(steps, key=lambda step: step.loop):
                indent = "  " if loop is None else "    "
                if loop is not None:
                    yield from textwrap.wrap(str(loop), width - 2, initial_indent="  ", subsequent_indent="      ", break_long_words=False)
                for step in inner:
                    yield from _lines(str(step.formula), step.note, indent, width)
        if self.whole is not None:
            yield from ("", "In one line:", *_lines(str(self.whole), "", "  ", width))

    def _parts(self) -> Sequence[tuple[str, tuple[Step, ...]]]:
        parts = (("Forward", self.forward), ("Backward, from the output", self.steps)) if self.forward else (("Steps", self.steps),)
        return [(heading, steps) for heading, steps in parts if steps]

    @property
    def latex(self) -> str:
        """All equations as one `aligned` environment, for use in display math."""
        rows = [row for _, steps in self._parts() for row in _rows(steps, _latex_loop, lambda step: step.latex.replace(" = ", " &= ", 1))]
        if self.whole is not None:
            rows.append(latex(self.whole).replace(" = ", " &= ", 1))
        body = " \\\\\n".join(rows)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"

    def _repr_html_(self) -> str:
        parts = [(heading, "".join(_rows(steps, _html_loop, _html_step))) for heading, steps in self._parts()]
        if self.whole is not None:
            parts.append(("In one line", f'<tr><td colspan="2" style="text-align:left">{mathml(self.whole)}</td></tr>'))
        rows = "".join(f'<tr><th colspan="2" style="text-align:left;padding-top:0.8em">{heading}</th></tr>{body}' for heading, body in parts)
        remark = f"<p>{escape(self.remark)}</p>" if self.remark else ""
        return f"<div>{mathml(self.title)}<table>{rows}</table>{remark}</div>"

    def _repr_latex_(self) -> str:
        return f"$${self.latex}$$"


def _rows(steps: Sequence[Step], tell_loop: Callable[[Loop], str], tell_step: Callable[[Step], str]) -> Iterator[str]:
    """A row for every step, and one before those of a loop."""
    for loop, inner in itertools.groupby(steps, key=lambda step: step.loop):
        if loop is not None:
            yield tell_loop(loop)
        yield from map(tell_step, inner)


def _latex_loop(loop: Loop) -> str:
    return r"&\text{for }" + r",\ ".join(map(latex, loop.formulas)) + ":"


def _html_loop(loop: Loop) -> str:
    return f'<tr><td colspan="2" style="text-align:left">for {", ".join(map(mathml, loop.formulas))}</td></tr>'


def _html_step(step: Step) -> str:
    indent = "" if step.loop is None else ";padding-left:2em"
    note = f'<td style="text-align:left;padding-left:2em"><code>{escape(step.note)}</code></td>'
    return f'<tr><td style="text-align:left{indent}">{mathml(step.formula)}</td>{note}</tr>'


def _lines(formula: str, note: str, indent: str, width: int) -> Iterator[str]:
    """The formula with its note in a column to the right, or below it where the formula is long."""
    wrapped = textwrap.wrap(formula, width - 2, initial_indent=indent, subsequent_indent=f"{indent}    ", break_long_words=False) or [indent]
    column = max(len(wrapped[-1]) + 2, min(_COLUMN, width - len(note)))
    yield from wrapped[:-1]
    if column + len(note) <= width:
        yield f"{wrapped[-1]:<{column}}{note}".rstrip()
        return
    yield wrapped[-1]
    yield from textwrap.wrap(note, width, initial_indent=" " * 8, subsequent_indent=" " * 8)

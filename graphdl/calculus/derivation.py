"""A derivation: the steps of a calculation as formulas, and how it is shown as text, LaTeX and HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..formula import Formula, latex, mathml
from ..ir import Node, Source, Tensor

WIDTH = 100
_COLUMN = 64


@dataclass(frozen=True, eq=False)
class Step:
    """One line: an equation for `tensor`.

    `rule` names the rules that made it ("matmul, relu"), or the ops in a forward line; `forward` is the node it was
    derived from, or the node itself in a forward line; `source` is the line of the user's that declared it.
    """

    formula: Formula
    rule: str
    forward: Node
    source: Source | None
    tensor: Tensor

    @property
    def latex(self) -> str:
        return latex(self.formula)

    @property
    def note(self) -> str:
        return "  ".join(part for part in (self.rule, str(self.source or "")) if part)

    def __str__(self) -> str:
        return str(self.formula)


@dataclass(frozen=True, eq=False)
class Derivation:
    """How a tensor is calculated: `forward` lines give names to values, `steps` lead from the output to the derivative.

    For a tensor that is no derivative the steps are the forward lines. `remark` says what the formulas do not.
    """

    tensor: Tensor
    title: Formula
    forward: tuple[Step, ...]
    steps: tuple[Step, ...]
    remark: str = ""

    def __str__(self) -> str:
        return "\n".join([str(self.title), *self._sections(), *textwrap.wrap(self.remark, WIDTH)])

    def _sections(self) -> Iterator[str]:
        for heading, steps in self._parts():
            yield ""
            yield f"{heading}:"
            for step in steps:
                yield from _lines(str(step.formula), step.note)

    def _parts(self) -> Sequence[tuple[str, tuple[Step, ...]]]:
        parts = (("Forward", self.forward), ("Backward, from the output", self.steps)) if self.forward else (("Steps", self.steps),)
        return [(heading, steps) for heading, steps in parts if steps]

    @property
    def latex(self) -> str:
        """All equations as one `aligned` environment, for use in display math."""
        rows = [step.latex.replace(" = ", " &= ", 1) for _, steps in self._parts() for step in steps]
        body = " \\\\\n".join(rows)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"

    def _repr_html_(self) -> str:
        rows = "".join(f'<tr><th colspan="2" style="text-align:left">{heading}</th></tr>{"".join(map(_row, steps))}' for heading, steps in self._parts())
        remark = f"<p>{escape(self.remark)}</p>" if self.remark else ""
        return f"<div>{mathml(self.title)}<table>{rows}</table>{remark}</div>"

    def _repr_latex_(self) -> str:
        return f"$${self.latex}$$"


def _row(step: Step) -> str:
    return f'<tr><td style="text-align:left">{mathml(step.formula)}</td><td style="text-align:left"><code>{escape(step.note)}</code></td></tr>'


def _lines(formula: str, note: str) -> Iterator[str]:
    """The formula with its note in a column to the right, or below it where the formula is long."""
    wrapped = textwrap.wrap(formula, WIDTH - 2, initial_indent="  ", subsequent_indent="      ", break_long_words=False) or ["  "]
    column = max(len(wrapped[-1]) + 2, min(_COLUMN, WIDTH - len(note)))
    yield from wrapped[:-1]
    if column + len(note) <= WIDTH:
        yield f"{wrapped[-1]:<{column}}{note}".rstrip()
        return
    yield wrapped[-1]
    yield from textwrap.wrap(note, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)

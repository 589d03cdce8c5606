"""Tables for people: one form for terminals, notebooks and files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape

from .record import record

UNITS = ("", "k", "M", "G", "T", "P")


@record
class Table:
    """Rows of text under `columns`; the first column and those in `texts` are aligned to the left."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...] = ()
    footer: Sequence[str] = ()

    def text(self, width: int = 120) -> str:
        """The table in Unicode."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn(title=Text(self.title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_footer=bool(self.footer), pad_edge=False)
        footer = [*self.footer, *[""] * (len(self.columns) - len(self.footer))]
        for column, last in zip(self.columns, footer, strict=True):
            drawn.add_column(column, Text(last), justify="left" if self._is_text(column) else "right", overflow="fold")
        for row in self.rows:
            drawn.add_row(*map(Text, row))
        console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False, legacy_windows=False)
        with console.capture() as capture:
            console.print(drawn)
        return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")

    def html(self) -> str:
        """The table for a notebook; all text is escaped."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        rows = [*self.rows, tuple(self.footer)] if self.footer else self.rows
        body = "".join(f"<tr>{''.join(self._cell(column, cell) for column, cell in zip(self.columns, row, strict=False))}</tr>" for row in rows)
        return f"<table><caption>{escape(self.title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cell(self, column: str, cell: str) -> str:
        side = "left" if self._is_text(column) else "right"
        return f'<td style="text-align:{side}">{escape(cell)}</td>'

    def _is_text(self, column: str) -> bool:
        return column == self.columns[0] or column in self.texts


def quantity(value: float, unit: str = "") -> str:
    """A number with a decimal prefix: 1.23 M."""
    size = abs(value)
    for prefix in UNITS:
        if size < 1000 or prefix == UNITS[-1]:
            return f"{value:.3g} {prefix}{unit}".rstrip()
        size, value = size / 1000, value / 1000
    raise AssertionError(value)


def seconds(value: float) -> str:
    """A duration: 12.3 us."""
    for scale, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"

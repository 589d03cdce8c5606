"""What profiling found: every kernel's time against the machine's limit, as a table, a roofline and a trace."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from graphdl.errors import BackendError
from graphdl.record import record
from graphdl.table import Table, quantity, seconds

from .kernels import Kernel
from .runtime.peak import Peaks


@record
class Row:
    """One launch: the mean `seconds` it took in the quicker half of the runs, its operations and compulsory bytes at the sizes of the call."""

    kernel: Kernel
    seconds: float
    flops: int
    bytes: int
    tasks: int

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.bytes if self.bytes else float("inf")


@record(repr=False)
class Profile:
    """The kernels of one program on given inputs, in the order of their launches.

    `call` is the time of a whole call from Python in seconds, likewise, `total` the sum of the kernels; `marks` are the nanoseconds at
    which the launches of one run began, and the end of the last; launches in loops stand there with all their rounds together.
    Limits are the measured peaks of the threads together.
    """

    rows: tuple[Row, ...]
    call: float
    peaks: Peaks
    repeats: int
    marks: tuple[int, ...]

    @property
    def total(self) -> float:
        """Seconds of all kernels together."""
        return sum(row.seconds for row in self.rows)

    @property
    def flops(self) -> int:
        return sum(row.flops for row in self.rows)

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.rows)

    def limit(self, row: Row) -> float:
        """The least seconds that the machine's arithmetic and memory allow for `row`: its place under the roofline."""
        return max(row.flops / self._arithmetic(row), row.bytes / self.peaks.copy_bytes_per_second)

    def share(self, row: Row) -> float:
        """How much of the machine's limit `row` reaches. Above 1, its data came from a cache."""
        return self.limit(row) / row.seconds if row.seconds else 0.0

    def _arithmetic(self, row: Row) -> float:
        return self.peaks.fma_flops_f64 if row.kernel.dtype == "float64" else self.peaks.fma_flops_f32

    @property
    def table(self) -> Table:
        rows = tuple(self._cells(row) for row in sorted(self.rows, key=lambda row: -row.seconds) if row.tasks)
        title = f"{len(rows)} kernels in {seconds(self.total)}; a whole call takes {seconds(self.call)}"
        footer = ("total", seconds(self.total), "100%", quantity(self.flops), quantity(self.bytes, "B"))
        columns = ("kernel", "time", "share", "flops", "moved", "FLOP/s", "B/s", "of limit", "from")
        return Table(title, columns, rows, ("from",), footer)

    @property
    def brief(self) -> Table:
        """The table in 80 columns: what takes long, and how far that is from the limit."""
        full = self.table
        kept = [full.columns.index(name) for name in ("kernel", "time", "share", "of limit", "from")]
        rows = tuple(tuple(row[k] for k in kept) for row in full.rows)
        return Table(full.title, tuple(full.columns[k] for k in kept), rows, full.texts, full.footer[:3])

    def _cells(self, row: Row) -> tuple[str, ...]:
        time = row.seconds or 1e-9
        part = row.seconds / self.total if self.total else 0.0
        rates = quantity(row.flops / time), quantity(row.bytes / time)
        amounts = quantity(row.flops), quantity(row.bytes, "B")
        return row.kernel.name, seconds(row.seconds), f"{part:.1%}", *amounts, *rates, f"{self.share(row):.0%}", row.kernel.origin

    def __str__(self) -> str:
        return self.table.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table.html()

    def _repr_svg_(self) -> str | None:
        """The roofline, where matplotlib is installed."""
        stream = io.StringIO()
        try:
            self.figure().savefig(stream, format="svg")
        except BackendError:
            return None
        return stream.getvalue()

    def to_dict(self) -> dict[str, object]:
        """Everything as plain data, for JSON."""
        rows = [
            {
                "kernel": row.kernel.name, "function": row.kernel.function, "seconds": row.seconds, "flops": row.flops, "bytes": row.bytes, "tasks": row.tasks,
                "share_of_limit": self.share(row), "operations": row.kernel.operations, "sources": row.kernel.sources, "modules": row.kernel.modules,
            }
            for row in self.rows
            if row.tasks
        ]  # fmt: skip
        return {"call_seconds": self.call, "kernel_seconds": self.total, "threads": self.peaks.threads, "repeats": self.repeats, "kernels": rows}

    def trace(self, path: str | Path) -> None:
        """Write one run as a trace in Chrome's JSON format, for Perfetto or chrome://tracing."""
        events = [
            {
                "name": row.kernel.name, "ph": "X", "pid": 0, "tid": 0, "ts": begin / 1e3, "dur": (end - begin) / 1e3,
                "args": {"flops": row.flops, "bytes": row.bytes, "tasks": row.tasks, "from": [*row.kernel.sources, *row.kernel.modules]},
            }
            for row, begin, end in zip(self.rows, self.marks[:-1], self.marks[1:], strict=True)
            if row.tasks
        ]  # fmt: skip
        named = {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "graphdl"}}
        Path(path).write_text(json.dumps({"traceEvents": [named, *events], "displayTimeUnit": "ns"}), encoding="utf-8")

    def plot(self, path: str | Path) -> None:
        """Draw the roofline with every kernel that computes something. Raises BackendError where matplotlib is missing."""
        self.figure().savefig(path)

    def figure(self) -> Any:
        """The roofline as a matplotlib figure. Raises BackendError where matplotlib is missing."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise BackendError("the roofline is drawn by matplotlib, which is not installed: pip install graphdl[plot]") from None
        figure = Figure(figsize=(8, 5), layout="constrained")
        self._draw(figure.subplots())
        return figure

    def _draw(self, axes: Any) -> None:
        drawn = [row for row in self.rows if row.flops and row.bytes and row.seconds]
        bandwidth, roof = self.peaks.copy_bytes_per_second, self.peaks.fma_flops_f32
        points, ridge = [row.intensity for row in drawn], roof / bandwidth
        span = min([*points, ridge]) / 4, max([*points, ridge]) * 4
        limits = f"{quantity(roof, 'FLOP/s')}, {quantity(bandwidth, 'B/s')}"
        axes.loglog([span[0], ridge, span[1]], [span[0] * bandwidth, roof, roof], color="black", label=limits)
        axes.scatter(points, [row.flops / row.seconds for row in drawn], s=[20 + 400 * row.seconds / self.total for row in drawn], alpha=0.6)
        for row in drawn:
            axes.annotate(row.kernel.name, (row.intensity, row.flops / row.seconds), fontsize=7, xytext=(4, 4), textcoords="offset points")
        axes.set(xlabel="operations per byte", ylabel="operations per second", title=f"{self.peaks.threads} threads; area: share of time")
        axes.legend(loc="lower right")

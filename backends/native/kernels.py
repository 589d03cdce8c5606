"""What a native program consists of, for people: its kernels in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from graphdl.ir import Node, Provenance, Source
from graphdl.kernel.counting import bytes_moved, flops_of
from graphdl.record import record
from graphdl.sizes import Dim
from graphdl.table import Table
from graphdl.types import numpy_dtype

if TYPE_CHECKING:
    from .codegen.launch import Launch

LONGEST = 24  # characters of a symbolic size in the table


@record
class Kernel:
    """One launch of a kernel function, in a loop all its rounds. `tasks`, `flops` and `bytes` may be symbolic; `bytes` is what must be
    read and written at least.

    A product that packs an operand first has a launch for each packing, which reads and writes the packed elements and computes nothing.
    `schedule` tells of the product itself how it is cut, and whether the cost model has chosen that or a measurement.
    """

    name: str
    function: str
    tasks: Dim
    flops: Dim
    bytes: Dim
    origins: tuple[Node, ...]
    node: Node | None = None
    schedule: str = ""

    @property
    def _known(self) -> tuple[Provenance, ...]:
        """What is known of this launch alone: equal fusions share their parts."""
        return (self.node.provenance,) if self.node is not None else tuple(node.provenance for node in self.origins)

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of the ops it computes."""
        return tuple(dict.fromkeys(node.op.name for node in self.origins))

    @property
    def lines(self) -> tuple[Source, ...]:
        """The user's lines it comes from."""
        return tuple(sorted({source for known in self._known for source in known.sources}))

    @property
    def sources(self) -> tuple[str, ...]:
        """The user's lines, as texts."""
        return tuple(map(str, self.lines))

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules it comes from."""
        return tuple(sorted({module for known in self._known for module in known.modules}))

    @property
    def origin(self) -> str:
        """Module and line, in short."""
        modules, sources = (f"{found[0]}{' ...' * (len(found) > 1)}" if found else "" for found in (self.modules, self.sources))
        return f"{modules} {sources}".strip()

    @cached_property
    def dtype(self) -> str:
        """The widest floating dtype of its results: what limits its arithmetic."""
        found = {tensor.dtype for node in self.origins for tensor in node.outputs}
        return "float64" if "float64" in found else "float32"


class Kernels(tuple[Kernel, ...]):
    """The kernels of a program; prints as a table."""

    __slots__ = ()

    @property
    def schedules(self) -> Table:
        """How every product is cut, and who chose that."""
        rows = tuple((str(k), one.name, one.schedule, one.origin) for k, one in enumerate(self) if one.schedule)
        return Table(f"{len(rows)} products", ("#", "kernel", "schedule", "from"), rows, ("kernel", "schedule", "from"))

    @property
    def table(self) -> Table:
        rows = tuple((str(k), one.name, one.function, _short(one.tasks), _short(one.flops), _short(one.bytes), one.origin) for k, one in enumerate(self))
        columns = ("#", "kernel", "function", "tasks", "flops", "bytes", "from")
        return Table(f"{len(self)} kernels", columns, rows, ("kernel", "function", "from"))

    def __str__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()


def _short(size: Dim) -> str:
    text = str(size)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def describe(launches: Sequence[Launch]) -> Kernels:
    """The description of every launch."""
    return Kernels(map(_describe, launches))


def _describe(launch: Launch) -> Kernel:
    step, times = launch.step, launch.times
    node = getattr(step, "node", None)
    if not launch.packed:
        computed = launch.part or step
        amounts = launch.tasks * times, flops_of(computed) * times, bytes_moved(computed) * times
        return Kernel(step.name, launch.function, *amounts, tuple(step.origins), node, launch.schedule)
    moved = launch.work * times * (2 * numpy_dtype(step.values[0].dtype).itemsize)
    return Kernel(f"pack for {step.name}", launch.function, launch.tasks * times, 0, moved, tuple(step.origins), node)

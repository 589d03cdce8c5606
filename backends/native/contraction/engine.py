"""The packed contraction engine: out[b, m, n] = epilogue(sum over k of A[b, m, k] * B[b, k, n])."""

from __future__ import annotations

from graphdl.record import record

from ..llvm import Module
from .compute import compute
from .kernel import Prepare
from .pack import pack_a, pack_b
from .pieced import compute_in_pieces
from .pieced_pack import pack_pieces
from .schedule import Schedule
from .table import index_b


@record(slots=True)
class Contraction:
    """The kernels of one contraction. Both packs may run side by side; the compute kernel needs them finished.

    Where B is read in place by a table, the pack of B writes the table.
    """

    pack_a: str | None
    pack_b: str | None
    compute: str


def emit_contraction(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> Contraction:
    """Write the kernels into `module`, named `name` with a suffix. `prepare` is called once in each of them.

    Each is `void (ptr args, i64 begin, i64 end)`; the numbers of tasks and the bytes of scratch are those of `plan`.
    """
    return Contraction(
        pack_a(module, schedule, f"{name}_pack_a", prepare) if schedule.may_pack_a else None,
        _pack_b(module, schedule, name, prepare),
        (compute_in_pieces if schedule.in_pieces else compute)(module, schedule, f"{name}_compute", prepare),
    )


def _pack_b(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str | None:
    if schedule.indexes_b:
        return index_b(module, schedule, f"{name}_index_b", prepare)
    pack = pack_pieces if schedule.in_pieces else pack_b
    return pack(module, schedule, f"{name}_pack_b", prepare) if schedule.may_pack_b else None

"""A value that is read again later, so that kernels run twice. Only rematerialisation makes it, when kernels are settled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ..op import Sample, sample_array
from ..record import record
from .custom_gradient import Recompute


@record
class Deferred(Recompute):
    """Operands x, after: x where it lies, for a kernel that runs again when `after` is known. No memory is written for it."""

    name: ClassVar[str] = "deferred"
    is_view: ClassVar[bool] = True

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(), (sample_array(3, 2), sample_array(5)))

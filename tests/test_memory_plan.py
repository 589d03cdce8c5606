"""The planned arena, apart from any program."""

from __future__ import annotations

import pytest

from graphdl.kernel.expression import Buffer
from graphdl.lowering.memory import Interval, plan
from graphdl.sizes import evaluate
from graphdl.types import TensorType, as_dim


@pytest.mark.parametrize(("size", "largest"), [(10, 1000), (10_000, 10_000)])
def test_a_slot_of_many_tenants_that_cannot_be_compared(size: int, largest: int) -> None:
    """Thousands of temporaries of two sizes, in turns, leave a size of two terms: it was nested once for each of them."""
    types = TensorType("float32", (as_dim("N"),)), TensorType("float32", (1000,))
    buffers = [Buffer(f"t{moment}", types[moment % 2], "temporary") for moment in range(4000)]
    planned = plan([Interval(buffer, moment, moment, buffer.type.size * 4) for moment, buffer in enumerate(buffers)])
    assert 4 * largest <= evaluate(planned.total, {"N": size}) < 4 * largest + 4096
    assert set(planned.offsets.values()) == {0}

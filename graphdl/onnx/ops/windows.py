"""Kernel, strides, dilations and padding of a node, as convolution and pooling share them."""

from __future__ import annotations

from ...errors import FormatError
from ...ir import Tensor
from ...record import record
from ...sizes import Dim, ceildiv, maximum
from ..registry import Call

MODES = ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER")


@record
class Windows:
    """One entry for every spatial axis; `high` includes what ceil_mode needs beyond the padding, which `extra` tells."""

    kernel: tuple[Dim, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    low: tuple[Dim, ...]
    high: tuple[Dim, ...]
    extra: tuple[Dim, ...]

    @staticmethod
    def of(call: Call, x: Tensor, kernel: tuple[Dim, ...]) -> Windows:
        """The windows over x (N, C, *sizes). Raises FormatError for attributes that do not fit it."""
        spatial = x.ndim - 2
        strides = tuple(call.attribute("strides", (1,) * spatial))
        dilations = tuple(call.attribute("dilations", (1,) * spatial))
        pads, mode = tuple(call.attribute("pads", (0,) * 2 * spatial)), call.attribute("auto_pad", "NOTSET")
        if {len(kernel), len(strides), len(dilations), len(pads) / 2} != {spatial} or mode not in MODES:
            raise FormatError(f"kernel {kernel}, strides {strides}, dilations {dilations}, pads {pads} and auto_pad {mode!r} do not fit {spatial} spatial axes")
        if min((*strides, *dilations), default=1) < 1:
            raise FormatError(f"strides {strides} and dilations {dilations} must be at least 1")
        reach = [(taps - 1) * d + 1 for taps, d in zip(kernel, dilations, strict=True)]
        low: list[Dim] = list(pads[:spatial])
        high: list[Dim] = list(pads[spatial:])
        if mode == "VALID":
            low, high = [0] * spatial, [0] * spatial
        if mode.startswith("SAME"):
            totals = [maximum((ceildiv(size, s) - 1) * s + r - size, 0) for size, s, r in zip(x.shape[2:], strides, reach, strict=True)]
            less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
            low, high = (less, more) if mode == "SAME_UPPER" else (more, less)
        extra: list[Dim] = [0] * spatial
        if call.attribute("ceil_mode", 0):
            extra = [_overhang(*one) for one in zip(x.shape[2:], low, high, reach, strides, strict=True)]
        whole = tuple(a + b for a, b in zip(high, extra, strict=True))
        return Windows(kernel, strides, dilations, tuple(low), whole, tuple(extra))


def _overhang(size: Dim, low: Dim, high: Dim, reach: Dim, stride: int) -> Dim:
    """How far the last window reaches beyond the padding when counts are rounded up; it must begin before the padding's end."""
    room = size + low + high - reach
    count = ceildiv(room, stride) + 1
    if isinstance(count, int) and isinstance(size, int) and isinstance(low, int) and (count - 1) * stride >= size + low:
        count -= 1
    return maximum((count - 1) * stride - room, 0)

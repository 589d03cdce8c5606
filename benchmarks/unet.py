"""A small U-Net with attention at the bottom, in graphdl and PyTorch under diffusers' parameter names (Ronneberger et al. 2015, Ho et al. 2020).

It gives every place a class: the case `unet_step`.
"""

from __future__ import annotations

from typing import Any

from .case import Sizes
from .training import Shapes

GROUPS = 8
HEADS = 4
LEVELS = 3
LAYERS = 1  # residual blocks on the way down in each level; on the way up there is one more


def widths(s: Sizes) -> tuple[int, ...]:
    """The channels of every level."""
    return tuple(s["width"] << level for level in range(LEVELS))


def shapes(s: Sizes) -> Shapes:
    """The parameters, by name."""
    return {name: tuple(tensor.shape) for name, tensor in graphdl_net(s).named_parameters()}


def flops(s: Sizes) -> float:
    """The floating-point operations of all convolutions, forward."""
    total, kept = 0.0, 0.0
    for level, width in enumerate(widths(s)):
        places = float(s["side"] >> level) ** 2
        below = width if level == 0 else width // 2
        joined = 2 * width + (below if level else width)
        above = width * (3 if level + 1 < LEVELS else 2)
        total += 18.0 * places * width * (below + width + joined + above)
        kept = places * width * width
    return s["batch"] * (total + 72.0 * kept)


def graphdl_net(s: Sizes) -> Any:
    """graphdl's own, with the classes last."""
    import graphdl as gd
    from graphdl import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            options: dict[str, Any] = {"num_attention_heads": HEADS, "norm_num_groups": GROUPS}
            self.unet = nn.models.unet(3, s["classes"], widths(s), LAYERS, None, (False,) * LEVELS, **options)

        def forward(self, x: gd.Tensor) -> gd.Tensor:
            found: gd.Tensor = self.unet(x, gd.zeros((1,))).transpose((0, 2, 3, 1))
            return found

    return Net()


def torch_net(s: Sizes) -> Any:
    """The same of PyTorch's layers."""
    from torch import nn

    from .unet_torch import UNet

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.unet = UNet(3, s["classes"], widths(s), LAYERS, HEADS, GROUPS)

        def forward(self, x: Any) -> Any:
            return self.unet(x).permute(0, 2, 3, 1)

    return Net()

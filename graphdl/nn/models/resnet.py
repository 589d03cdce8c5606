"""ResNet: convolutions in blocks that add to their input. He, Zhang, Ren, Sun 2015.

Parameters have the names and layouts of torchvision's `ResNet`: conv1.weight, layer1.0.conv1.weight, layer2.0.downsample.0.weight, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import ShapeError
from ...ir import Tensor
from ...ops.elementwise import describe
from ...ops.rectifier import relu
from ...ops.shape import flatten
from .. import init
from ..adaptive_pooling import adaptive_avg_pool2d
from ..batchnorm import BatchNorm2d
from ..container import Sequential
from ..convolution import Conv2d
from ..linear import Linear
from ..module import Module, told
from ..pooling import max_pool2d

BLOCKS = ("basic", "bottleneck")
STEMS = ("imagenet", "small")
EXPANSION = 4  # how many times wider a bottleneck ends than it is inside


def resnet(
    block: str = "basic",
    layers: Sequence[int] = (2, 2, 2, 2),
    num_classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    stem: str = "imagenet",
    groups: int = 1,
    width_per_group: int = 64,
    zero_init_residual: bool = False,
    dtype: Any = "float32",
) -> ResNet:
    """A ResNet with `layers` blocks in each stage; stage k works on `width` 2^k channels and halves the places of the one before it.

    `block` is basic (two 3x3 convolutions) or bottleneck (1x1, 3x3, 1x1 to four times the channels, the stride on the 3x3). The stem
    "imagenet" is a 7x7 convolution of stride 2 and pooling of stride 2, "small" one 3x3 convolution, for images of few pixels.
    `groups` and `width_per_group` make a ResNeXt (Xie et al. 2016) or a wide ResNet of bottlenecks. Weights start normal by their
    outputs (He et al. 2015); with `zero_init_residual` every block starts as the identity (Goyal et al. 2017).
    Raises ValueError for an unknown block or stem, ShapeError for sizes that do not fit.
    """
    if block not in BLOCKS or stem not in STEMS:
        raise ValueError(f"resnet: the block is {' or '.join(BLOCKS)} and the stem {' or '.join(STEMS)}, not {block!r} and {stem!r}")
    if not layers or min(*layers, num_classes, in_channels, width) < 1:
        raise ShapeError(f"{told('resnet')}: layers {tuple(layers)}, {num_classes} classes, {in_channels} channels and width {width} must all be at least 1")
    if width * width_per_group // 64 < 1:
        raise ShapeError(f"{told('resnet')}: a width of {width_per_group} for each group leaves bottlenecks of width {width} no channels")
    if block == "basic" and (groups, width_per_group) != (1, 64):
        raise ShapeError(f"{told('resnet')}: only bottlenecks have groups and a width of them")
    made = ResNet(block, layers, num_classes, in_channels, width, stem, groups, width_per_group, dtype)
    for module in made.modules():
        if isinstance(module, Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        last = getattr(module, "bn3", None) or getattr(module, "bn2", None)
        if zero_init_residual and isinstance(last, BatchNorm2d) and last.weight is not None:
            init.zeros_(last.weight)
    return made


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """`resnet` of 18 layers; further options as there."""
    return resnet("basic", (2, 2, 2, 2), num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """`resnet` of 34 layers; further options as there."""
    return resnet("basic", (3, 4, 6, 3), num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """`resnet` of 50 layers, in bottlenecks; further options as there."""
    return resnet("bottleneck", (3, 4, 6, 3), num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """`resnet` of 101 layers, in bottlenecks; further options as there."""
    return resnet("bottleneck", (3, 4, 23, 3), num_classes, **options)


class BasicBlock(Module):
    """Two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int, dtype: Any) -> None:
        self.conv1 = Conv2d(inputs, outputs, 3, stride, 1, bias=False, dtype=dtype)
        self.bn1 = BatchNorm2d(outputs, dtype=dtype)
        self.conv2 = Conv2d(outputs, outputs, 3, 1, 1, bias=False, dtype=dtype)
        self.bn2 = BatchNorm2d(outputs, dtype=dtype)
        self.downsample = shortcut(inputs, outputs, stride, dtype)

    def forward(self, x: Tensor) -> Tensor:
        found = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(found + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(Module):
    """A 1x1 convolution to fewer channels, a 3x3 one in groups, and a 1x1 one to more."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, groups: int, dtype: Any) -> None:
        self.conv1 = Conv2d(inputs, inner, 1, bias=False, dtype=dtype)
        self.bn1 = BatchNorm2d(inner, dtype=dtype)
        self.conv2 = Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False, dtype=dtype)
        self.bn2 = BatchNorm2d(inner, dtype=dtype)
        self.conv3 = Conv2d(inner, outputs, 1, bias=False, dtype=dtype)
        self.bn3 = BatchNorm2d(outputs, dtype=dtype)
        self.downsample = shortcut(inputs, outputs, stride, dtype)

    def forward(self, x: Tensor) -> Tensor:
        found = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        return relu(self.bn3(self.conv3(found)) + (x if self.downsample is None else self.downsample(x)))


def shortcut(inputs: int, outputs: int, stride: int, dtype: Any) -> Sequential | None:
    """What makes a block's input like its output; None where it is so already."""
    if inputs == outputs and stride == 1:
        return None
    return Sequential(Conv2d(inputs, outputs, 1, stride, bias=False, dtype=dtype), BatchNorm2d(outputs, dtype=dtype))


class ResNet(Module):
    """`resnet` makes it: images (N, in_channels, H, W) to scores (N, num_classes)."""

    def __init__(
        self, block: str, layers: Sequence[int], num_classes: int, in_channels: int, width: int, stem: str, groups: int, width_per_group: int, dtype: Any
    ) -> None:
        self.in_channels = in_channels
        self.stem = stem
        self.stages = len(layers)
        self.conv1 = Conv2d(in_channels, width, *((7, 2, 3) if stem == "imagenet" else (3, 1, 1)), bias=False, dtype=dtype)
        self.bn1 = BatchNorm2d(width, dtype=dtype)
        held = width
        for k, count in enumerate(layers):
            blocks: list[Module] = []
            planes = width << k
            for position in range(count):
                stride = 2 if k and not position else 1
                outputs = planes if block == "basic" else planes * EXPANSION
                inner = planes * width_per_group // 64 * groups
                made = BasicBlock(held, outputs, stride, dtype) if block == "basic" else Bottleneck(held, inner, outputs, stride, groups, dtype)
                blocks.append(made)
                held = outputs
            setattr(self, f"layer{k + 1}", Sequential(*blocks))
        self.fc = Linear(held, num_classes, dtype=dtype)

    def features(self, x: Tensor) -> list[Tensor]:
        """The feature maps behind every stage, for images (N, in_channels, H, W). Raises ShapeError for others."""
        if x.ndim != 4 or (isinstance(x.shape[1], int) and x.shape[1] != self.in_channels):
            raise ShapeError(f"ResNet: the images {describe(x)} must be (N, {self.in_channels}, H, W)")
        x = relu(self.bn1(self.conv1(x)))
        x = max_pool2d(x, 3, 2, 1) if self.stem == "imagenet" else x
        found = []
        for k in range(self.stages):
            x = getattr(self, f"layer{k + 1}")(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(flatten(adaptive_avg_pool2d(self.features(x)[-1], 1), 1))

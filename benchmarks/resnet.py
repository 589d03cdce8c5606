"""ResNet-18 in every framework, under torchvision's parameter names (He, Zhang, Ren, Sun 2015): the cases `resnet_step` and `resnet_inference`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .case import Array, Sizes
from .onnx_model import Node
from .training import Shapes, Weights, linear

STAGES = 4
BLOCKS = 2  # in each stage
Layer = Callable[[str, Any], Any]  # applies the layer of that name


@dataclass(frozen=True)
class Convolved:
    """A convolution and the batch norm after it."""

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int


def convolutions(s: Sizes) -> Iterator[Convolved]:
    """All convolutions, in the order of the state's names."""
    yield Convolved("conv1", "bn1", 3, s["width"], 7, 2)
    held = s["width"]
    for stage in range(STAGES):
        outputs = s["width"] << stage
        for block in range(BLOCKS):
            stride, at = (2 if stage and not block else 1), f"layer{stage + 1}.{block}"
            yield Convolved(f"{at}.conv1", f"{at}.bn1", held, outputs, 3, stride)
            yield Convolved(f"{at}.conv2", f"{at}.bn2", outputs, outputs, 3, 1)
            if stride > 1:
                yield Convolved(f"{at}.downsample.0", f"{at}.downsample.1", held, outputs, 1, stride)
            held = outputs


def shapes(s: Sizes) -> Shapes:
    """The parameters, by name."""
    found: dict[str, tuple[int, ...]] = {}
    for one in convolutions(s):
        found[f"{one.name}.weight"] = (one.outputs, one.inputs, one.kernel, one.kernel)
        found |= {f"{one.norm}.weight": (one.outputs,), f"{one.norm}.bias": (one.outputs,)}
    return {**found, **linear("fc", s["width"] << (STAGES - 1), s["classes"])}


def flops(s: Sizes) -> float:
    """The floating-point operations of all convolutions and the last layer, forward."""
    total, side = 0.0, s["side"]
    for one in convolutions(s):
        if one.name.endswith("downsample.0"):
            places = float(side * side)  # the block's first convolution has halved the sides already
        else:
            side = -(-side // one.stride)
            places = float(side * side)
        total += 2.0 * places * one.outputs * one.inputs * one.kernel**2
        side = -(-side // 2) if one.name == "conv1" else side
    return s["batch"] * (total + 2.0 * (s["width"] << (STAGES - 1)) * s["classes"])


def graphdl_net(s: Sizes) -> Any:
    """graphdl's own."""
    from graphdl.nn.models import resnet18

    return resnet18(s["classes"], width=s["width"])


def torch_net(s: Sizes) -> Any:
    """The same of PyTorch's layers."""
    import torch
    from torch import nn

    layers = {one.name: one for one in convolutions(s)}

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, at: str) -> None:
            super().__init__()
            for k in (1, 2):
                setattr(self, f"conv{k}", _torch_convolution(layers[f"{at}.conv{k}"]))
                setattr(self, f"bn{k}", nn.BatchNorm2d(layers[f"{at}.conv{k}"].outputs))
            shorter = layers.get(f"{at}.downsample.0")
            self.downsample = nn.Sequential(_torch_convolution(shorter), nn.BatchNorm2d(shorter.outputs)) if shorter else nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(found + self.downsample(x))

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = _torch_convolution(layers["conv1"]), nn.BatchNorm2d(s["width"])
            for stage in range(1, STAGES + 1):
                setattr(self, f"layer{stage}", nn.Sequential(*(Block(f"layer{stage}.{block}") for block in range(BLOCKS))))
            self.fc = nn.Linear(s["width"] << (STAGES - 1), s["classes"])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            for stage in range(1, STAGES + 1):
                x = getattr(self, f"layer{stage}")(x)
            found: torch.Tensor = self.fc(x.mean((2, 3)))
            return found

    return Net()


def _torch_convolution(one: Convolved) -> Any:
    from torch import nn

    return nn.Conv2d(one.inputs, one.outputs, one.kernel, one.stride, one.kernel // 2, bias=False)


def jax_scores(s: Sizes, weights: Weights, x: Any, training: bool) -> Any:
    """The scores of images x; with `training`, batch norms use the batch's own statistics, else mean 0 and variance 1."""
    import jax
    import jax.numpy as jnp

    layers = {one.name: one for one in convolutions(s)}

    def normed(name: str, x: Any) -> Any:
        one = layers[name]
        around = [(one.kernel // 2, one.kernel // 2)] * 2
        x = jax.lax.conv_general_dilated(x, weights[f"{name}.weight"], (one.stride, one.stride), around)
        scale, shift = weights[f"{one.norm}.weight"][:, None, None], weights[f"{one.norm}.bias"][:, None, None]
        mean, variance = (x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)) if training else (0.0, 1.0)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + shift

    x = jax.nn.relu(normed("conv1", x))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))
    x = _through_blocks(s, x, normed, jax.nn.relu)
    return x.mean((2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


def _through_blocks(s: Sizes, x: Any, normed: Layer, relu: Callable[[Any], Any]) -> Any:
    names = {one.name for one in convolutions(s)}
    for stage in range(1, STAGES + 1):
        for block in range(BLOCKS):
            at = f"layer{stage}.{block}"
            found = normed(f"{at}.conv2", relu(normed(f"{at}.conv1", x)))
            x = relu(found + (normed(f"{at}.downsample.0", x) if f"{at}.downsample.0" in names else x))
    return x


def onnx_nodes(s: Sizes, weights: dict[str, Array]) -> tuple[list[Node], dict[str, Array | float]]:
    """The network for inference as ONNX nodes, with the constants that they read."""
    import numpy as np

    nodes: list[Node] = []
    constants: dict[str, Array | float] = dict(weights)
    names = {one.name for one in convolutions(s)}
    for one in convolutions(s):
        constants |= {f"{one.norm}.mean": np.zeros(one.outputs, np.float32), f"{one.norm}.var": np.ones(one.outputs, np.float32)}
    layers = {one.name: one for one in convolutions(s)}

    def node(op: str, given: list[str], output: str, **attributes: Any) -> str:
        nodes.append((op, given, output, attributes))
        return output

    def normed(name: str, x: str) -> str:
        one = layers[name]
        given = node("Conv", [x, f"{name}.weight"], f"{name}.y", strides=[one.stride] * 2, pads=[one.kernel // 2] * 4)
        return node("BatchNormalization", [given, *(f"{one.norm}.{part}" for part in ("weight", "bias", "mean", "var"))], f"{one.norm}.y", epsilon=1e-5)

    x = node("Relu", [normed("conv1", "x")], "stem")
    x = node("MaxPool", [x], "pooled", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage in range(1, STAGES + 1):
        for block in range(BLOCKS):
            at = f"layer{stage}.{block}"
            inner = node("Relu", [normed(f"{at}.conv1", x)], f"{at}.inner")
            beside = normed(f"{at}.downsample.0", x) if f"{at}.downsample.0" in names else x
            x = node("Relu", [node("Add", [normed(f"{at}.conv2", inner), beside], f"{at}.sum")], f"{at}.y")
    x = node("Flatten", [node("GlobalAveragePool", [x], "mean")], "flat")
    node("Gemm", [x, "fc.weight", "fc.bias"], "scores", transB=1)
    return nodes, constants

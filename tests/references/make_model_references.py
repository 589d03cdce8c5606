"""Writes models.npz: outputs and gradients of torchvision's ResNet and diffusers' U-Net, in float64, seeded.

Run with a Python that has PyTorch, torchvision and diffusers: `python tests/references/make_model_references.py`. The cases are
read by the tests too, which need none of these. Of every gradient there are its size and some elements, as whole ones are large.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FILE = Path(__file__).parent / "models.npz"
SAMPLED = 24


@dataclass(frozen=True)
class Case:
    """A builder of `nn.models`, its options, and the shapes of its inputs by name; the first axis of each is the batch.

    `timestep` is drawn as whole numbers below 1,000.
    """

    builder: str
    inputs: Mapping[str, tuple[int, ...]]
    options: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, Array]:
        """The inputs, reproducible."""
        generator = np.random.default_rng(7)
        drawn = {name: generator.normal(size=shape) for name, shape in self.inputs.items()}
        return {name: generator.integers(0, 1000, array.shape) if name == "timestep" else array for name, array in drawn.items()}


SMALL = {"block_out_channels": (8, 16), "layers_per_block": 1, "cross_attention_dim": 6, "num_attention_heads": 2, "norm_num_groups": 4}
CASES = {
    "resnet18": Case("resnet18", {"x": (1, 3, 64, 72)}, {"num_classes": 7}),
    "resnet, four basic blocks": Case("resnet", {"x": (3, 3, 61, 40)}, {"layers": (1, 1, 1, 1), "num_classes": 5, "zero_init_residual": True}),
    "resnet, bottlenecks": Case("resnet", {"x": (2, 3, 64, 64)}, {"block": "bottleneck", "layers": (1, 2, 1, 1), "num_classes": 3}),
    "resnet, groups": Case(
        "resnet", {"x": (2, 3, 64, 47)}, {"block": "bottleneck", "layers": (1, 1, 1, 1), "num_classes": 3, "groups": 4, "width_per_group": 8}
    ),
    "unet": Case(
        "unet",
        {"sample": (3, 1, 8, 6), "timestep": (3,), "encoder_hidden_states": (3, 5, 6)},
        {"in_channels": 1, "out_channels": 1, **SMALL},
    ),
    "unet, sizes that do not halve": Case(
        "unet",
        {"sample": (1, 2, 7, 9), "timestep": (1,), "encoder_hidden_states": (1, 1, 3)},
        {
            "in_channels": 2, "out_channels": 3, "block_out_channels": (4, 8), "layers_per_block": 2, "cross_attention_dim": 3,
            "num_attention_heads": 1, "norm_num_groups": 2, "attention": (False, False),
        },
    ),
    "unet, attention below": Case(
        "unet",
        {"sample": (2, 1, 4, 4), "timestep": (), "encoder_hidden_states": (2, 3, 6)},
        {"in_channels": 1, "out_channels": 2, **SMALL, "attention": (False, True)},
    ),
}  # fmt: skip


def made(case: Case) -> Any:
    """The model by torchvision or diffusers."""
    options = dict(case.options)
    if case.builder == "unet":
        from diffusers import UNet2DConditionModel

        attention = options.pop("attention", [k + 1 < len(options["block_out_channels"]) for k in range(len(options["block_out_channels"]))])
        options["attention_head_dim"] = options.pop("num_attention_heads")  # the number of heads, in spite of its name
        down = tuple("CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attention)
        up = tuple("CrossAttnUpBlock2D" if one else "UpBlock2D" for one in reversed(attention))
        return UNet2DConditionModel(**options, down_block_types=down, up_block_types=up)
    from torchvision.models import resnet

    if case.builder != "resnet":
        return getattr(resnet, case.builder)(**options)
    block = resnet.Bottleneck if options.pop("block", "basic") == "bottleneck" else resnet.BasicBlock
    return resnet.ResNet(block, **options)


def initial(number: int, name: str, shape: tuple[int, ...]) -> Array:
    """The values of the entry of the state of that number."""
    generator = np.random.default_rng(100 + number)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    drawn = generator.normal(size=shape)
    if name.endswith("running_var"):
        return 0.5 + drawn**2
    fan = int(np.prod(shape[1:])) if len(shape) > 1 else 4
    return drawn / np.sqrt(fan) + (1.0 if len(shape) == 1 and name.endswith("weight") else 0.0)


def weights_like(shape: tuple[int, ...]) -> Array:
    """The cosines of 0, 1, 2, ...: by these the outputs are summed for the gradients."""
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape)


def sampled(gradient: Array) -> Array:
    """The largest magnitude of a gradient, its norm over the root of its size, and elements spread over it."""
    flat = gradient.ravel()
    places = np.linspace(0, flat.size - 1, SAMPLED).astype(int)
    return np.array([np.abs(flat).max(), np.sqrt(np.mean(flat**2)), *flat[places]])


def widen() -> None:
    """Make diffusers embed times in float64: float32 is written into it."""
    import torch
    from diffusers.models import embeddings

    class Wide:
        float32 = torch.float64

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

    embeddings.torch = Wide()
    torch.Tensor.float = torch.Tensor.double


def values_of(case: Case) -> dict[str, Array]:
    """Names and shapes of the state; the output and samples of all gradients in training; the output in inference; the state after."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    module = made(case).double().train()
    state = module.state_dict()
    with torch.no_grad():
        for number, (name, tensor) in enumerate(state.items()):
            tensor.copy_(torch.from_numpy(initial(number, name, tuple(tensor.shape))))
    fed = {name: torch.from_numpy(np.asarray(array)) for name, array in case.arrays().items()}
    wanted = [tensor.requires_grad_() for tensor in fed.values() if tensor.is_floating_point()]
    with sdpa_kernel(SDPBackend.MATH):
        result = module(**fed)
        output = getattr(result, "sample", result)
        gradients = torch.autograd.grad((output * torch.from_numpy(weights_like(tuple(output.shape)))).sum(), [*wanted, *module.parameters()])
        after = np.concatenate([tensor.detach().numpy().ravel() for name, tensor in state.items() if "running" in name] or [np.zeros(0)])
        result = module.eval()(**fed)
    inference = getattr(result, "sample", result)
    return {
        "state": np.array([" ".join(map(str, (name, *tensor.shape))) for name, tensor in state.items()], "U96"),
        "output": output.detach().numpy(),
        "gradients": np.stack([sampled(gradient.numpy()) for gradient in gradients]),
        "running": sampled(after) if after.size else after,
        "inference": inference.detach().numpy(),
    }


if __name__ == "__main__":
    widen()
    written: dict[str, Any] = {f"{name}|{part}": array for name, case in CASES.items() for part, array in values_of(case).items()}
    np.savez_compressed(FILE, **written)

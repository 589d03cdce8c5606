"""Writes the reference values that the tests compare with: outputs and gradients of torch.nn, trajectories of torch.optim.

Run with a Python that has PyTorch: `python tests/references/make_references.py`. Everything is float64 and seeded.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parent
STEPS = 20


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Reproducible numbers of the normal distribution."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


# Modules by the call that makes them, with the shapes of their inputs.
ACTIVATIONS = (
    "ReLU()", "ReLU6()", "SELU()", "SiLU()", "Mish()", "Hardswish()", "Sigmoid()", "LogSigmoid()", "Tanh()", "Softsign()", "LeakyReLU(0.2)", "ELU(0.7)",
    "GELU()", "GELU('tanh')", "Hardtanh(-0.5, 0.8)", "Softplus(0.5)", "Softmax(0)", "Softmax(-1)", "LogSoftmax(1)", "Identity()",
)  # fmt: skip
ANY_SHAPE = ((4, 6), (1, 5), (3, 2, 7))
MODULES: dict[str, tuple[tuple[int, ...], ...]] = {
    "Linear(6, 3)": ((4, 6),),
    "Linear(5, 2, bias=False)": ((2, 6, 3, 5),),
    "Linear(6, 1)": ((6,),),
    "Linear(7, 4)": ((1, 7),),
    "Bilinear(6, 3, 4)": ((4, 6), (4, 3)),
    "Bilinear(5, 2, 3, bias=False)": ((2, 6, 3, 5), (2, 6, 3, 2)),
    "Bilinear(1, 7, 2)": ((1, 1), (1, 7)),
    "Flatten()": ((2, 6, 3, 5),),
    "Flatten(0, 1)": ((2, 6, 3, 5),),
    "Flatten(2)": ((1, 2, 3, 4),),
    "Unflatten(1, (2, 3))": ((4, 6),),
    "Unflatten(-1, (5, 1))": ((1, 2, 5),),
    "Unflatten(2, (3, 1, 2))": ((3, 2, 6, 2),),
    "LayerNorm(6)": ((4, 6),),
    "LayerNorm((3, 5), eps=1e-3)": ((2, 6, 3, 5),),
    "LayerNorm(5, elementwise_affine=False)": ((2, 6, 3, 5),),
    "LayerNorm((2, 7), bias=False)": ((1, 2, 7),),
    "RMSNorm(6)": ((4, 6),),
    "RMSNorm((3, 5), eps=1e-4)": ((2, 6, 3, 5),),
    "RMSNorm(7, elementwise_affine=False)": ((1, 3, 7),),
    "GroupNorm(3, 6)": ((2, 6, 3, 5),),
    "GroupNorm(1, 6, eps=1e-3)": ((4, 6),),
    "GroupNorm(6, 6, affine=False)": ((2, 6, 3, 5),),
    "GroupNorm(2, 4)": ((1, 4, 7),),
}
LOOKUPS: dict[str, tuple[int, ...]] = {"Embedding(5, 3)": (2, 3), "Embedding(5, 2, padding_idx=1)": (2, 3), "Embedding(7, 1)": (1, 4, 2)}


def modules() -> dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]]:
    """Every module with inputs to try it on; a number behind the call tells equal ones with other inputs apart.

    Hardsigmoid is not here: in float64, PyTorch's gradient of it has 1/6 rounded to float32.
    """
    found: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
        f"{call} #{k}": (made(call), (4 * draw(*shape, seed=k),)) for call in ACTIVATIONS for k, shape in enumerate(ANY_SHAPE)
    }
    found |= {call: (made(call), tuple(draw(*shape, seed=k) for k, shape in enumerate(shapes, 1))) for call, shapes in MODULES.items()}
    indices = np.random.default_rng(0)
    for call, shape in LOOKUPS.items():
        module = made(call)
        assert isinstance(module, nn.Embedding)
        found[call] = module, (torch.from_numpy(indices.integers(0, module.num_embeddings, shape)),)
    return found


def losses() -> dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Every loss by the call that makes it from `a`, `b` and the weight `w`, with these three."""
    z, spatial = draw(5, 4), draw(2, 4, 3, seed=3)
    labels, places = torch.tensor([0, 3, 1, 2, 3]), torch.tensor([[0, 3, 1], [2, 2, -100]])
    p, t = torch.softmax(draw(5, 4, seed=4), 1), draw(5, 4, seed=5)
    unit, w = torch.sigmoid(t), torch.tensor([0.5, 2.0, 1.0, 0.25], dtype=torch.float64)
    cases: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for reduction in ("mean", "sum", "none"):
        kind = f"reduction='{reduction}'"
        cases |= {
            f"cross_entropy(a, b, {kind})": (z, labels),
            f"cross_entropy(a, b, w, {kind})": (z, labels),
            f"cross_entropy(a, b, w, label_smoothing=0.1, {kind})": (z, labels),
            f"cross_entropy(a, b, label_smoothing=0.2, ignore_index=3, {kind})": (z, labels),
            f"cross_entropy(a, b, w, ignore_index=-100, {kind})": (spatial, places),
            f"nll_loss(a, b, w, ignore_index=-100, {kind})": (spatial, places),
            f"nll_loss(a, b, {kind})": (z, labels),
            f"mse_loss(a, b, {kind})": (z, t),
            f"l1_loss(a, b, {kind})": (z, t),
            f"smooth_l1_loss(a, b, beta=0.7, {kind})": (z, t),
            f"huber_loss(a, b, delta=0.7, {kind})": (z, t),
            f"binary_cross_entropy_with_logits(a, b, {kind})": (z, unit),
            f"binary_cross_entropy_with_logits(a, b, w, pos_weight=2 * w, {kind})": (z, unit),
            f"kl_div(a, b, {kind})": (torch.log_softmax(z, 1), p),
            f"kl_div(a, b, log_target=True, {kind})": (torch.log_softmax(z, 1), torch.log(p)),
        }
    cases |= {
        "cross_entropy(a, b)": (z[0], labels[1]),
        "cross_entropy(a, b, w, label_smoothing=0.3)": (z, p),
        "cross_entropy(a, b, reduction='none')": (spatial, torch.softmax(spatial, 1)),
        "kl_div(a, b, reduction='batchmean')": (torch.log_softmax(z, 1), p),
    }
    return {call: (a, b, w) for call, (a, b) in cases.items()}


def call_loss(call: str, a: torch.Tensor, b: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The loss that `call` writes down."""
    name, _, rest = call.partition("(")
    arguments, options = [], {}
    for part in rest.rstrip(")").split(", "):
        key, is_option, value = part.partition("=")
        if is_option:
            options[key] = 2 * w if value == "2 * w" else value.strip("'") if "'" in value else value == "True" if value in ("True", "False") else number(value)
        else:
            arguments.append({"a": a, "b": b, "w": w}[key])
    loss: torch.Tensor = getattr(F, name)(*arguments, **options)
    return loss


def number(text: str) -> float | int:
    """An int where the text is one."""
    return float(text) if "." in text else int(text)


def backward(result: torch.Tensor, inputs: tuple[torch.Tensor, ...], parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    """Gradients of a weighted sum of the result, whose weights are 1, 2, 3, ..., modulo 7."""
    weights = (torch.arange(result.numel(), dtype=torch.float64) % 7 + 1).reshape(result.shape)
    wanted = [tensor for tensor in (*inputs, *parameters) if tensor.requires_grad]
    return list(torch.autograd.grad((result * weights).sum(), wanted)) if wanted else []


def write_modules() -> None:
    """modules.npz: inputs, state, output and gradients of every module."""
    arrays: dict[str, Any] = {}
    for key, (module, inputs) in modules().items():
        fed = tuple(tensor.clone().requires_grad_(tensor.is_floating_point()) for tensor in inputs)
        result = module(*fed)
        gradients = backward(result, fed, list(module.parameters()))
        arrays |= {f"{key}|input{k}": tensor.detach().numpy() for k, tensor in enumerate(fed)}
        arrays |= {f"{key}|state|{name}": tensor.detach().numpy() for name, tensor in module.state_dict().items()}
        arrays |= {f"{key}|gradient{k}": tensor.numpy() for k, tensor in enumerate(gradients)}
        arrays[f"{key}|output"] = result.detach().numpy()
    np.savez_compressed(FOLDER / "modules.npz", **arrays)


def write_losses() -> None:
    """losses.npz: inputs, value and gradient of every loss."""
    arrays: dict[str, Any] = {}
    for key, (a, b, w) in losses().items():
        fed = a.clone().requires_grad_()
        result = call_loss(key, fed, b, w)
        (gradient,) = backward(result, (fed,), [])
        arrays |= {f"{key}|a": a.numpy(), f"{key}|b": b.numpy(), f"{key}|w": w.numpy()}
        arrays |= {f"{key}|output": result.detach().numpy(), f"{key}|gradient": gradient.numpy()}
    np.savez_compressed(FOLDER / "losses.npz", **arrays)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.05},
    "SGD momentum": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "SGD dampening": {"lr": 0.05, "momentum": 0.8, "dampening": 0.3},
    "SGD nesterov": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "Adam": {"lr": 0.03},
    "Adam decay": {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.02},
    "Adam amsgrad": {"lr": 0.3, "amsgrad": True},
    "AdamW": {"lr": 0.03},
    "AdamW decay": {"lr": 0.03, "weight_decay": 0.3, "amsgrad": True},
    "Adamax": {"lr": 0.03, "weight_decay": 0.01},
    "RMSprop": {"lr": 0.02},
    "RMSprop centered": {"lr": 0.02, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.01},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.01, "initial_accumulator_value": 0.1},
    "Adadelta": {"lr": 1.0, "rho": 0.8, "weight_decay": 0.01},
}


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, targets, and the weights and biases to start from."""
    return draw(12, 3), draw(12, 2, seed=1), draw(2, 3, seed=2), draw(2, seed=3)


def trajectory(make: Any, clip_norm: float | None = None, scheduler: Any = None) -> Any:
    """The weights and biases after every step on the squared error of a tanh layer."""
    x, y, weight, bias = problem()
    parameters = [nn.Parameter(weight.clone()), nn.Parameter(bias.clone())]
    optimizer = make(parameters)
    schedule = scheduler(optimizer) if scheduler else None
    path = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.mse_loss(torch.tanh(F.linear(x, *parameters)), y).backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        path.append(np.concatenate([p.detach().numpy().ravel() for p in parameters]))
    return np.stack(path)


def rates(make: Any, lr: float) -> Any:
    """The learning rates that a scheduler gives in the first steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


CTC = {  # steps, samples, classes and labels, with the lengths of inputs and targets
    "repeated labels": ((12, 4, 6, 5), (12, 10, 7, 12), (5, 3, 0, 1)),
    "too short": ((7, 3, 4, 3), (7, 3, 5), (3, 3, 2)),
    "one of each": ((1, 1, 3, 1), (1,), (1,)),
    "blank in the middle": ((9, 2, 5, 4), (9, 8), (4, 2)),
}


def write_ctc() -> None:
    """ctc.npz: inputs, value and gradient of the loss with every reduction; infinite losses have no gradient."""
    arrays: dict[str, Any] = {}
    for name, ((steps, samples, classes, labels), inputs, targets) in CTC.items():
        z = draw(steps, samples, classes, seed=labels).requires_grad_()
        blank = 2 if "blank" in name else 0
        y = 1 + np.arange(samples * labels).reshape(samples, labels) // 2 % (classes - 1)
        y = torch.from_numpy(np.where(y == blank, 0, y))
        lengths = torch.tensor(inputs), torch.tensor(targets)
        arrays |= {f"{name}|z": z.detach().numpy(), f"{name}|targets": y.numpy(), f"{name}|blank": np.array(blank)}
        arrays |= {f"{name}|input_lengths": lengths[0].numpy(), f"{name}|target_lengths": lengths[1].numpy()}
        for reduction in ("mean", "sum", "none"):
            result = F.ctc_loss(torch.log_softmax(z, 2), y, *lengths, blank=blank, reduction=reduction, zero_infinity=True)
            (gradient,) = backward(result, (z,), [])
            arrays |= {f"{name}|{reduction}": result.detach().numpy(), f"{name}|{reduction}|gradient": gradient.numpy()}
        arrays[f"{name}|infinite"] = F.ctc_loss(torch.log_softmax(z, 2), y, *lengths, blank=blank, reduction="none").detach().numpy()
    np.savez_compressed(FOLDER / "ctc.npz", **arrays)


def write_optimizers() -> None:
    """optimizers.npz: the problem, the trajectory of every optimiser, the rates of every schedule."""
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in zip(("x", "y", "weight", "bias"), problem(), strict=True)}
    for key, options in OPTIMIZERS.items():
        kind = getattr(torch.optim, key.split()[0])
        arrays[key] = trajectory(lambda parameters, kind=kind, options=options: kind(parameters, **options))
    arrays["clipped"] = trajectory(lambda parameters: torch.optim.SGD(parameters, lr=0.3, momentum=0.9), clip_norm=0.2)
    schedulers = torch.optim.lr_scheduler
    arrays["scheduled"] = trajectory(lambda parameters: torch.optim.Adam(parameters, lr=0.1), scheduler=lambda o: schedulers.CosineAnnealingLR(o, 15, 0.01))
    arrays["StepLR"] = rates(lambda o: schedulers.StepLR(o, 6, 0.3), 0.5)
    arrays["MultiStepLR"] = rates(lambda o: schedulers.MultiStepLR(o, [3, 11], 0.2), 0.5)
    arrays["ExponentialLR"] = rates(lambda o: schedulers.ExponentialLR(o, 0.9), 0.5)
    arrays["CosineAnnealingLR"] = rates(lambda o: schedulers.CosineAnnealingLR(o, 25, 0.05), 0.5)
    arrays["OneCycleLR"] = rates(lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=STEPS + 1), 0.5)
    arrays["LinearWarmup"] = rates(lambda o: schedulers.LinearLR(o, 0.1, 1.0, 8), 0.5)
    np.savez_compressed(FOLDER / "optimizers.npz", **arrays)


# Layers over spatial axes by the call that makes them, with the shape of their input.
SPATIAL: dict[str, tuple[int, ...]] = {
    "Conv1d(3, 4, 3)": (2, 3, 7),
    "Conv1d(4, 6, 2, stride=3, padding=1, groups=2)": (1, 4, 8),
    "Conv1d(2, 3, 3, padding='same', dilation=2, bias=False)": (3, 2, 6),
    "Conv2d(3, 4, 3, padding=1)": (2, 3, 5, 7),
    "Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(0, 1), bias=False)": (1, 2, 7, 5),
    "Conv2d(4, 6, 3, stride=2, padding=1, groups=2)": (3, 4, 6, 9),
    "Conv2d(4, 4, 3, padding=1, groups=4)": (2, 4, 5, 4),
    "Conv2d(3, 6, 3, stride=2, padding=1, groups=3)": (2, 3, 7, 6),
    "Conv2d(5, 3, 1)": (2, 5, 4, 3),
    "Conv2d(5, 3, 1, stride=2)": (1, 5, 5, 6),
    "Conv2d(2, 5, 3, dilation=(2, 1), padding='same')": (2, 2, 6, 5),
    "Conv2d(2, 3, (2, 4), padding='same')": (2, 2, 4, 5),
    "Conv2d(1, 20, 5)": (2, 1, 9, 8),
    "Conv2d(17, 33, 3, padding=1)": (1, 17, 6, 7),
    "Conv2d(2, 3, 3, padding=1, padding_mode='reflect')": (2, 2, 4, 5),
    "Conv2d(2, 3, 3, padding=2, padding_mode='replicate')": (1, 2, 4, 5),
    "Conv2d(3, 2, 3)": (3, 5, 6),
    "Conv2d(3, 2, (3, 2), padding=(1, 2), padding_mode='circular')": (2, 3, 4, 5),
    "Conv1d(2, 3, 3, padding='same', padding_mode='circular')": (1, 2, 5),
    "Conv3d(2, 3, 2, stride=(1, 2, 1), padding=(1, 0, 0))": (1, 2, 2, 4, 3),
    "Conv3d(4, 2, (1, 3, 2), groups=2, dilation=(1, 1, 2), bias=False)": (2, 4, 2, 4, 5),
    "Conv3d(1, 3, 3, padding='same')": (3, 1, 2, 3, 4),
    "ConvTranspose1d(3, 4, 3, stride=2)": (2, 3, 5),
    "ConvTranspose1d(4, 2, 4, stride=3, padding=1, output_padding=2, groups=2)": (1, 4, 4),
    "ConvTranspose1d(2, 3, 2, dilation=3, bias=False)": (2, 2, 4),
    "ConvTranspose2d(3, 4, 3, padding=1)": (2, 3, 4, 5),
    "ConvTranspose2d(3, 2, 2, stride=2)": (1, 3, 3, 4),
    "ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)": (2, 4, 4, 3),
    "ConvTranspose2d(2, 3, (2, 3), stride=(1, 3), dilation=(2, 1), padding=(1, 0))": (2, 2, 4, 3),
    "ConvTranspose3d(2, 3, 2, stride=2)": (1, 2, 2, 3, 2),
    "ConvTranspose3d(4, 2, 3, stride=(1, 2, 2), padding=1, output_padding=(0, 1, 0), groups=2)": (2, 4, 3, 2, 3),
    "ConvTranspose3d(1, 2, (1, 2, 3), dilation=(1, 2, 1), bias=False)": (3, 1, 2, 2, 4),
    "MaxPool1d(2)": (2, 3, 7),
    "MaxPool1d(3, stride=1, padding=1)": (1, 2, 5),
    "MaxPool1d(3, 2, ceil_mode=True, dilation=2)": (2, 2, 8),
    "MaxPool2d(2)": (2, 3, 4, 7),
    "MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0))": (1, 2, 6, 5),
    "MaxPool2d(3, 2, padding=1, ceil_mode=True)": (2, 2, 6, 7),
    "MaxPool2d(2, 3, dilation=2)": (3, 6, 7),
    "AvgPool1d(3)": (2, 3, 8),
    "AvgPool1d(4, stride=3, padding=2, ceil_mode=True)": (1, 2, 7),
    "AvgPool1d(2, padding=1, count_include_pad=False)": (2, 2, 5),
    "AvgPool2d(2)": (2, 3, 5, 4),
    "AvgPool2d((3, 2), stride=(2, 1), padding=(1, 1), count_include_pad=False)": (1, 2, 6, 5),
    "AvgPool2d(3, 2, padding=1, ceil_mode=True)": (2, 2, 6, 8),
    "AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False, divisor_override=5)": (2, 1, 6, 7),
    "AdaptiveAvgPool1d(3)": (2, 2, 8),
    "AdaptiveAvgPool1d(5)": (2, 2, 3),
    "AdaptiveAvgPool1d(1)": (1, 3, 7),
    "AdaptiveMaxPool1d(3)": (2, 2, 8),
    "AdaptiveMaxPool1d(5)": (1, 2, 3),
    "AdaptiveMaxPool1d(2)": (3, 6),
    "AdaptiveMaxPool2d(1)": (2, 3, 4, 5),
    "AdaptiveMaxPool2d((2, 3))": (1, 2, 4, 7),
    "AdaptiveMaxPool2d((None, 2))": (2, 2, 3, 5),
    "AdaptiveMaxPool2d((5, 4))": (3, 2, 3, 4),
    "AdaptiveAvgPool2d(1)": (2, 3, 4, 5),
    "AdaptiveAvgPool2d((2, 3))": (1, 2, 4, 7),
    "AdaptiveAvgPool2d((None, 2))": (2, 2, 3, 5),
    "Upsample(scale_factor=2)": (2, 3, 3, 4),
    "Upsample(size=(5, 3), mode='nearest')": (1, 2, 3, 4),
    "Upsample(scale_factor=1.7)": (2, 2, 4, 3),
    "Upsample(scale_factor=2, mode='bilinear')": (2, 3, 3, 4),
    "Upsample(size=(7, 2), mode='bilinear', align_corners=True)": (1, 2, 4, 5),
    "Upsample(scale_factor=(1.5, 2.3), mode='bilinear')": (2, 2, 5, 3),
    "Upsample(size=5, mode='linear')": (2, 2, 3),
    "PixelShuffle(2)": (2, 8, 3, 2),
    "PixelShuffle(1)": (1, 3, 2, 3),
    "PixelShuffle(3)": (3, 9, 1, 2),
    "PixelUnshuffle(2)": (2, 2, 4, 6),
    "PixelUnshuffle(1)": (1, 3, 2, 3),
    "PixelUnshuffle(3)": (3, 1, 3, 6),
    "ZeroPad1d(2)": (2, 3, 4),
    "ZeroPad1d((0, 3))": (1, 2, 5),
    "ZeroPad1d((-1, 1))": (3, 4),
    "ZeroPad2d(1)": (1, 2, 3),
    "ZeroPad2d((1, 2, 0, 3))": (2, 2, 3, 4),
    "ZeroPad2d((-1, 2, 1, -1))": (2, 2, 3, 4),
    "ConstantPad2d(1, 3.5)": (1, 2, 3, 4),
    "ConstantPad2d((0, 2, 1, 0), -1.25)": (3, 1, 2, 3),
    "ConstantPad2d((-1, 1, 0, 0), 2.0)": (2, 2, 3, 4),
    "ConstantPad1d(2, 0.5)": (2, 3, 4),
    "ConstantPad1d((0, 3), -1.0)": (1, 2, 5),
    "ConstantPad1d((1, -2), 3.0)": (3, 4),
    "ReflectionPad2d((2, 1, 1, 0))": (2, 2, 3, 4),
    "ReflectionPad2d(1)": (1, 3, 2, 5),
    "ReflectionPad2d((0, 3, 2, 1))": (3, 4, 5),
    "ReplicationPad2d(2)": (2, 2, 3, 4),
    "ReplicationPad2d((0, 1, 4, 0))": (1, 2, 2, 3),
    "ReplicationPad2d((3, 0, 0, 1))": (3, 1, 4),
    "ReflectionPad1d(2)": (2, 2, 4),
    "ReflectionPad1d((0, 3))": (1, 3, 5),
    "ReflectionPad1d((4, 1))": (2, 5),
    "ReplicationPad1d((0, 3))": (2, 4),
    "ReplicationPad1d(2)": (1, 2, 3),
    "ReplicationPad1d((5, 1))": (3, 2, 4),
    "CircularPad1d(2)": (2, 2, 4),
    "CircularPad1d((3, 0))": (1, 2, 3),
    "CircularPad1d((1, 4))": (3, 2, 5),
    "CircularPad2d(1)": (2, 2, 3, 4),
    "CircularPad2d((2, 1, 0, 3))": (1, 3, 3, 4),
    "CircularPad2d((0, 5, 2, 0))": (3, 2, 4, 5),
}
NORMS: dict[str, tuple[int, ...]] = {
    "BatchNorm1d(3)": (5, 3),
    "BatchNorm1d(2, eps=1e-3, momentum=0.3)": (3, 2, 4),
    "BatchNorm1d(3, affine=False, momentum=None)": (4, 3),
    "BatchNorm2d(3)": (2, 3, 4, 5),
    "BatchNorm2d(2, momentum=None)": (1, 2, 3, 4),
    "BatchNorm2d(4, track_running_stats=False)": (3, 4, 2, 3),
    "BatchNorm3d(2)": (2, 2, 3, 2, 4),
    "BatchNorm3d(3, eps=1e-3, momentum=None)": (1, 3, 2, 3, 2),
    "BatchNorm3d(2, affine=False, momentum=0.3)": (3, 2, 1, 2, 3),
    "InstanceNorm2d(3)": (2, 3, 4, 5),
    "InstanceNorm2d(2, affine=True, eps=1e-3)": (1, 2, 3, 4),
    "InstanceNorm2d(2, track_running_stats=True)": (3, 2, 3, 4),
    "InstanceNorm1d(3, affine=True)": (2, 3, 7),
    "InstanceNorm1d(2)": (1, 2, 5),
    "InstanceNorm1d(4, track_running_stats=True, momentum=0.3, eps=1e-3)": (3, 4, 6),
}


def made(call: str) -> nn.Module:
    """The module in float64 that `call` writes down, with drawn parameters."""
    written = ast.parse(call, mode="eval").body
    assert isinstance(written, ast.Call)
    assert isinstance(written.func, ast.Name)
    options = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in written.keywords}
    module: nn.Module = getattr(nn, written.func.id)(*map(ast.literal_eval, written.args), **options).double()
    with torch.no_grad():
        for k, tensor in enumerate(module.parameters()):
            tensor.copy_(draw(*tensor.shape, seed=10 + k))
    return module


def differentiated(key: str, module: nn.Module, fed: torch.Tensor) -> dict[str, Any]:
    """Input, output and gradients under the names of the case."""
    fed = fed.clone().requires_grad_()
    result = module(fed)
    gradients = backward(result, (fed,), list(module.parameters()))
    named = {f"{key}|gradient{k}": tensor.numpy() for k, tensor in enumerate(gradients)}
    return {f"{key}|input": fed.detach().numpy(), f"{key}|output": result.detach().numpy(), **named}


def write_spatial() -> None:
    """spatial.npz: state, input, output and gradients of every layer over spatial axes."""
    arrays: dict[str, Any] = {}
    for key, shape in SPATIAL.items():
        module = made(key)
        arrays |= {f"{key}|state|{name}": tensor.detach().numpy() for name, tensor in module.state_dict().items()}
        arrays |= differentiated(key, module, draw(*shape, seed=1))
        if "MaxPool" in key:
            module.return_indices = True
            arrays[f"{key}|indices"] = module(torch.from_numpy(arrays[f"{key}|input"]))[1].numpy()
    np.savez_compressed(FOLDER / "spatial.npz", **arrays)


def write_norms() -> None:
    """batchnorm.npz: state before and after three training steps on other inputs, the first one's values, and those of inference."""
    arrays: dict[str, Any] = {}
    for key, shape in NORMS.items():
        module = made(key)
        arrays |= {f"{key}|state|{name}": tensor.detach().clone().numpy() for name, tensor in module.state_dict().items()}
        inputs = [draw(*shape, seed=k) + k for k in range(3)]
        arrays |= differentiated(key, module, inputs[0])
        for more in inputs[1:]:
            module(more)
        arrays |= {f"{key}|after|{name}": tensor.detach().numpy() for name, tensor in module.state_dict().items()}
        evaluated = differentiated(f"{key}|inference", module.eval(), inputs[0])
        arrays |= {f"{key}|inputs": torch.stack(inputs).numpy(), **evaluated}
    np.savez_compressed(FOLDER / "batchnorm.npz", **arrays)


if __name__ == "__main__":
    write_modules()
    write_losses()
    write_ctc()
    write_optimizers()
    write_spatial()
    write_norms()

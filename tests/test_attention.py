"""Attention and transformers against PyTorch's values, and what masks, copies and errors are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import GraphdlError, ShapeError, TypeRuleError
from graphdl.nn import functional as F
from graphdl.sizes import evaluate
from tests.references.make_attention_references import CASES, FILE, FUNCTION, Case, differentiable, initial, make, row, weights_like

Array = np.ndarray[Any, Any]
BACKENDS = ["native", "numpy"]
RELATIVE = {"float64": 1e-10, "float32": 3e-5}
each_backend = pytest.mark.parametrize("backend", BACKENDS)

with np.load(FILE, allow_pickle=False) as _arrays:
    REFERENCES = {name: _arrays[name] for name in _arrays.files}


class Typed:
    """graphdl.nn whose modules are made in a dtype."""

    functional = F

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __getattr__(self, name: str) -> Any:
        kind = getattr(nn, name)
        stacked = name in ("TransformerEncoder", "TransformerDecoder")
        return kind if stacked else lambda *args, **options: kind(*args, **options, dtype=self.dtype)


def cast(array: Array, dtype: str) -> Array:
    """Floating arrays in another precision."""
    return array.astype(dtype) if array.dtype.kind == "f" else array


def declared(case: Case, arrays: dict[str, Array], *, symbolic: bool) -> dict[str, gd.Tensor]:
    """Placeholders for the inputs, with symbols for the sizes that have names, or with numbers."""
    shapes = {name: [size for size in shape if size not in ("bool", "-inf")] for name, shape in case.inputs.items()}
    return {name: gd.placeholder(name, shapes[name] if symbolic else array.shape, array.dtype) for name, array in arrays.items()}


def loaded(case: Case, state: Sequence[str], dtype: str) -> tuple[Any, list[gd.Tensor]]:
    """The module with PyTorch's state, and its parameters."""
    module = make(Typed(dtype), case)
    if not isinstance(module, nn.Module):
        return module, []
    words = [entry.split() for entry in state]
    module.load_state_dict({name: initial(seed, tuple(map(int, shape))) for seed, (name, *shape) in enumerate(words)})
    assert [name for name, _ in module.named_parameters()] == [name for name, *_ in words]
    return module, module.parameters()


def check(found: Sequence[Array], name: str, part: str, dtype: str) -> None:
    """Compare the elements of all arrays, relative to each array's largest."""
    start, expected = 0, REFERENCES[f"{name}|{part}"]
    for array in found:
        wanted = expected[start : start + array.size].reshape(array.shape)
        start += array.size
        scale = max(float(np.max(np.abs(wanted), initial=0.0)), 1.0)
        np.testing.assert_allclose(array, wanted, rtol=RELATIVE[dtype], atol=RELATIVE[dtype] * scale)
    assert start == expected.size


@pytest.mark.parametrize(("backend", "dtype", "symbolic"), [("native", "float32", True), ("native", "float64", False), ("numpy", "float64", True)])
@pytest.mark.parametrize("name", CASES)
def test_equal_to_pytorch(name: str, symbolic: bool, dtype: str, backend: str) -> None:
    case = CASES[name]
    arrays = {key: cast(array, dtype) for key, array in case.arrays().items()}
    module, parameters = loaded(case, REFERENCES[f"{name}|state"].tolist(), dtype)
    inputs = declared(case, arrays, symbolic=symbolic)
    result = module(**inputs, **case.call)
    outputs = [tensor for tensor in (result if isinstance(result, tuple) else (result,)) if tensor is not None]
    shapes = [tuple(evaluate(size, case.sizes) for size in tensor.shape) for tensor in outputs]
    weights = [gd.placeholder(f"weights{k}", tensor.shape, dtype) for k, tensor in enumerate(outputs)]
    total = sum((a * b).sum() for a, b in zip(outputs, weights, strict=True))
    assert isinstance(total, gd.Tensor)
    wanted = [inputs[key] for key, array in arrays.items() if differentiable(array)]
    gradients = gd.grad(total, [*wanted, *parameters])
    program = gd.compile([*outputs, *gradients], [*inputs.values(), *weights], backend=backend)
    values = program(*arrays.values(), *(weights_like(shape).astype(dtype) for shape in shapes))
    check(values[: len(outputs)], name, "outputs", dtype)
    check(values[len(outputs) :], name, "gradients", dtype)


def test_every_reference_has_a_case() -> None:
    assert {name.partition("|")[0] for name in REFERENCES} == CASES.keys()
    kinds = [case.kind for case in CASES.values()]
    assert min(kinds.count(kind) for kind in kinds) >= 3
    assert FUNCTION in kinds
    assert row is not None

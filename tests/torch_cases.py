"""Cases with PyTorch's values: modules made from the calls that name them, and comparison within the stated precision."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import numpy as np

import graphdl as gd
from graphdl import nn
from graphdl.compiler import compile

Array = np.ndarray[Any, Any]
Case = dict[str, Array]
REFERENCES = Path(__file__).parent / "references"
RELATIVE = {"float64": 1e-10, "float32": 3e-5}


def load_cases(file: str) -> dict[str, Case]:
    """The arrays of a reference file by case and then by what they are."""
    found: dict[str, Case] = {}
    with np.load(REFERENCES / file) as arrays:
        for name in arrays.files:
            case, _, part = name.partition("|")
            found.setdefault(case, {})[part] = arrays[name]
    return found


def cast(case: Case, dtype: str) -> Case:
    """Floating arrays in another precision."""
    return {part: array.astype(dtype) if array.dtype.kind == "f" else array for part, array in case.items()}


def make_module(call: str, dtype: str) -> nn.Module:
    """The module that `call` writes down, such as `Conv2d(3, 4, 3, padding=1) #2`, in a dtype where it takes one."""
    written = ast.parse(call, mode="eval").body  # what follows # only tells cases apart
    assert isinstance(written, ast.Call)
    assert isinstance(written.func, ast.Name)
    options = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in written.keywords}
    kind = getattr(nn, written.func.id)
    if "dtype" in inspect.signature(kind).parameters:
        options["dtype"] = dtype
    module: nn.Module = kind(*map(ast.literal_eval, written.args), **options)
    return module


def state_of(case: Case, prefix: str = "state|") -> Case:
    """The arrays of a module's state by name."""
    return {part.removeprefix(prefix): array for part, array in case.items() if part.startswith(prefix)}


def assert_near(actual: Any, expected: Array, dtype: str, what: str = "") -> None:
    """Equal up to the precision, relative to the largest element."""
    scale = max(float(np.max(np.abs(expected), initial=0.0)), 1.0)
    assert np.shape(actual) == expected.shape, what
    np.testing.assert_allclose(actual, expected, rtol=RELATIVE[dtype], atol=RELATIVE[dtype] * scale, err_msg=what)


def weighted(result: gd.Tensor, like: Array) -> gd.Tensor:
    """The sum of the result times 1, 2, 3, ... modulo 7, whose gradients the references hold."""
    weights = (np.arange(like.size) % 7 + 1).reshape(like.shape).astype(result.dtype)
    return (result * gd.constant(weights)).sum()


def assert_equals_pytorch(call: str, case: Case, dtype: str, backend: str, symbols: dict[int, str]) -> None:
    """Output and gradients of a module of one input, some of whose axes are declared by symbols."""
    reference = cast(case, dtype)
    module = make_module(call, dtype)
    module.load_state_dict(state_of(reference))
    array = reference["input"]
    x = gd.placeholder("x", [symbols.get(axis, size) for axis, size in enumerate(array.shape)], dtype)
    result = module(x)
    gradients = gd.grad(weighted(result, reference["output"]), [x, *module.parameters()])
    values = compile([result, *gradients], [x], backend=backend)(array)
    assert_near(values[0], reference["output"], dtype, "output")
    for k, value in enumerate(values[1:]):
        assert_near(value, reference[f"gradient{k}"], dtype, f"gradient {k}")

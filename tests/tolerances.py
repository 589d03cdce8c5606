"""How closely results must agree, in one place. All are relative, with an absolute part for values near zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphdl.types import numpy_dtype

Array = np.ndarray[Any, Any]

# (relative, absolute), by what is compared.
EXACT_SEMANTICS = {"float64": (1e-12, 1e-12), "float32": (2e-6, 2e-6), "float16": (2e-3, 2e-3), "bfloat16": (2e-2, 2e-2)}  # same formula, other order
# Native code: products contracted to FMA, sums in another order, functions within a few ULP of NumPy's; 16-bit floats rounded at the end only.
NATIVE = {"float64": (1e-12, 1e-12), "float32": (4e-6, 4e-6), "float16": (4e-3, 4e-3), "bfloat16": (3e-2, 3e-2)}
# The fuzzer: every floating result is disturbed by up to so many units in the last place, and the native result may be off by
# so many times the spread that this makes (plus the disturbance of the result itself): a few hundred units where nothing cancels.
FUZZ_NOISE, FUZZ_FACTOR = 16, 16
FUZZ_EPSILON = {"float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
FUZZ_TINY = {"float16": 1e-4, "float32": 1e-37, "float64": 1e-300}  # below normal numbers all digits may be lost
FINITE_DIFFERENCES = (2e-6, 2e-7)  # float64, extrapolated once: the error is about step**4 and rounding / step
DERIVATIVE_IDENTITY = (1e-9, 1e-10)  # two exact derivatives of one function in float64
SYMBOLIC = (1e-9, 1e-10)  # a formula evaluated by sympy or mpmath against float64


def assert_close(actual: Any, expected: Any, tolerance: tuple[float, float] | None = None, what: str = "") -> None:
    """Equal shapes and values; integers and bools exactly, floating ones by `tolerance` or by their dtype."""
    a, b = np.asarray(actual), np.asarray(expected)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, expected {b.shape}"
    if b.dtype.kind in "iub":
        np.testing.assert_array_equal(a, b, what)
        return
    relative, absolute = tolerance or EXACT_SEMANTICS[b.dtype.name]
    np.testing.assert_allclose(a.astype("float64"), b.astype("float64"), relative, absolute, err_msg=what)


def in_range(x: Array, dtype: str) -> Array:
    """The array in another dtype; numbers that an unsigned one does not have lose their sign."""
    return (abs(x) if dtype.startswith("u") and x.dtype.kind == "i" else x).astype(numpy_dtype(dtype))

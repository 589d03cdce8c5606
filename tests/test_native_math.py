"""The native elementary functions against wider arithmetic: bounds, special values, lanes, and what they lower to."""

from __future__ import annotations

import ctypes
import functools
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import mpmath
import numpy as np
import numpy.typing as npt
import pytest

from graphdl.backends.native import target
from graphdl.backends.native.llvm import F32, F64, I64, PTR, Module
from graphdl.backends.native.math import BOUNDS, FUNCTIONS

Array = npt.NDArray[np.floating]
Kernel = Callable[..., Array]
TYPES = {"float": F32, "double": F64}
DTYPES: dict[str, type[np.floating]] = {"float": np.float32, "double": np.float64}
BINARY = {"pow", "atan2", "fmod", "mod"}
HOST_FEATURES = {name for name, on in llvm.get_host_cpu_features().items() if on}
NEEDED = {"avx512": "avx512vl", "avx2": "avx2", "x86-64": "sse2", "neon": "neon"}
FAMILIES = [name for name, feature in NEEDED.items() if feature in HOST_FEATURES]

# NumPy's name or formula, written so that it is accurate in the wider format.
REFERENCE: dict[str, Callable[..., Array]] = {
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "round": np.rint,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "atan2": np.arctan2,
    "pow": np.power,
}
# Functions of mpmath where NumPy has none; computed at fewer points.
PRECISE: dict[str, Callable[..., Any]] = {"erf": mpmath.erf, "erfc": lambda x: mpmath.erfc(min(x, 1000))}
RANGES: dict[str, tuple[float, float]] = {
    "acos": (-1, 1), "asin": (-1, 1), "atanh": (-1, 1), "erf": (-6.5, 6.5), "erfc": (-6, 28), "tanh": (-22, 22), "log1p": (-1, 50),
    "exp": (-760, 720), "exp2": (-1090, 1030), "expm1": (-50, 720), "sinh": (-720, 720), "cosh": (-720, 720), "sigmoid": (-760, 60),
    "softplus": (-760, 60), "acosh": (1, 100), "sin": (-1e5, 1e5), "cos": (-1e5, 1e5), "tan": (-1e5, 1e5),
}  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1.5, 2.5, -3.0, 1e-30, -1e-30, 88.8, -88.8, 1e30, -1e30, math.inf, -math.inf, math.nan]


@functools.cache
def machine(family: str) -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    row = target.named(family)
    return llvm.Target.from_triple(row.triple).create_target_machine(cpu=row.cpu, features=row.features, opt=2, jit=family != "neon")


def module_text(names: tuple[str, ...], scalar: str, lanes: int, family: str) -> str:
    """A loop over arrays for each function: (x, [y,] result, count)."""
    row, type = target.named(family), TYPES[scalar].with_lanes(lanes)
    module = Module(target_triple=row.triple, has_fma=row.has_fma, has_scale=row.has_scale)
    for name in names:
        inputs = ["x", "y"] if name in BINARY else ["x"]
        f = module.function(f"loop_{name}", [*((operand, PTR) for operand in [*inputs, "result"]), ("count", I64)])
        with f.loop(I64.const(0), f.parameters[-1], step=max(lanes, 1)) as loop:
            operands = [f.load(f.offset(pointer, loop.index, scalar), type) for pointer in f.parameters[:-2]]
            f.store(FUNCTIONS[name](f, *operands), f.offset(f.parameters[-2], loop.index, scalar))
        f.ret()
    return str(module)


@functools.cache
def engine(scalar: str, lanes: int, family: str) -> llvm.ExecutionEngine:
    parsed = llvm.parse_assembly(module_text(tuple(FUNCTIONS), scalar, lanes, family))
    parsed.verify()
    created = llvm.create_mcjit_compiler(parsed, machine(family))
    created.finalize_object()
    return created


def lanes_of(scalar: str, family: str) -> int:
    return target.named(family).lanes(TYPES[scalar])


def kernel(name: str, scalar: str, lanes: int, family: str) -> Kernel:
    """The compiled loop as a function of arrays of any length."""
    address = engine(scalar, lanes, family).get_function_address(f"loop_{name}")
    arity = 2 if name in BINARY else 1
    native = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (arity + 1), ctypes.c_int64)(address)

    def run(*operands: Array) -> Array:
        count = -(-operands[0].size // 16) * 16
        padded = [np.resize(operand, count) for operand in operands]
        result = np.empty(count, DTYPES[scalar])
        native(*(array.ctypes.data for array in [*padded, result]), count)
        return result[: operands[0].size]

    return run


def samples(name: str, scalar: str, count: int) -> list[Array]:
    """Random operands over a function's range and, by logarithm, around zero."""
    random, dtype = np.random.default_rng(7), DTYPES[scalar]
    if name == "pow":
        base = 2.0 ** random.uniform(-40, 40, count)
        return [base.astype(dtype), (random.uniform(-1000, 1000, count) / np.log2(base)).astype(dtype)]
    if name in BINARY:
        return [(2.0 ** random.uniform(-30, 30, count) * random.choice([-1, 1], count)).astype(dtype) for _ in range(2)]
    low, high = RANGES.get(name, (-100, 100))
    if scalar == "float" and high > 500:
        low, high = low / 6, high / 6
    spread = [random.uniform(low, high, count), random.uniform(max(low, -3), min(high, 3), count)]
    small = 2.0 ** random.uniform(-60, 0, count // 2) * random.choice([-1, 1], count // 2)
    x = np.concatenate([*spread, small if low <= 0 else 1 + np.abs(small)]).astype(dtype)
    if name in ("log", "log2", "log10", "sqrt", "rsqrt"):
        x = np.abs(np.concatenate([x, (2.0 ** random.uniform(-125, 125, count)).astype(dtype), 1 + small.astype(dtype)]))
    return [x]


def reference(name: str, operands: list[Array]) -> Array:
    """The function in a wider format."""
    if name in PRECISE:
        with mpmath.workprec(120), np.errstate(all="ignore"):
            values = np.array([extended(PRECISE[name](float(x))) for x in operands[0]])
            return np.copysign(values, operands[0]) if name == "erf" else values
    wide = np.float64 if operands[0].dtype == np.float32 else np.longdouble
    function = REFERENCE.get(name) or getattr(np, name)
    with np.errstate(all="ignore"):
        return np.asarray(function(*(operand.astype(wide) for operand in operands)))


def extended(x: Any) -> np.longdouble:
    """The number rounded to NumPy's widest format."""
    if not mpmath.isfinite(x):
        return np.longdouble(float(x))
    fraction, exponent = mpmath.frexp(x)
    head = float(fraction)
    total: np.longdouble = np.ldexp(np.longdouble(head) + np.longdouble(float(fraction - head)), max(int(exponent), -20000))
    return total


def errors(result: Array, wanted: Array) -> Array:
    """Distance in units in the last place of the result's format; overflow counts as zero where both overflow."""
    with np.errstate(all="ignore"):
        nearest = wanted.astype(result.dtype)
        unit = np.spacing(np.abs(nearest))
        distance = np.abs(result.astype(wanted.dtype) - wanted) / unit
    agrees = (nearest == result) | (np.isnan(nearest) & np.isnan(result))
    return np.where(agrees & ~np.isfinite(nearest), 0.0, np.where(np.isnan(distance), np.inf, distance)).astype(np.float64)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scalar", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_stays_within_the_stated_bound(name: str, scalar: str, family: str) -> None:
    operands = samples(name, scalar, 600 if name in PRECISE else 15000)
    result = kernel(name, scalar, lanes_of(scalar, family), family)(*operands)
    distance = errors(result, reference(name, operands))
    worst = int(np.argmax(distance))
    assert distance[worst] <= max(BOUNDS[name][scalar], 0.51 if BOUNDS[name][scalar] == 0.5 else 0), [float(operand[worst]) for operand in operands]


def patterns(name: str, scalar: str, count: int) -> list[Array]:
    """Numbers of random bits: every exponent, denormal numbers, infinities and NaN."""
    random, dtype = np.random.default_rng(11), DTYPES[scalar]
    size = np.dtype(dtype).itemsize
    return [np.frombuffer(random.bytes(size * count), dtype) for _ in range(2 if name in BINARY else 1)]


def special(name: str, scalar: str) -> list[Array]:
    limits = np.finfo(DTYPES[scalar])
    edges = [limits.max, limits.tiny, limits.smallest_subnormal, -limits.max, -limits.tiny, -limits.smallest_subnormal, 1 - limits.epsneg, 1 + limits.eps]
    values = np.array([*SPECIAL, *edges], DTYPES[scalar])
    return [grid.ravel() for grid in np.meshgrid(values, values)] if name in BINARY else [values]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scalar", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_bits_stay_within_the_bound(name: str, scalar: str, family: str) -> None:
    operands = patterns(name, scalar, 200 if name in PRECISE else 3000)
    result = kernel(name, scalar, lanes_of(scalar, family), family)(*operands)
    distance = errors(result, reference(name, operands))
    worst = int(np.argmax(distance))
    assert distance[worst] <= max(BOUNDS[name][scalar], 0.5), [float(operand[worst]) for operand in operands]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scalar", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values_are_of_numpys_class(name: str, scalar: str, family: str) -> None:
    operands = special(name, scalar)
    result = kernel(name, scalar, lanes_of(scalar, family), family)(*operands)
    with np.errstate(all="ignore"):
        wanted = reference(name, operands).astype(result.dtype)
    for x, y, *inputs in zip(result, wanted, *operands, strict=True):
        same = math.isnan(x) if math.isnan(y) else (np.signbit(x), math.isinf(x), x == 0) == (np.signbit(y), math.isinf(y), y == 0)
        assert same, (*map(float, inputs), float(x), float(y))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scalar", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_lanes_do_not_change_a_bit(name: str, scalar: str, family: str) -> None:
    operands = [np.concatenate(pair) for pair in zip(samples(name, scalar, 200), patterns(name, scalar, 200), strict=True)]
    vector, narrow, single = (kernel(name, scalar, lanes, family)(*operands) for lanes in (lanes_of(scalar, family), 2, 0))
    for other in (narrow, single):
        assert np.array_equal(np.isnan(vector), np.isnan(other))
        assert vector[~np.isnan(vector)].tobytes() == other[~np.isnan(other)].tobytes()


@pytest.mark.parametrize("scalar", TYPES)
@pytest.mark.parametrize(
    ("name", "operands", "wanted"),
    [("exp", [0], 1), ("exp2", [10], 1024), ("log", [1], 0), ("log2", [8], 3), ("log10", [1000], 3), ("cos", [0], 1), ("cosh", [0], 1), ("tanh", [30], 1),
     ("sigmoid", [0], 0.5), ("pow", [2, 10], 1024), ("pow", [3, 4], 81), ("pow", [-2, 3], -8), ("cbrt", [27], 3), ("erfc", [0], 1), ("atan2", [0, 1], 0)],
)  # fmt: skip
def test_simple_values_are_exact(name: str, operands: list[float], wanted: float, scalar: str) -> None:
    for family in FAMILIES:
        arrays = [np.full(16, operand, DTYPES[scalar]) for operand in operands]
        assert kernel(name, scalar, lanes_of(scalar, family), family)(*arrays)[0] == wanted


def test_huge_angles_agree_with_exact_reduction() -> None:
    x = np.array([1e22, 2.0**1000 * 1.37, 6381956970095103 * 2.0**797, 1.7e308, 3e7])
    for name, exact in (("sin", mpmath.sin), ("cos", mpmath.cos), ("tan", mpmath.tan)):
        with mpmath.workprec(1200):
            wanted = np.array([extended(exact(mpmath.mpf(value))) for value in x])
        for family in FAMILIES:
            assert errors(kernel(name, "double", lanes_of("double", family), family)(x), wanted).max() <= BOUNDS[name]["double"]


@pytest.mark.parametrize("family", target.FAMILIES)
@pytest.mark.parametrize("scalar", TYPES)
def test_nothing_calls_a_library(scalar: str, family: str) -> None:
    parsed = llvm.parse_assembly(module_text(tuple(FUNCTIONS), scalar, lanes_of(scalar, family), family))
    parsed.verify()
    called = undefined_symbols(machine(family).emit_assembly(parsed))
    assert called <= ({"__multi3"} if family == "wasm" else set()), called  # wide products, which exported objects bring themselves


def undefined_symbols(assembly: str) -> set[str]:
    """What calls and jumps reach outside the module; an address may be moved to a register first."""
    defined = set(re.findall(r"^([\w.$]+):", assembly, re.MULTILINE))
    mentioned = set(re.findall(r"\b(?:call|callq|jmp|jmpq|bl|b|movabsq|movq|leaq|adrp)\s+[$*]*([A-Za-z_][\w.]*)", assembly))
    return {symbol for symbol in mentioned if symbol not in defined and not re.fullmatch(r"[re][a-z0-9]{1,3}|[wxvqds]\d+", symbol)}


def test_every_function_states_its_bound() -> None:
    assert set(BOUNDS) == set(FUNCTIONS)
    for name, emit in FUNCTIONS.items():
        assert "ulp in double" in (inspect.getdoc(emit) or ""), name

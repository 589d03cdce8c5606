"""The native backend against every op's own meaning, from the samples of all ops. The samples of one op are one program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.backends.native import target
from graphdl.backends.native.codegen import entry
from graphdl.errors import GraphdlError
from graphdl.ir import Tensor, make_node
from graphdl.kernel.functions import TABLE
from graphdl.op import REGISTRY, Op, Sample
from graphdl.sizes import symbol
from graphdl.types import DTYPES, TensorType, is_floating, numpy_dtype
from tests.reference import run
from tests.test_ops_generated import SAMPLES, Pulled, accepted, floating_sample
from tests.tolerances import NATIVE, assert_close, in_range

Array = np.ndarray[Any, Any]
OPS = sorted({case.values[0].op.name for case in SAMPLES})
each_op = pytest.mark.parametrize("name", OPS)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHDL_CACHE_DIR", "off")


@dataclass(frozen=True)
class Case:
    """A node over placeholders, their arrays, and what must come out."""

    what: str
    inputs: list[Tensor]
    arrays: Sequence[Array]
    outputs: tuple[Tensor, ...]
    expected: tuple[Array, ...]


def case_of(what: str, op: Op, types: Sequence[TensorType], arrays: Sequence[Array], expected: Any = None) -> Case:
    inputs = [gd.placeholder(f"{what}.{k}", type.shape, type.dtype) for k, type in enumerate(types)]
    outputs = make_node(op, inputs).outputs
    with np.errstate(all="ignore"):
        result = op.evaluate(*arrays) if expected is None else expected
    return Case(what, inputs, arrays, outputs, result if isinstance(result, tuple) else (result,))


def type_of(array: Array) -> TensorType:
    return TensorType(array.dtype.name, array.shape)


def samples(name: str) -> Iterator[tuple[str, Sample]]:
    return ((f"{name}{k}", sample) for k, sample in enumerate(REGISTRY[name].samples()))


def compiled(cases: Sequence[Case], threads: int = 1) -> list[Array]:
    inputs = [tensor for case in cases for tensor in case.inputs]
    program = gd.compile([tensor for case in cases for tensor in case.outputs], inputs, passes="none", threads=threads)
    return list(program(*(array for case in cases for array in case.arrays)))


def check(cases: Iterable[Case]) -> None:
    listed = list(cases)
    found = iter(compiled(listed) if listed else [])
    for case in listed:
        for expected in case.expected:
            actual = next(found)
            assert actual.dtype == expected.dtype, case.what
            assert_close(actual, expected, NATIVE.get(expected.dtype.name), case.what)


def as_declared(name: str) -> list[Case]:
    return [case_of(what, sample.op, [type_of(x) for x in sample.operands], sample.operands) for what, sample in samples(name)]


@each_op
def test_samples(name: str) -> None:
    check(as_declared(name))


def symbolic_forms(sample: Sample) -> Iterator[tuple[Op, list[TensorType], TensorType, dict[str, int]]]:
    return accepted(sample) if sample.operands or not hasattr(sample.op, "state") else iter(())


def symbolic(name: str) -> Iterator[Case]:
    for what, sample in samples(name):
        for form, (op, types, _, sizes) in enumerate(symbolic_forms(sample)):
            own: Any = {"N": symbol(f"{what}_{form}")}
            expected = sample.op.evaluate(*sample.operands)
            made = case_of(f"{what}_{form}x", op.bind(own), [type.bind(own) for type in types], sample.operands, expected)
            witness = gd.placeholder(f"{what}_{form}n", (own["N"],), "bool")  # an input has the size, whether the operands do or not
            yield replace(made, inputs=[*made.inputs, witness], arrays=[*made.arrays, np.zeros(sizes["N"], bool)])


@each_op
def test_symbolic_sizes(name: str) -> None:
    check(symbolic(name))


@each_op
def test_symbolic_sizes_of_zero(name: str) -> None:
    """A symbolic size may be 0 at the call: the result is empty, or the interpreter refuses it too."""
    for what, sample in samples(name):
        for op, types, *_ in symbolic_forms(sample):
            witnessed = [*types, TensorType("bool", (symbol("N"),))]
            inputs = [gd.placeholder(f"{what}.{k}", type.shape, type.dtype) for k, type in enumerate(witnessed)]
            arrays = [np.zeros([0 if "N" in str(size) else size for size in type.shape], numpy_dtype(type.dtype)) for type in witnessed]
            outputs = make_node(op, inputs[:-1]).outputs
            try:
                expected = gd.compile(outputs, inputs, backend="numpy", passes="none")(*arrays)
            except (GraphdlError, ValueError, IndexError):
                continue
            for actual, wanted in zip(gd.compile(outputs, inputs, passes="none", threads=1)(*arrays), expected, strict=True):
                assert_close(actual, wanted, NATIVE.get(wanted.dtype.name), what)


def converted(name: str, dtype: str) -> Iterator[Case]:
    """Samples with their numbers in another dtype, where the op takes it: floating ones for floating, integers for integers."""
    kinds = "f" if is_floating(dtype) else "iub"
    for what, sample in samples(name):
        main = sample.operands[0].dtype if sample.operands else None
        with np.errstate(all="ignore"):
            arrays = [in_range(x, dtype) if x.dtype == main and x.dtype.kind in kinds else x for x in sample.operands]
        if main is None or main.kind not in kinds:
            continue
        try:
            yield case_of(f"{what}{dtype}", sample.op, [TensorType(x.dtype.name, x.shape) for x in arrays], arrays)
        except (GraphdlError, TypeError):
            continue


@each_op
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_floating_dtypes(name: str, dtype: str) -> None:
    pointwise = REGISTRY[name].pattern in ("pointwise", "injective")
    check(converted(name, dtype) if pointwise or dtype == "float32" else ())


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if not is_floating(dtype)])
def test_integer_dtypes(dtype: str) -> None:
    for name in OPS:
        check(converted(name, dtype))


SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, 1e-40, -1e-320, 1e30, -1e30, 88.5, -104.0, 710.0]


def at_special_points(name: str, dtype: str) -> Iterator[Case]:
    """Pointwise ops on all combinations of values where functions have their edges; a zero keeps its sign."""
    for what, sample in samples(name):
        if REGISTRY[name].pattern == "pointwise" and sample.operands and all(x.dtype == np.float64 for x in sample.operands):
            with np.errstate(all="ignore"):
                points = np.array(SPECIAL).astype(dtype)
            arrays = [np.ascontiguousarray(x) for x in np.meshgrid(*[points] * len(sample.operands))]
            yield case_of(what, sample.op, [type_of(x) for x in arrays], arrays)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_op
def test_special_values(name: str, dtype: str) -> None:
    cases = list(at_special_points(name, dtype))
    if not cases:
        return
    for case, actual in zip(cases, compiled(cases), strict=True):
        (expected,) = case.expected
        assert_close(actual, expected, NATIVE.get(expected.dtype.name), case.what)
        if expected.dtype.kind == "f" and name in TABLE:
            zeros = expected == 0
            np.testing.assert_array_equal(np.signbit(actual)[zeros], np.signbit(expected)[zeros], f"{case.what}: the sign of zero")


@each_op
def test_gradients(name: str) -> None:
    pulled = [Pulled(sample) for _, sample in samples(name) if floating_sample(sample)]
    if not pulled:
        return
    renamed = [renaming(one, k) for k, one in enumerate(pulled)]
    inputs = [tensor for given, _ in renamed for tensor in given]
    program = gd.compile([gradient for _, gradients in renamed for gradient in gradients], inputs, passes="none", threads=1)
    found = iter(program(*(array for given, _ in renamed for array in given.values())))
    for one in pulled:
        for gradient in run(one.gradients, one.given):
            assert_close(next(found), gradient, NATIVE["float64"], name)


def renaming(pulled: Pulled, number: int) -> tuple[dict[Tensor, Array], Sequence[Tensor]]:
    """The gradient graph over placeholders with names of their own."""
    inputs = {gd.placeholder(f"p{number}.{k}", x.shape, x.dtype): array for k, (x, array) in enumerate(pulled.given.items())}
    *own, seed = inputs
    output = make_node(pulled.sample.op, own).output
    return inputs, gd.vjp(output, [own[k] for k in pulled.chosen], seed)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "float16"])
@pytest.mark.parametrize("shape", [(16, 16), (15, 33), (33, 64), (8, 130), (70, 9), (17, 1)])
def test_reading_across_what_is_written(shape: tuple[int, int], dtype: str) -> None:
    """Tiles transposed in registers with all that is left at their edges, and reductions down the columns of a larger map."""
    x, y = gd.placeholder("x", ("N", "M"), dtype), gd.placeholder("y", ("M", "N"), dtype)
    z = gd.placeholder("z", (2, *shape), dtype)
    turned = gd.transpose(z, (0, 2, 1))
    outputs = [x.T + y * 2, gd.transpose(z, (2, 0, 1)), turned * turned, x - x.max(axis=0), z - z.max(axis=1, keepdims=True), gd.transpose(z, (1, 2, 0))]
    outputs += [gd.softmax(z, axis=1), gd.softmax(z, axis=0)] if dtype in ("float32", "float64") else []
    generator = np.random.default_rng(0)
    arrays = [generator.integers(-9, 9, size).astype(dtype) for size in (shape, shape[::-1], (2, *shape))]
    expected = gd.compile(outputs, [x, y, z], backend="numpy")(*arrays)
    for passes in ("default", "none"):
        for actual, wanted in zip(gd.compile(outputs, [x, y, z], passes=passes)(*arrays), expected, strict=True):
            assert_close(actual, wanted, NATIVE.get(dtype))


@each_op
def test_threads_give_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "PARALLEL_WORK", 0)
    cases = as_declared(name)
    for one, two in zip(compiled(cases, threads=1), compiled(cases, threads=2), strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("family", ["x86-64", "avx2", "avx512"])
def test_other_targets(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_run(family):
        pytest.skip(f"this machine has no {family}")
    monkeypatch.setenv("GRAPHDL_TARGET", family)
    target.host.cache_clear()
    try:
        for name in OPS:
            check([*as_declared(name), *converted(name, "float32")])
    finally:
        target.host.cache_clear()


def can_run(family: str) -> bool:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return all(features.get(feature) for feature in {"x86-64": (), "avx2": ("avx2", "fma"), "avx512": ("avx512f", "avx512vl", "avx512dq", "avx512bw")}[family])

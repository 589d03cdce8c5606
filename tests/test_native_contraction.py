"""The contraction engine against NumPy in double precision, compiled without the rest of the backend."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import llvmlite.binding as llvm
import numpy as np
import pytest

import graphdl as gd
from graphdl.backends.native.contraction import (
    Axis,
    Contraction,
    Direct,
    Epilogue,
    Indexed,
    Known,
    Matrix,
    Operand,
    Parts,
    Schedule,
    Shape,
    Store,
    Traits,
    emit_contraction,
    plan,
)
from graphdl.backends.native.llvm import F32, F64, I64, PTR, Function, Module, Type, Value
from graphdl.backends.native.target import Target, host, named

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
POINTERS = ("a", "b", "c", "bias", "packed_a", "packed_b")
SLOTS = (*POINTERS, "batch", "m", "n", "k")
UNKNOWN = Known()
GUARD = 64  # elements of NaN around every operand, and of a marker around every output
MARKER = 777.0


def slot(f: Function, name: str) -> Value:
    address = f.offset(f.parameters[0], I64.const(SLOTS.index(name)), "i64")
    return f.load(address, PTR if name in POINTERS else I64)


@dataclass(frozen=True)
class Relu:
    """An operand that is an expression: max(element, 0), evaluated as it is packed."""

    matrix: Matrix
    direct: None = None
    indexed: None = None

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Axis, mask: Value | None) -> Value:
        value = self.matrix.vector(f, batch, free, k, lanes, axis, mask)
        return relu(f, value)


@dataclass(frozen=True)
class Tabled:
    """An operand that is read in place, its rows found in a table."""

    f: Function
    matrix: Matrix
    direct: None = None

    @property
    def indexed(self) -> Indexed:
        place, f = self.matrix.direct, self.f
        return Indexed(place.pointer, lambda batch: f.mul(batch, place.batch_stride), lambda k: f.mul(k, place.column_stride))

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Axis, mask: Value | None) -> Value:
        return self.matrix.vector(f, batch, free, k, lanes, axis, mask)


@dataclass(frozen=True)
class BiasRelu:
    """The epilogue relu(sum + bias[n])."""

    matrix: Store
    bias: Value
    direct: None = None
    arrays: int = 0

    def places(self, f: Function, batch: Value, m: Value, n: Value) -> list[Value]:
        return []

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        bias = f.load(f.offset(self.bias, n, value.type.scalar), value.type, mask)
        self.matrix.store(f, batch, m, n, relu(f, f.add(value, bias)), mask)


@dataclass(frozen=True)
class Adding:
    """The epilogue old + sum - MARKER over an output that holds MARKER, which the micro-kernels fetch beforehand."""

    matrix: Store
    direct: None = None
    arrays: int = 1

    def places(self, f: Function, batch: Value, m: Value, n: Value) -> list[Value]:
        to = self.matrix.direct
        offset = f.add(f.mul(batch, to.batch_stride), f.add(f.mul(m, to.row_stride), n))
        return [f.offset(to.pointer, offset, self.matrix.scalar.scalar)]

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        (place,) = self.places(f, batch, m, n)
        rest = f.sub(f.load(place, value.type, mask), value.type.const(MARKER))
        self.matrix.store(f, batch, m, n, f.add(rest, value), mask)


def relu(f: Function, value: Value) -> Value:
    zero = value.type.const(0.0)
    return f.select(f.compare("olt", value, zero), zero, value)


@dataclass(frozen=True)
class Case:
    """What is compiled: layouts (`n` row-major, `t` transposed), and which of the three parts are expressions."""

    layout: str = "nn"
    dtype: str = "float32"
    expressions: str = ""  # of "a", "b", "e" (epilogue), "u" (one that reads the output), "g" (B read by gathers), "i" (B read by a table)
    batched: bool = True
    known: Known = UNKNOWN

    @property
    def scalar(self) -> Type:
        return F32 if self.dtype == "float32" else F64

    def schedule(self, target: Target) -> Schedule:
        a = Traits("k" if self.layout[0] == "n" else "mn", "a" not in self.expressions)
        contiguous: Axis | None = None if "g" in self.expressions else "mn" if self.layout[1] == "n" else "k"
        b = Traits(contiguous, not set("bgi") & set(self.expressions), self.batched, "i" in self.expressions)
        return Schedule.choose(target, self.scalar, a, b, self.known)

    def prepare(self, f: Function) -> Parts:
        sizes = {name: getattr(self.known, name) for name in ("batch", "m", "n", "k")}
        batch, m, n, k = (slot(f, name) if size is None else I64.const(size) for name, size in sizes.items())
        one, zero = I64.const(1), I64.const(0)
        a_strides = (k, one) if self.layout[0] == "n" else (one, m)
        b_strides = (one, n) if self.layout[1] == "n" else (k, one)
        contiguous: Axis | None = None if "g" in self.expressions else "mn" if self.layout[1] == "n" else "k"
        a = Matrix(Direct(slot(f, "a"), *a_strides, f.mul(m, k)), self.scalar, "k" if self.layout[0] == "n" else "mn")
        b = Matrix(Direct(slot(f, "b"), *b_strides, f.mul(k, n) if self.batched else zero), self.scalar, contiguous)
        c = Store(Direct(slot(f, "c"), n, one, f.mul(m, n)), self.scalar)
        epilogue: Epilogue = BiasRelu(c, slot(f, "bias")) if "e" in self.expressions else Adding(c) if "u" in self.expressions else c
        left: Operand = Relu(a) if "a" in self.expressions else a
        right: Operand = Relu(b) if "b" in self.expressions else Tabled(f, b) if "i" in self.expressions else b
        return Parts(batch, m, n, k, left, right, epilogue, slot(f, "packed_a"), slot(f, "packed_b"))

    def emit(self, target: Target) -> tuple[Module, Contraction]:
        module = Module(target.triple)
        return module, emit_contraction(module, self.schedule(target), "product", self.prepare)


@dataclass
class Product:
    """A compiled case."""

    case: Case
    target: Target
    names: Contraction = field(init=False)
    engine: llvm.ExecutionEngine = field(init=False)

    def __post_init__(self) -> None:
        module, self.names = self.case.emit(self.target)
        machine = machine_of(self.target)
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(parsed, builder)
        self.engine = llvm.create_mcjit_compiler(parsed, machine)
        self.engine.finalize_object()

    def run(self, shape: Shape[int], a: np.ndarray, b: np.ndarray, bias: np.ndarray, pieces: int = 1) -> np.ndarray:
        """The product, its tasks cut into `pieces` ranges that run in reverse order."""
        needed = plan(self.case.schedule(self.target), shape)
        guarded = [guard(array) for array in (a, b, bias)]
        c = np.full(shape.batch * shape.m * shape.n + 2 * GUARD, MARKER, a.dtype)
        item = a.itemsize
        scratch = [np.full(size // item + 2 * GUARD, np.nan, a.dtype) for size in (needed.packed_a_bytes, needed.packed_b_bytes)]
        inside = [array.ctypes.data + GUARD * item for array in (*guarded[:2], c, guarded[2], *scratch)]
        slots = np.array([*inside, shape.batch, shape.m, shape.n, shape.k], np.int64)
        phases = ((self.names.pack_a, needed.pack_a_tasks), (self.names.pack_b, needed.pack_b_tasks), (self.names.compute, needed.compute_tasks))
        for name, tasks in phases:
            for begin, end in ranges(tasks, pieces):
                assert name is not None
                self.kernel(name)(slots.ctypes.data, begin, end)
        assert (np.concatenate([c[:GUARD], c[-GUARD:]]) == MARKER).all()
        assert all(np.isnan(array[-GUARD:]).all() and np.isnan(array[:GUARD]).all() for array in scratch)
        return c[GUARD:-GUARD].reshape(shape.batch, shape.m, shape.n)

    def kernel(self, name: str) -> Callable[[int, int, int], None]:
        return KERNEL(self.engine.get_function_address(name))


def machine_of(target: Target) -> llvm.TargetMachine:
    return llvm.Target.from_triple(target.triple).create_target_machine(cpu=target.cpu, features=target.features, opt=1, reloc="pic")


def guard(array: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full(GUARD, np.nan, array.dtype), array.ravel(), np.full(GUARD, np.nan, array.dtype)])


def ranges(tasks: int, pieces: int) -> Iterator[tuple[int, int]]:
    bounds = [tasks * piece // pieces for piece in range(pieces + 1)]
    return ((begin, end) for begin, end in reversed(list(itertools.pairwise(bounds))) if begin < end)


def operands(case: Case, shape: Shape[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    a_shape = (shape.m, shape.k) if case.layout[0] == "n" else (shape.k, shape.m)
    b_shape = (shape.k, shape.n) if case.layout[1] == "n" else (shape.n, shape.k)
    a = random.standard_normal((shape.batch, *a_shape)).astype(case.dtype)
    b = random.standard_normal((shape.batch if case.batched else 1, *b_shape)).astype(case.dtype)
    return a, b, random.standard_normal(shape.n).astype(case.dtype)


def reference(case: Case, a: np.ndarray, b: np.ndarray, bias: np.ndarray) -> np.ndarray:
    left, right = a.astype("float64"), b.astype("float64")
    left = np.maximum(left, 0) if "a" in case.expressions else left
    right = np.maximum(right, 0) if "b" in case.expressions else right
    left = left if case.layout[0] == "n" else left.transpose(0, 2, 1)
    right = right if case.layout[1] == "n" else right.transpose(0, 2, 1)
    product = left @ right
    return np.maximum(product + bias, 0) if "e" in case.expressions else product


def check(product: Product, shape: Shape[int]) -> None:
    a, b, bias = operands(product.case, shape)
    expected = reference(product.case, a, b, bias)
    tolerance = (1e-5 if product.case.dtype == "float32" else 1e-13) * (shape.k + 1) ** 0.5 * 8
    whole = product.run(shape, a, b, bias)
    np.testing.assert_allclose(whole, expected, rtol=tolerance, atol=tolerance, err_msg=f"{product.case} {shape}")
    np.testing.assert_array_equal(product.run(shape, a, b, bias, pieces=3), whole)


SIZES = [
    (1, 1, 1), (1, 33, 17), (2, 16, 32), (3, 5, 7), (4, 40, 129), (5, 1, 40), (6, 17, 64), (7, 100, 33), (12, 31, 15), (13, 16, 1), (14, 3, 32),
    (15, 32, 31), (20, 3000, 40), (130, 1024, 130), (2, 5000, 9), (28, 65, 100), (29, 64, 96), (65, 20, 70), (130, 47, 65), (1, 300, 1), (3, 7, 300),
    (0, 5, 5), (5, 0, 37), (5, 5, 0), (300, 9, 3),
]  # fmt: skip
CASES = [
    *(Case(layout, dtype) for layout in ("nn", "nt", "tn", "tt") for dtype in ("float32", "float64")),
    Case("nt", expressions="e"), Case("nn", expressions="e"), Case("nn", expressions="a"), Case("tn", expressions="a"), Case("nt", expressions="b"),
    Case("nn", expressions="b"), Case("tt", expressions="abe"), Case("nt", expressions="g"), Case("nt", "float64", "abe", batched=False),
    Case("nn", expressions="u"), Case("nt", "float64", "u"), Case("tt", expressions="abu"),
    Case("nn", expressions="i"), Case("tn", expressions="ai"), Case("nn", "float64", "ie", batched=False),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _initialized() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def runnable(family: str) -> Target:
    """The family, if this processor can run it; of NEON the tiles, which x86 runs too, with fewer registers than they want."""
    if family == "neon":
        here = runnable("avx2")
        return replace(named("neon"), triple=here.triple, cpu=here.cpu, features=here.features)
    if host().vector_bytes < named(family).vector_bytes or not host().triple.startswith("x86_64"):
        pytest.skip(f"this processor does not run {family}")
    return named(family)


@pytest.mark.parametrize("family", ["avx512", "avx2", "x86-64", "neon"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_size_without_recompiling(case: Case, family: str) -> None:
    product = Product(case, runnable(family))
    for m, k, n in SIZES:
        check(product, Shape(1, m, n, k))
    check(product, Shape(3, 9, 35, 18))
    check(product, Shape(0, 4, 4, 4))


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("size", [(1, 64, 96), (100, 78, 64), (33, 20, 10), (5, 50, 300), (0, 4, 4)])
def test_known_sizes(layout: str, size: tuple[int, int, int]) -> None:
    m, k, n = size
    shape = Shape(2, m, n, k)
    check(Product(Case(layout, expressions="e", known=Known(shape.batch, m, n, k)), host()), shape)


@pytest.mark.parametrize("family", ["avx512", "avx2", "x86-64", "neon"])
@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("step", [7, 128])
def test_multiples_of_a_known_number(step: int, layout: str, family: str) -> None:
    """Which kernels there are does not change a bit."""
    target = runnable(family)
    product, other = (Product(Case(layout, expressions="e", known=known), target) for known in (Known(m_step=step), UNKNOWN))
    for count, k, n in ((0, 5, 7), (1, 9, 40), (2, 300, 33), (5, 20, 100)):
        shape = Shape(2, step * count, n, k)
        check(product, shape)
        given = operands(product.case, shape)
        np.testing.assert_array_equal(product.run(shape, *given), other.run(shape, *given))


def test_multiples_need_few_micro_kernels() -> None:
    module, _ = Case("nn", known=Known(m_step=128)).emit(named("avx512"))
    rows = {int(name.split("_")[2].split("x")[0]) for name in module.functions if name.startswith("contract")}
    assert rows == {12, 13, 14}


@pytest.mark.parametrize("family", ["avx512", "avx2", "x86-64", "neon"])
@pytest.mark.parametrize("expressions", ["", "abe", "i"])
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("n", [1, 3])
def test_narrow_outputs(n: int, layout: str, expressions: str, family: str) -> None:
    product = Product(Case(layout, expressions=expressions, known=Known(n=n)), runnable(family))
    assert product.case.schedule(product.target).transposed
    for m, k in ((1, 5), (40, 33), (150, 7), (9, 3000), (0, 3), (5, 0)):
        check(product, Shape(2, m, n, k))


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("m", [2, 20])
def test_nan_and_infinity_propagate(layout: str, m: int) -> None:
    case, shape = Case(layout), Shape(1, m, 40, 33)
    a, b, bias = operands(case, shape)
    a[...] = 0
    b.reshape(-1)[7] = np.inf
    b.reshape(-1)[-1] = np.nan
    with np.errstate(invalid="ignore"):
        expected = np.isnan(reference(case, a, b, bias))
    actual = Product(case, host()).run(shape, a, b, bias)
    np.testing.assert_array_equal(np.isnan(actual), expected)


def test_emits_for_another_architecture() -> None:
    target = named("neon")
    module, _ = Case("nt", expressions="e").emit(target)
    parsed = llvm.parse_assembly(str(module))
    assert machine_of(target).emit_object(parsed)


def test_known_sizes_need_few_micro_kernels() -> None:
    module, names = Case("nn", known=Known(1, 100, 256, 784)).emit(named("avx512"))
    kernels = [name for name in module.functions if name.startswith("contract")]
    assert len(kernels) <= 2
    assert names.pack_a is None


def test_an_output_that_turns_out_narrow_needs_no_panels() -> None:
    along_k = Traits("k", True), Traits("k", True)
    narrow, wide = (plan(Schedule.choose(named("avx512"), F32, *along_k), Shape(1, 258, n, 256)) for n in (4, 5))
    assert (narrow.packed_a_bytes, narrow.packed_b_bytes) == (0, 0)
    assert wide.packed_b_bytes > 0


@pytest.mark.parametrize("m", [258, 30])
def test_outputs_that_turn_out_narrow(m: int) -> None:
    """One program whose columns are few in one call and many in the next, with rows known and not."""
    a, b = np.random.default_rng(0).normal(size=(m, 200)).astype("f"), np.random.default_rng(1).normal(size=(40, 200)).astype("f")
    for rows in ("M", m):
        x, y = gd.placeholder("x", (rows, 200)), gd.placeholder("y", ("N", 200))
        f = gd.compile(gd.relu(x @ gd.transpose(y)), inputs=[x, y])
        for n in (0, 1, 3, 4, 5, 40):
            np.testing.assert_allclose(f(a, b[:n]), np.maximum(a @ b[:n].T, 0), rtol=2e-5, atol=2e-4)


def test_plan_is_small_where_operands_are_read_in_place() -> None:
    direct = Traits("k", True), Traits("mn", True)
    needed = plan(Schedule.choose(named("avx512"), F32, *direct), Shape(1, 4, 1000, 1000))
    assert (needed.packed_a_bytes, needed.packed_b_bytes) == (0, 0)
    assert needed.compute_tasks > 1

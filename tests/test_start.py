"""What making a program does once only, and what it does beside something else."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import Tensor, nn
from graphdl.backends.native.codegen import written
from graphdl.backends.native.codegen.entry import EntryWriter
from graphdl.backends.native.codegen.function import KernelFunction
from graphdl.backends.native.codegen.nest import emit_nest
from graphdl.backends.native.codegen.product_kernel import ProductKernels, emit_product
from graphdl.backends.native.llvm import F32, Module
from graphdl.backends.native.runtime.cache import ObjectCache
from graphdl.backends.native.runtime.jit import load_objects
from graphdl.backends.native.target import Target, host
from graphdl.backends.native.turns import INTERVAL, short_turns
from graphdl.backends.native.units import Units
from graphdl.errors import BackendError
from graphdl.ir.provenance import Provenance, Source
from graphdl.sizes import as_size, linear_in, symbol

from .tolerances import assert_close


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions that are written, nests and products."""
    found: list[str] = []

    def counted_nest(kernel: KernelFunction, *rest: Any, **options: Any) -> None:
        found.append(kernel.f.name)
        emit_nest(kernel, *rest, **options)

    def counted_product(module: Module, target: Target, name: str, *rest: Any) -> ProductKernels:
        found.append(name)
        return emit_product(module, target, name, *rest)

    monkeypatch.setattr(written, "emit_nest", counted_nest)
    monkeypatch.setattr(written, "emit_product", counted_product)
    return found


def loops(count: int) -> tuple[Tensor, list[Tensor]]:
    """So many recurrences over one input, each in a loop of its own, with weights of their own."""
    x = gd.placeholder("x", (7, 5, 24))
    carries = []
    for k in range(count):
        weights = gd.parameter(np.random.default_rng(k).normal(size=(24, 24)).astype("f") / 8, f"w{k}")

        def step(h: Tensor, row: Tensor, weights: Tensor = weights) -> tuple[Tensor, None]:
            return gd.tanh(h @ weights + row), None

        carries.append(gd.scan(step, gd.zeros((5, 24), "float32"), x)[0])
    return x, carries


def test_equal_loops_are_written_once(counted: list[str]) -> None:
    x, carries = loops(1)
    few = len(gd.compile(carries, [x]).kernels) and len(counted)
    counted.clear()
    x, carries = loops(3)
    program = gd.compile(carries, [x])
    assert len(program.kernels) > few
    assert len(counted) == few
    data = np.random.default_rng(9).normal(size=(7, 5, 24)).astype("f")
    for own, other in zip(program(data), gd.compile(carries, [x], backend="numpy")(data), strict=True):
        assert_close(own, other)


def test_sizes_of_buffers_do_not_tell_equal_nests_apart(counted: list[str]) -> None:
    inputs = [gd.placeholder(f"x{k}", (64, 200 * k)) for k in range(1, 4)]
    program = gd.compile([gd.exp(x) + x for x in inputs], inputs)
    assert len(counted) == 1
    arrays = [np.random.default_rng(k).normal(size=(64, 200 * k)).astype("f") for k in range(1, 4)]
    for x, result in zip(arrays, program(*arrays), strict=True):
        assert_close(result, np.exp(x) + x)


def test_layers_write_no_more_arguments_than_change() -> None:
    """Launches of one product take the same arguments; those in loops and branches do not rely on what was written before."""
    gd.random.seed(0)
    x = gd.placeholder("x", ("N", 33))
    net = nn.Sequential(nn.Linear(33, 48), nn.ReLU(), nn.Linear(48, 33))
    y = gd.cond(gd.sum(x) > 0, lambda: net(x), lambda: net(x) * 2.0)
    z = gd.scan(lambda h, _: (net(h), None), net(y), length=3)[0]
    program, reference = (gd.compile([y, z], [x], backend=backend) for backend in ("native", "numpy"))
    for sign in (1, -1):
        data = sign * np.abs(np.random.default_rng(3).normal(size=(40, 33)).astype("f"))
        for own, other in zip(program(data), reference(data), strict=True):
            assert_close(own, other)
    lines = str(program.emitted.module.functions[EntryWriter.name]).splitlines()
    assert sum(line.startswith("  store") for line in lines) < sum(len(launch.arguments) for launch in program.emitted.launches)


def add_function(module: Module, name: str, calls: str = "") -> None:
    f = module.function(name, [("x", F32)], F32)
    (x,) = f.parameters
    found = f.call(calls, F32, x) if calls else f.add(x, F32.const(1.0))
    f.ret(found)


def test_functions_are_compiled_as_they_come(tmp_path: Path) -> None:
    module, cache = Module(host().triple), ObjectCache(tmp_path / "cache")
    with Units(host(), cache, 2) as units:
        add_function(module, "first")
        units.begin(module)
        add_function(module, "second", calls="first")
        units.begin(module)
        objects = units.finish(module)
    assert len(objects) == 2
    assert load_objects(objects).address("second")
    with Units(host(), cache, 1) as again:
        assert again.finish(module) == objects


def test_a_function_that_llvm_refuses(tmp_path: Path) -> None:
    module = Module(host().triple)
    f = module.function("wrong", [("x", F32)], F32)
    f.void("nonsense")
    with Units(host(), ObjectCache(tmp_path / "cache"), 2) as units:
        units.begin(module)
        with pytest.raises(BackendError):
            units.finish(module)


def test_turns_are_short_until_the_last_one_leaves() -> None:
    before = sys.getswitchinterval()
    leave, entered = threading.Event(), threading.Event()

    def stay() -> None:
        with short_turns():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    with short_turns():
        thread.start()
        assert entered.wait(10)
    assert sys.getswitchinterval() == pytest.approx(INTERVAL)
    leave.set()
    thread.join()
    assert sys.getswitchinterval() == pytest.approx(before)


def test_provenance_shares_its_sets() -> None:
    one, other = Provenance(frozenset((Source("a.py", 1),)), is_derived=True), Provenance()
    other.merge(one)
    assert other.sources is one.sources
    one.merge(Provenance(frozenset((Source("b.py", 2),)), is_derived=True))
    assert len(one.sources) == 2
    assert len(other.sources) == 1


def test_linear_parts_of_sizes() -> None:
    a, b, c = (symbol(name) for name in "abc")
    (atom,) = a.atoms
    assert linear_in(3 * a * b + a * c + 2 * b + 7, atom) == (3 * b + c, 2 * b + 7)
    assert linear_in(b + 1, atom) == (0, b + 1)
    assert linear_in(5, atom) == (0, 5)
    assert linear_in(as_size(atom), atom) == (1, 0)
    assert linear_in(a * a + b, atom) is None
    assert a + 1 - 1 == a
    assert hash(a + 1 - 1) == hash(a)
    assert (a + 3) + 4 == a + 7

"""Calling programs: the native stub and the checked Python callable agree, refuse the same calls, and leak nothing."""

from __future__ import annotations

import gc
import random
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import pytest

import graphdl as gd
from graphdl.backends.native.llvm import F32, I64, PTR, Module
from graphdl.backends.native.runtime import call, jit
from graphdl.backends.native.runtime.checked import CheckedCall
from graphdl.backends.native.runtime.signature import ArraySpec, Derived, Signature
from graphdl.backends.native.target import host
from graphdl.errors import CallError, IndexOutOfRangeError, ShapeError
from graphdl.signature import Signature as Inputs

F, L = np.dtype(np.float32), np.dtype(np.int64)
A = np.array([2.0], np.float32)
FAILING = 13.0  # the program returns status 5 if b is this


def emit() -> str:
    """`axpy`: y = a*x + b through the arena, and n = N; `shapes` derives M = 2*N and refuses N > 1000; both need the sizes right."""
    module = Module(target_triple=host().triple)
    f = module.function("axpy", [("pointers", PTR), ("sizes", PTR), ("threads", I64)], I64)
    table, sizes, _ = f.parameters
    x, b, y, m, a, arena = (f.load(f.offset(table, I64.const(k), "ptr"), PTR) for k in range(6))
    shift, scale = f.load(b, F32), f.load(a, F32)
    n = f.load(sizes, I64)
    f.branch_if(f.compare("oeq", shift, F32.const(FAILING)), "failed", "good")
    f.label("failed")
    f.ret(I64.const(5))
    f.label("good")
    with f.loop(I64.const(0), n) as loop:
        f.store(f.mul(scale, f.load(f.offset(x, loop.index, "float"), F32)), f.offset(arena, loop.index, "float"))
    with f.loop(I64.const(0), n) as loop:
        f.store(f.add(shift, f.load(f.offset(arena, loop.index, "float"), F32)), f.offset(y, loop.index, "float"))
    with f.loop(I64.const(0), f.load(f.offset(sizes, I64.const(1), "i64"), I64)) as loop:
        f.store(n, f.offset(m, loop.index, "i64"))
    f.ret(I64.const(0))
    f = module.function("shapes", [("sizes", PTR), ("derived", PTR)], I64)
    n = f.load(f.parameters[0], I64)
    f.store(f.mul(n, I64.const(2)), f.parameters[1])
    f.ret(f.select(f.compare("sgt", n, I64.const(1000)), I64.const(7), I64.const(0)))
    f = module.function("arena_bytes", [("sizes", PTR)], I64)
    f.ret(f.mul(f.load(f.parameters[0], I64), I64.const(4)))
    return str(module)


def failed(status: int) -> NoReturn:
    if status == 7:
        raise ShapeError("N must be at most 1000")
    raise IndexOutOfRangeError(f"status {status}")


def gather(dtype: str = "float32", **shapes: Any) -> Callable[..., Sequence[Any]]:
    """The check of arguments for inputs of these names and shapes."""
    inputs = [gd.placeholder(name, shape, dtype) for name, shape in shapes.items()]
    return Inputs(inputs).accept


@pytest.fixture(scope="module")
def loaded() -> jit.Loaded:
    return jit.load_object(jit.compile_object(emit(), host(), verify=True))


@pytest.fixture(scope="module")
def signature(loaded: jit.Loaded) -> Signature:
    """x: float32[N], b: float32[] -> y: float32[N], m: int64[2N]."""
    return Signature(
        loaded.address("axpy"),
        inputs=(ArraySpec("x", F, ("N",)), ArraySpec("b", F, ())),
        outputs=(ArraySpec("y", F, ("N",)), ArraySpec("m", L, (Derived(0),))),
        gather=gather(x="N", b=()),
        static=(A.ctypes.data,),
        shapes=loaded.address("shapes"),
        arena_bytes=loaded.address("arena_bytes"),
        derived=1,
        failed=failed,
        owners=(loaded, A),
    )


@pytest.fixture(scope="module", params=["native", "checked", "keeps_gil"])
def program(request: pytest.FixtureRequest, signature: Signature) -> Callable[..., Any]:
    if request.param == "checked":
        return CheckedCall(signature)
    return call.NativeCall(replace(signature, release_gil=request.param == "native")).call


def vector(n: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(n, dtype=np.float32)


B = np.array(1.0, np.float32)


def holds(result: Any, x: Any, b: float = 1.0) -> bool:
    y, m = result
    assert y.dtype == F
    assert m.dtype == L
    return bool(np.array_equal(y, 2 * np.asarray(x, np.float32) + np.float32(b)) and np.array_equal(m, np.full(2 * len(x), len(x))))


def test_stub_is_in_use(signature: Signature) -> None:
    assert not isinstance(call.NativeCall(signature).call, CheckedCall)


def test_sizes_are_free(program: Callable[..., Any]) -> None:
    for n in [3, 0, 1, 100, 1000, 5]:
        assert holds(program(vector(n), B), vector(n))


def test_outputs_are_fresh(program: Callable[..., Any]) -> None:
    first, second = program(vector(4), B), program(vector(4), B)
    assert isinstance(first, tuple)
    assert not np.shares_memory(first[0], second[0])
    assert first[0].flags.owndata
    assert first[0].flags.writeable


def test_keywords_in_any_order() -> None:
    """Every way to pass three inputs by position and by keyword; each goes to its own slot."""
    module = Module(target_triple=host().triple)
    f = module.function("digits", [("pointers", PTR), ("sizes", PTR), ("threads", I64)], I64)
    total = I64.const(0)
    for k in range(3):
        total = f.add(f.mul(total, I64.const(10)), f.load(f.load(f.offset(f.parameters[0], I64.const(k), "ptr"), PTR), I64))
    f.store(total, f.load(f.offset(f.parameters[0], I64.const(3), "ptr"), PTR))
    f.ret(I64.const(0))
    loaded = jit.load_object(jit.compile_object(str(module), host()))
    specs = tuple(ArraySpec(name, L, ()) for name in "abc")
    program = call.NativeCall(Signature(loaded.address("digits"), specs, (ArraySpec("y", L, ()),), gather("int64", a=(), b=(), c=()), owners=(loaded,))).call
    one, two, three = (np.array(k) for k in (1, 2, 3))
    calls = [program(one, two, c=three), program(one, c=three, b=two), program(c=three, a=one, b=two), program(b=two, c=three, a=one)]
    assert [int(y) for y in calls] == [123] * 4
    built = "".join(["", "b"])  # not the interned string
    assert program(one, **{built: two, "c": three}) == 123
    for keywords in ({"a": one, "b": two, "c": three}, {"b": two, "d": three}, {"b": two}):
        with pytest.raises(CallError):
            program(one, **keywords)


def test_keywords_scalars_and_lists(program: Callable[..., Any]) -> None:
    assert holds(program(b=B, x=vector(4)), vector(4))
    assert holds(program(vector(4), b=1), vector(4))
    assert holds(program([1.0, 2.0], 1.0), [1, 2])
    assert holds(program([], 1), [])
    assert holds(program((3, 4), np.float32(1)), [3, 4])


def test_odd_arrays_are_read(program: Callable[..., Any]) -> None:
    wide = vector(20)
    unaligned = np.frombuffer(b"\0" + vector(5).tobytes(), np.float32, offset=1)
    frozen = vector(6)
    frozen.flags.writeable = False

    class Sub(np.ndarray[Any, Any]):
        pass

    for x in (wide[::2], wide[::-1], unaligned, frozen, wide.astype(">f4"), wide.view(Sub), np.asfortranarray(np.ones((3, 4), np.float32))[0]):
        assert holds(program(x, B), x)


def test_other_forms_of_the_same_dtype(program: Callable[..., Any]) -> None:
    assert holds(program(vector(3).astype(np.dtype("f4", metadata={"unit": "m"})), B), vector(3))


@pytest.mark.parametrize(
    ("args", "keywords", "error", "message"),
    [
        ((), {}, CallError, r"missing inputs: 'x': float32\[N\] \(test_native_call.py:\d+\), 'b': float32\[\]"),
        ((vector(2),), {}, CallError, "missing inputs: 'b'"),
        ((vector(2), B, B), {}, CallError, r"takes 2 inputs \(x, b\), but 3 were given"),
        ((vector(2), B), {"b": B}, CallError, "'b' was given twice"),
        ((vector(2), B), {"c": B}, CallError, "no input 'c'"),
        ((vector(2).astype(np.float64), B), {}, CallError, r"'x': float32\[N\] .* needs dtype float32, got float64: convert it"),
        ((np.zeros(2, np.int32), B), {}, CallError, "int32"),
        ((vector(2), np.array(1.0)), {}, CallError, "'b': float32.* got float64"),
        ((None, B), {}, CallError, "object"),
        (("text", B), {}, CallError, "<U4"),
        (([[1], [2, 3]], B), {}, CallError, "cannot be read as an array"),
        (([1j], B), {}, CallError, "complex128"),
        ((np.zeros((2, 2), np.float32), B), {}, ShapeError, r"has 1 axes, got an array of shape \(2, 2\)"),
        ((B, B), {}, ShapeError, r"has 1 axes, got an array of shape \(\)"),
        ((vector(2), vector(1)), {}, ShapeError, "has 0 axes"),
        ((vector(1001), B), {}, ShapeError, "at most 1000"),
        ((vector(2), np.array(FAILING, np.float32)), {}, IndexOutOfRangeError, "status 5"),
        ((object(), object()), {}, CallError, "object"),
        ((np.float32, np.dtype("f4")), {}, CallError, "object"),
    ],
)
def test_wrong_calls(program: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        program(*args, **keywords)


def random_argument(chance: random.Random) -> Any:
    """Mostly arrays that are nearly right."""
    shape = chance.choice([(3,), (3,), (), (), (0,), (2, 3), (1, 1, 1)])
    array: Any = np.full(shape, 2.0, chance.choice(["f4", "f4", "f4", "f4", "f8", ">f4", "i4", "?", "f2"]))
    form = chance.randrange(10)
    if form == 0:
        return np.repeat(array[..., None], 2, -1)[..., 0]
    return chance.choice([2.0, [2.0], None, "2", b"", {}, np.float32(2)]) if form == 1 else array


def outcome(program: Callable[..., Any], args: list[Any], keywords: dict[str, Any]) -> str:
    try:
        return repr([(y.dtype, y.tolist()) for y in program(*args, **keywords)])
    except (CallError, ShapeError) as error:
        return f"{type(error).__name__}: {error}"


def test_stub_agrees_with_the_checked_callable(signature: Signature) -> None:
    chance, native, checked = random.Random(5), call.NativeCall(signature).call, CheckedCall(signature)
    outcomes = set()
    for _ in range(3000):
        args = [random_argument(chance) for _ in range(chance.choice([0, 1, 2, 2, 2, 2, 3]))]
        keywords = {name: random_argument(chance) for name in ("b", "x", "z") if chance.random() < 0.2}
        expected = outcome(checked, args, keywords)
        assert outcome(native, args, keywords) == expected
        outcomes.add(expected)
    assert len(outcomes) > 25


@pytest.mark.parametrize("native", [True, False])
def test_sizes_must_agree(signature: Signature, native: bool) -> None:
    inputs = (ArraySpec("x", F, ("N", 3)), ArraySpec("b", F, ("K", "N")))
    changed = replace(signature, inputs=inputs, gather=gather(x=("N", 3), b=("K", "N")))  # never run: only its checks are
    program = call.NativeCall(changed).call if native else CheckedCall(changed)
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"N is 2 on axis 0 of 'x', but 4 on axis 1 of 'b': float32\[K, N\] \(test_native_call.py"):
        program(x, np.ones((1, 4), np.float32))
    with pytest.raises(ShapeError, match=r"'x': .* has size 3 on axis 1, got 5"):
        program(np.ones((2, 5), np.float32), np.ones((1, 2), np.float32))


def test_single_output() -> None:
    module = Module(target_triple=host().triple)
    f = module.function("one", [("pointers", PTR), ("sizes", PTR), ("threads", I64)], I64)
    f.store(f.parameters[2], f.load(f.parameters[0], PTR))
    f.ret(I64.const(0))
    code = jit.load_object(jit.compile_object(str(module), host()))
    alone = Signature(code.address("one"), (), (ArraySpec("threads", L, ()),), gather(), threads=3, owners=(code,))
    native = call.NativeCall(alone)
    result = native()
    assert isinstance(result, np.ndarray)
    assert result.shape == ()
    assert result == 3
    native.threads = 4
    assert native() == CheckedCall(replace(alone, threads=4))() == 4
    assert isinstance(call.NativeCall(replace(alone, unpack=False))(), tuple)


def test_nothing_leaks(program: Callable[..., Any]) -> None:
    x, wrong, failing = vector(50), np.zeros((2, 2), np.float32), np.array(FAILING, np.float32)

    def work() -> None:
        program(x, B)
        program(x[::2], b=1.0)
        for args in [(wrong, B), (x, failing), (vector(1001), B)]:
            with suppress(ShapeError, IndexOutOfRangeError):
                program(*args)

    tracemalloc.start()
    for _ in range(300):
        work()
    while gc.collect():  # what other tests have left is not freed in one go: modules hold each other weakly
        pass
    counted = (x, B, F, L, program, np.ndarray, wrong, failing, failed)
    before = [sys.getrefcount(thing) for thing in counted]
    grown = []
    for _ in range(4):
        start = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            work()
        gc.collect()
        grown.append(tracemalloc.get_traced_memory()[0] - start)
    tracemalloc.stop()
    after = [sys.getrefcount(thing) for thing in counted]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) <= 2
    assert min(grown) < 5_000  # one array per round would be over 20 000


def test_the_callable_keeps_its_program_alive(signature: Signature) -> None:
    class Owner:
        alive = True

        def __del__(self) -> None:
            Owner.alive = False

    program = call.NativeCall(replace(signature, owners=(*signature.owners, Owner()))).call
    gc.collect()
    assert Owner.alive
    assert holds(program(vector(3), B), vector(3))
    del program
    gc.collect()
    assert not Owner.alive


@pytest.mark.parametrize("exclusive", [False, True])
def test_concurrent_calls(signature: Signature, exclusive: bool) -> None:
    program = call.NativeCall(replace(signature, exclusive=exclusive)).call
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = vector(1000) + np.float32(seed)
        wrong.extend(k for k in range(300) if not holds(program(x[: 500 + k], B), x[: 500 + k]))

    callers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_without_the_expected_layouts(signature: Signature, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "_native", lambda: None)
    program = call.NativeCall(signature).call
    assert isinstance(program, CheckedCall)
    assert holds(program(vector(9), B), vector(9))


def test_memory_of_results_is_used_again_once_nobody_refers_to_it(signature: Signature) -> None:
    program = call.NativeCall(signature).call
    x = vector(1000)
    program(x, B)  # the first call may go through Python, where the arena grows
    places = set()
    for _ in range(10):
        y, _ = program(x, B)
        places.add(y.ctypes.data)
    assert len(places) == 2
    held = [program(x, B)[0] for _ in range(5)]
    assert len({array.ctypes.data for array in held}) == 5
    part = held.pop()[3:5]  # a view keeps the memory
    expected = part.copy()
    held.clear()
    for _ in range(5):
        program(x + np.float32(1), B)
    assert (part == expected).all()
    frozen, _ = program(x, B)
    place = frozen.ctypes.data
    frozen.flags.writeable = False
    del frozen
    assert all(y.flags.writeable and y.ctypes.data != place for y, _ in [program(x, B)])
    watched = weakref.ref(program(x, B)[0])
    fresh, _ = program(x, B)
    assert watched() is not fresh

"""Public functions that are made of ops, against NumPy's of the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

import graphdl as gd
from graphdl import random
from graphdl.errors import GradientError, GraphdlError, IndexOutOfRangeError, ShapeError, TypeRuleError
from graphdl.ir import Tensor
from graphdl.ir.graph import topological_order
from graphdl.ops.activation import tanh
from graphdl.ops.random_bits import RandomState, philox
from tests.reference import run
from tests.tolerances import DERIVATIVE_IDENTITY, assert_close

Array = np.ndarray[Any, Any]
X = np.arange(60.0).reshape(3, 4, 5)
I = np.array([[2, -1], [0, 1]])


def value(tensor: Tensor) -> Array:
    return run([tensor], {})[0]


KEYS: dict[str, Any] = {
    "int": 1, "negative": -1, "slice": np.s_[1:], "steps": np.s_[::-1, 1:4:2, ::-2], "new": np.s_[:, None, 1], "ellipsis": np.s_[..., 2],
    "both": np.s_[0, ..., None], "empty": np.s_[2:1], "beyond": np.s_[-9:9], "array": I, "list": [0, 2, 0], "scalar array": np.array(2),
    "middle": np.s_[:, I], "after int": np.s_[0, I], "before int": np.s_[:, I, 0], "apart": np.s_[0, :, I], "apart from new": np.s_[I, None, 0],
    "with slices": np.s_[::-1, 1:, [0, 3]], "numpy int": np.int64(2), "none": (),
    "two arrays": (I, -I), "broadcast arrays": (I[:, :1], I[1], I[0]), "arrays behind": np.s_[1:, I, I[0]], "arrays apart": np.s_[I[0], :, I],
    "arrays and slices": np.s_[::-1, [0, 3], [[1], [2]]], "arrays and int": (I, 1, I[0]), "arrays and new": np.s_[I, None, I[0]], "no places": ([], []),
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_index(key: Any) -> None:
    assert_close(value(gd.constant(X)[key]), X[key])


@pytest.mark.parametrize(
    ("key", "error", "mend"),
    [
        (X[0, 0] > 2, TypeRuleError, "gd.where"),
        (3, IndexOutOfRangeError, "size 3"),
        ((0, 0, 0, 0), TypeRuleError, "3 axes"),
        ((..., ...), TypeRuleError, "ellips"),
        (slice(gd.constant(1), None), TypeRuleError, "gd.take"),
        (0.5, TypeRuleError, "integers"),
    ],
)
def test_index_refuses(key: Any, error: type[Exception], mend: str) -> None:
    with pytest.raises(error, match=mend):
        gd.constant(X)[key]


def test_gradient_of_indexing_by_several_arrays() -> None:
    x = gd.parameter(X, "x")
    weights = np.arange(20.0).reshape(2, 2, 5)
    expected = np.zeros_like(X)
    np.add.at(expected, (I, np.array([1, 3])), weights)
    assert_close(value(gd.grad((x[I, [1, 3]] * weights).sum(), x)), expected)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_several_arrays_are_each_checked(backend: str) -> None:
    i, j = gd.placeholder("i", ("N",), "int64"), gd.placeholder("j", ("N",), "int64")
    pick = gd.compile(gd.constant(X)[0][i, j], [i, j], backend=backend)
    assert_close(pick(np.array([3, -1]), np.array([-5, 4])), X[0][[3, -1], [-5, 4]])
    with pytest.raises(IndexOutOfRangeError):
        pick(np.array([0]), np.array([5]))


def test_what_a_function_refuses_is_told_with_operands_and_line() -> None:
    x, y = gd.placeholder("x", ("N", 4)), gd.placeholder("y", (3,))
    for call, name in ((lambda: x + y, "add"), (lambda: gd.softmax(x, 5), "softmax"), (lambda: gd.einsum("ij->k", x), "einsum")):
        with pytest.raises((ShapeError, TypeRuleError)) as caught:
            call()
        text = str(caught.value)
        assert text.startswith(f"{name}: ")
        assert f"'x'{'' if name == 'add' else ':'} float32[N, 4] (test_functions.py:" in text
        assert text.count("operand 0") == text.count("\n  at test_functions.py:") == 1


def test_what_is_no_tensor_is_refused() -> None:
    x, text = gd.placeholder("x", (3,)), cast(Any, "1")
    for call in (lambda: gd.grad(x.sum(), cast(Any, {text: x})), lambda: x + text, lambda: gd.placeholder(cast(Any, 5), (2,))):
        with pytest.raises(TypeRuleError, match="str"):
            call()


CASES: dict[str, tuple[Callable[[Any, Any], Any], ...]] = {
    "pad": (lambda m, x: m.pad(x, ((1, 2), (0, 0), (3, 1)), constant_values=4),),
    "pad edge": (lambda m, x: m.pad(x, 2, mode="edge"),),
    "pad reflect": (lambda m, x: m.pad(x, ((1, 2), (2, 1), (4, 0)), mode="reflect"),),
    "pad wrap": (lambda m, x: m.pad(x, ((1, 2), (2, 1), (4, 0)), mode="wrap"),),
    "pad pair": (lambda m, x: m.pad(x, (1, 2)),),
    "concatenate": (lambda m, x: m.concatenate([x, x[:, :1], x], 1),),
    "stack": (lambda m, x: m.stack([x, x], -1),),
    "split": (lambda m, x: m.split(x, 2, 1)[1],),
    "split at": (lambda m, x: m.split(x, [1, 3, 9], 2)[1],),
    "split behind": (lambda m, x: m.split(x, [1, 3, 9], 2)[3],),
    "flip": (lambda m, x: m.flip(x),),
    "flip axis": (lambda m, x: m.flip(x, (0, 2)),),
    "tile": (lambda m, x: m.tile(x, (2, 1, 2, 3)),),
    "tile short": (lambda m, x: m.tile(x, 2),),
    "repeat": (lambda m, x: m.repeat(x, 3),),
    "repeat axis": (lambda m, x: m.repeat(x, 2, 1),),
    "repeat each": (lambda m, x: m.repeat(x, [1, 0, 2], 0),),
    "take": (lambda m, x: m.take(x, I, 1),),
    "take flat": (lambda m, x: m.take(x, I),),
    "take_along_axis": (lambda m, x: m.take_along_axis(x, np.argsort(-X, 1), 1),),
    "take_along_axis broadcast": (lambda m, x: m.take_along_axis(x, np.array([[[1, 0]]]), 2),),
    "diag": (lambda m, x: m.diag(x[0], 1),),
    "diag below": (lambda m, x: m.diag(x[0], -2),),
    "diag of vector": (lambda m, x: m.diag(x[0, 0], -2),),
    "tril": (lambda m, x: m.tril(x, 1),),
    "triu": (lambda m, x: m.triu(x, -1),),
    "cumsum": (lambda m, x: m.cumsum(x, 1),),
    "cumsum flat": (lambda m, x: m.cumsum(x),),
    "cumprod": (lambda m, x: m.cumprod(x / 30, -1),),
    "tensordot": (lambda m, x: m.tensordot(x, x, ([1, 0], [1, 0])),),
    "tensordot last": (lambda m, x: m.tensordot(x, x[0, :2].T, 1),),
    "outer": (lambda m, x: m.outer(x, x[0]),),
    "dot": (lambda m, x: m.dot(x, x[0].T),),
    "dot vectors": (lambda m, x: m.dot(x[0, 0], x[0, 1]),),
    "moveaxis": (lambda m, x: m.moveaxis(x, 0, -1),),
    "moveaxis several": (lambda m, x: m.moveaxis(x, (2, 0), (0, 1)),),
    "ravel": (lambda m, x: m.ravel(x),),
    "roll": (lambda m, x: m.roll(x, 7),),
    "roll axis": (lambda m, x: m.roll(x, -2, 1),),
    "roll around": (lambda m, x: m.roll(x, 11, -1),),
    "trace": (lambda m, x: m.trace(x[0, :, :4]),),
    "square": (lambda m, x: m.square(x),),
    "deg2rad": (lambda m, x: m.deg2rad(x),),
    "rad2deg": (lambda m, x: m.rad2deg(x),),
    "eye": (lambda m, x: m.eye(3, 5, -1, "float32"),),
    "linspace": (lambda m, x: m.linspace(-1.0, 3.5, 7, dtype="float64"),),
    "linspace of one": (lambda m, x: m.linspace(2.0, 5.0, 1, dtype="float64"),),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_function_agrees_with_numpy(case: tuple[Callable[[Any, Any], Any]]) -> None:
    assert_close(value(case[0](gd, gd.constant(X))), case[0](np, X))


SPECIAL = np.array([0.0, -0.0, 1.5, -2.0, 1e200, -1e-200, np.inf, -np.inf, np.nan])
PAIRS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "hypot": lambda m, x, y: m.hypot(x, y),
    "logaddexp": lambda m, x, y: m.logaddexp(x, y),
    "heaviside": lambda m, x, y: m.heaviside(x, y),
    "logical_and": lambda m, x, y: m.logical_and(x, y),
    "logical_or": lambda m, x, y: m.logical_or(x, y),
    "logical_xor": lambda m, x, y: m.logical_xor(x, y),
    "logical_not": lambda m, x, y: m.logical_not(x),
    "isinf": lambda m, x, y: m.isinf(x),
    "nan_to_num": lambda m, x, y: m.nan_to_num(x),
    "nan_to_num given": lambda m, x, y: m.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-3.0),
}


@pytest.mark.parametrize("case", PAIRS.values(), ids=PAIRS)
def test_every_pair_of_special_values(case: Callable[[Any, Any, Any], Any]) -> None:
    x, y = (np.ascontiguousarray(part) for part in np.broadcast_arrays(SPECIAL[:, None], SPECIAL))
    with np.errstate(all="ignore"):
        assert_close(value(case(gd, gd.constant(x), gd.constant(y))), np.asarray(case(np, x, y)))


@pytest.mark.parametrize("name", ["hypot", "logaddexp"])
def test_gradients_of_pairs(name: str) -> None:
    """Against the closed forms, at a place far from overflow and at one where plain formulas overflow."""
    x, y = gd.placeholder("x", (3,), "float64"), gd.placeholder("y", (3,), "float64")
    a, b = np.array([3.0, -4.0, 1e200]), np.array([4.0, 1.0, 1e199])
    found = run(gd.grad(getattr(gd, name)(x, y).sum(), [x, y]), {x: a, y: b})
    share = 1 / (1 + np.exp(np.minimum(b - a, 700)))
    expected = (a / np.hypot(a, b), b / np.hypot(a, b)) if name == "hypot" else (share, 1 - share)
    for one, wanted in zip(found, expected, strict=True):
        assert_close(one, wanted, (1e-12, 1e-300))


SPECS = {
    "ij,jk": ((3, 4), (4, 5)), "ij,jk->ki": ((3, 4), (4, 5)), "ijk,ilk->ijl": ((2, 3, 4), (2, 5, 4)), "ij->ji": ((3, 4),), "ii": ((3, 3),), "ii->i": ((3, 3),),
    "ij->": ((3, 4),), "ji": ((3, 4),), "...ij,...jk->...ik": ((2, 1, 3, 4), (5, 4, 2)), "...i,i->...": ((2, 3, 4), (4,)), "i...->...": ((3, 2, 2),),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 5)), "a,b,c,d->dcba": ((2,), (3,), (1,), (2,)), "ijk,j->i": ((2, 3, 4), (3,)), "iij,jk->ik": ((3, 3, 2), (2, 4)),
    "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)), " i j , j -> i ": ((2, 3), (3,)), "ij,ij->ij": ((2, 3), (2, 3)), "...,...": ((2, 3), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("spec", SPECS)
def test_einsum(spec: str) -> None:
    arrays = [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(SPECS[spec])]
    assert_close(value(gd.einsum(spec, *map(gd.constant, arrays))), np.einsum(spec, *arrays))


@pytest.mark.parametrize("spec", ["ij,jk->iq", "ij->iij", "ij,jk,kl", "i,jk", "i1,jk", "ij,jk->i->k", "...j,jk->k"])
def test_einsum_refuses(spec: str) -> None:
    with pytest.raises(GraphdlError, match="einsum"):
        gd.einsum(spec, np.ones((3, 4)), np.ones((4, 5)))


def test_einsum_that_is_a_matrix_product_is_one() -> None:
    x, w = gd.placeholder("x", ("N", 4)), gd.placeholder("w", (5, 4))
    assert gd.einsum("nk,mk->nm", x, w).node.op.name == "matmul"


def test_widths_and_sections_that_do_not_fit_are_refused() -> None:
    x = gd.constant(X)
    with pytest.raises(ShapeError, match="at least 4"):
        gd.pad(x, 3, mode="reflect")
    with pytest.raises(TypeRuleError, match="constant, edge, reflect"):
        gd.pad(x, 1, mode="symmetric")
    with pytest.raises(ShapeError, match="equal parts"):
        gd.split(x, 2, 0)
    with pytest.raises(ShapeError, match="pair for every axis"):
        gd.pad(x, ((1, 2), (3, 4)))


def test_symbolic_split_leaves_a_constraint() -> None:
    parts = gd.split(gd.placeholder("x", ("N", 3)), 2)
    constraints = [c for node in topological_order(parts) for c in node.constraints]
    assert [str(part.shape[0]) for part in parts] == ["(N//2)"] * 2
    assert constraints


def test_out_of_range_indices_raise() -> None:
    for tensor in (gd.take(X, [3], 0), gd.take_along_axis(X, np.full((3, 1, 5), 4), 1), gd.scatter_add(X, [-4], X[:1])):
        with pytest.raises(IndexOutOfRangeError):
            value(tensor)


def test_one_hot_and_scatter_add() -> None:
    assert_close(value(gd.one_hot([1, 0, 7], 3)), np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], "float32"))
    assert_close(value(gd.scatter_add(np.zeros(3), [0, 2, 0], [1.0, 2.0, 3.0])), np.array([4.0, 0.0, 2.0]))


def test_prod_has_the_right_gradient_at_zeros() -> None:
    x = gd.constant(np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0]]))
    assert_close(value(gd.grad(gd.prod(x, 1).sum(), x)), np.array([[0.0, 6.0, 0.0], [0.0, 0.0, 0.0]]))
    assert_close(value(gd.grad(gd.prod(x + 1), x)), value(gd.prod(x + 1) / (x + 1)))


@pytest.mark.parametrize("shape", [(2,), (3, 2), ()])
def test_jacobian_by_rows_and_columns(shape: tuple[int, ...]) -> None:
    x = gd.constant(np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape))
    wide = gd.stack([gd.sin(x), x * x, gd.exp(x)])
    by_columns = value(gd.jacobian(wide, x))
    assert by_columns.shape == (3, *shape, *shape)
    diagonal = np.eye(int(np.prod(shape))).reshape((*shape, *shape))
    expected = np.stack([value(d)[(..., *[None] * len(shape))] * diagonal for d in (gd.cos(x), 2 * x, gd.exp(x))])
    assert_close(by_columns, expected, DERIVATIVE_IDENTITY)
    assert_close(value(gd.jacobian(wide.sum(axis=0), x)), expected.sum(0), DERIVATIVE_IDENTITY)


def test_hessian_and_products() -> None:
    a = np.random.default_rng(0).normal(size=(4, 4))
    x = gd.constant(np.random.default_rng(1).normal(size=4))
    form = gd.einsum("i,ij,j->", x, gd.constant(a), x)
    assert_close(value(gd.hessian(form, x)), a + a.T, DERIVATIVE_IDENTITY)
    assert_close(value(gd.hvp(form, x, gd.ones(4, "float64"))[0]), (a + a.T).sum(1), DERIVATIVE_IDENTITY)
    with pytest.raises(GradientError, match="known number"):
        gd.jacobian(gd.placeholder("x", ("N",)) * 1.0, gd.placeholder("y", ("M",)))


def test_custom_gradient() -> None:
    @gd.custom_gradient  # type: ignore[untyped-decorator]
    def doubled(x: Tensor, y: Tensor) -> Any:
        return x * y, lambda cotangent: (2 * cotangent * y, None)

    x, y = gd.constant(np.array([1.0, 2.0])), gd.constant(np.array([3.0, 4.0]))
    z = doubled(x, y)
    assert_close(value(z), np.array([3.0, 8.0]))
    dx, dy = gd.grad(z.sum(), [x, y])
    assert_close(value(dx), np.array([6.0, 8.0]))
    assert_close(value(dy), np.zeros(2))
    assert_close(value(gd.grad((dx * dx).sum(), y)), 8 * np.array([3.0, 4.0]))
    assert_close(value(gd.jvp(z, x, gd.constant(np.ones(2)))[0]), np.array([6.0, 8.0]))


def test_custom_gradient_that_does_not_fit_is_refused() -> None:
    x = gd.constant(np.array([1.0, 2.0]))
    for rule, mend in ((lambda c: (c, c), "one for each"), (lambda c: c.sum(), "does not fit")):
        z = gd.custom_gradient(lambda x, rule=rule: (gd.exp(x), rule))(x)
        with pytest.raises(GradientError, match=mend):
            gd.grad(z.sum(), x)


def test_checkpoint_gives_the_same_gradients_by_computing_again() -> None:
    x = gd.constant(np.random.default_rng(0).normal(size=(3, 4)))
    w = gd.parameter(np.random.default_rng(1).normal(size=(4, 4)), "w")

    def block(x: Tensor) -> Tensor:
        return tanh(tanh(x @ w) @ w.T)

    plain, kept = block(x), gd.checkpoint(block, x)
    expected, found = ([value(g) for g in gd.grad((y * y).sum(), [x, w])] for y in (plain, kept))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, DERIVATIVE_IDENTITY)
    again = [node for node in topological_order([kept, *gd.grad(kept.sum(), [w])]) if node.op.name == "tanh"]
    assert len(again) == 4
    assert_close(value(gd.grad(gd.grad(kept.sum(), x).sum(), w)), value(gd.grad(gd.grad(plain.sum(), x).sum(), w)), DERIVATIVE_IDENTITY)


PHILOX = [  # the known answers that come with Random123: counter, key, result
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "expected"), PHILOX)
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    words = philox(*(tuple(np.uint64(int(word, 16)) for word in text.split()) for text in (counter, key)))
    assert [f"{int(word):08x}" for word in words] == expected.split()


def test_random_numbers_are_distributed_as_they_say() -> None:
    state = RandomState()
    state.seed(7)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        u = value(random.uniform((20000,), -1, 3, dtype, state)).astype("float64")
        assert u.min() >= -1
        assert u.max() <= 3
        assert abs(u.mean() - 1) < 0.05
    z = value(random.normal((20000,), 2, 3, state=state))
    assert np.isfinite(z).all()
    assert abs(z.mean() - 2) < 0.1
    assert abs(z.std() - 3) < 0.1
    assert abs(value(random.bernoulli(0.3, (20000,), state)).mean() - 0.3) < 0.02


def test_random_numbers_depend_on_seed_step_and_stream_alone() -> None:
    def draws(seed: int, step: int = 0) -> list[bytes]:
        state = RandomState()
        state.tensor.value = np.array([seed, step])
        return [value(state.bits((3, 5))).tobytes() for _ in range(2)]

    assert draws(1) == draws(1)
    assert len({*draws(1), *draws(2), *draws(1, 1), *draws(1, 2**40)}) == 8


def test_dropout() -> None:
    x = gd.constant(np.ones(10000))
    y = gd.dropout(x, 0.25)
    kept = value(y)
    assert_close(np.unique(kept), np.array([0, 4 / 3]))
    assert abs(kept.mean() - 1) < 0.03
    assert_close(value(gd.grad(y.sum(), x)), kept)
    assert y.node.op.inference(*y.node.operands) is x
    assert gd.dropout(x, 0) is x
    assert not value(gd.dropout(x, 1)).any()
    with pytest.raises(TypeRuleError, match="between 0 and 1"):
        gd.dropout(x, 1.5)


def test_symbolic_sizes_are_numbers_beside_tensors() -> None:
    x = gd.placeholder("x", ("N", 3))
    n = x.shape[0]
    results = [x.sum() / n, n * x.sum(), x.sum() / (2 * n), n - x.sum(), n + x, gd.maximum(x, n)]
    found = gd.compile(results, inputs=[x])(np.ones((4, 3), "f"))
    expected: list[Any] = [3, 48, 1.5, -8, np.full((4, 3), 5), np.full((4, 3), 4)]
    assert all(result.dtype == "float32" and np.array_equal(result, value) for result, value in zip(found, expected, strict=True))
    assert (x.astype("int32") * n).dtype == "int32"


def test_axes_in_another_order() -> None:
    x, data = gd.placeholder("x", ("N", 3, 4)), np.arange(24.0, dtype="float32").reshape(2, 3, 4)
    for turned in (x.transpose(0, 2, 1), x.transpose((0, 2, 1)), gd.transpose(x, axes=[0, 2, -2])):
        np.testing.assert_array_equal(gd.compile(turned)(data), data.transpose(0, 2, 1))
    with pytest.raises(ShapeError, match=r"no permutation of the 3 axes.*swapaxes exchanges two"):
        x.transpose(1, 2)
    with pytest.raises(TypeRuleError, match="an axis is a number from -3 to 2, not"):
        gd.sum(x, axis="rows")

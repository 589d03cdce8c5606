"""Modules and losses: outputs and gradients against PyTorch's values, and what modules are besides their forward."""

from __future__ import annotations

import copy
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.compiler import compile
from graphdl.errors import GraphdlError, IndexOutOfRangeError, ShapeError, StateError, TypeRuleError
from graphdl.nn import functional as F
from graphdl.nn import init
from graphdl.nn.state import parameter_names
from tests.references.make_attention_references import CASES as ATTENTION
from tests.torch_cases import make_module

Array = np.ndarray[Any, Any]
REFERENCES = Path(__file__).parent / "references"
BACKENDS = ["native", "numpy"]
RELATIVE = {"float64": 1e-10, "float32": 3e-5}


def grouped(file: str) -> dict[str, dict[str, Array]]:
    """The arrays of a reference file by case and then by what they are."""
    found: dict[str, dict[str, Array]] = {}
    with np.load(REFERENCES / file) as arrays:
        for name in arrays.files:
            case, _, part = name.partition("|")
            found.setdefault(case, {})[part] = arrays[name]
    return found


MODULE_CASES = grouped("modules.npz")
LOSS_CASES = grouped("losses.npz")


def cast(array: Array, dtype: str) -> Array:
    """Floating arrays in another precision."""
    return array.astype(dtype) if array.dtype.kind == "f" else array


def close(actual: Any, expected: Array, dtype: str) -> None:
    """Equal up to the precision, relative to the largest element."""
    scale = max(float(np.max(np.abs(expected), initial=0.0)), 1.0)
    assert np.shape(actual) == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=RELATIVE[dtype], atol=RELATIVE[dtype] * scale)


def weighted(result: gd.Tensor, like: Array) -> gd.Tensor:
    """The sum of the result times 1, 2, 3, ... modulo 7, whose gradients the references hold."""
    weights = (np.arange(like.size) % 7 + 1).reshape(like.shape).astype(result.dtype)
    return (result * gd.constant(weights)).sum()


def declared(name: str, array: Array, *, symbolic: bool = True) -> gd.Tensor:
    """A placeholder for the array, with a symbol for its first size."""
    shape = ["N", *array.shape[1:]] if symbolic and array.ndim > 1 else array.shape
    return gd.placeholder(name, shape, array.dtype)


UNLIKE = {"Dropout", "Dropout2d", "Module", "ModuleDict", "ModuleList", "Sequential"}  # random, or nothing by themselves
ROUNDED = {"Hardsigmoid"}  # PyTorch's gradient of it has 1/6 rounded to float32 in float64
ELSEWHERE = {"LearnedPositions", "RotaryPositions", "SinusoidalPositions"}  # not in torch.nn


def test_every_module_has_three_configurations() -> None:
    files = ("modules.npz", "spatial.npz", "batchnorm.npz", "recurrent.npz")
    kinds = Counter(call.partition("(")[0] for file in files for call in grouped(file))
    kinds.update(case.kind for case in ATTENTION.values())
    declared = {name for name in nn.__all__ if isinstance(getattr(nn, name), type) and not name.endswith("Loss")} - UNLIKE - ROUNDED - ELSEWHERE
    assert {name: kinds[name] for name in declared if kinds[name] < 3} == {}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", MODULE_CASES)
def test_modules_equal_pytorch(case: str, dtype: str, backend: str) -> None:
    reference = {part: cast(array, dtype) for part, array in MODULE_CASES[case].items()}
    module = make_module(case, dtype)
    module.load_state_dict({part.removeprefix("state|"): array for part, array in reference.items() if part.startswith("state|")})
    arrays = [reference[part] for part in sorted(reference) if part.startswith("input")]
    inputs = [declared(f"input{k}", array, symbolic=not case.startswith("Flatten(0")) for k, array in enumerate(arrays)]
    result = module(*inputs)
    wanted = [tensor for tensor in (*inputs, *module.parameters()) if tensor.dtype == dtype]
    gradients = gd.grad(weighted(result, reference["output"]), wanted)
    values = compile([result, *gradients], inputs, backend=backend)(*arrays)
    close(values[0], reference["output"], dtype)
    for k, value in enumerate(values[1:]):
        close(value, reference[f"gradient{k}"], dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_hardsigmoid(dtype: str, backend: str) -> None:
    x = gd.placeholder("x", ("N",), dtype)
    y = nn.Hardsigmoid()(x)
    values = compile([y, *gd.grad(y.sum(), [x])], [x], backend=backend)(np.array([-4, -1.5, 0, 2.25, 5], dtype))
    close(values[0], np.array([0, 0.25, 0.5, 0.875, 1]), dtype)
    close(values[1], np.array([0, 1, 1, 1, 0]) / 6, dtype)


def parsed(call: str, a: gd.Tensor, b: gd.Tensor, w: Array) -> gd.Tensor:
    """The loss that the reference's name writes down."""
    name, _, rest = call.partition("(")
    words = {"a": a, "b": b, "w": w, "2 * w": 2 * w, "True": True, "False": False}
    arguments: list[Any] = []
    options: dict[str, Any] = {}
    for part in rest.removesuffix(")").split(", "):
        key, is_option, value = part.partition("=")
        if not is_option:
            arguments.append(words[key])
            continue
        options[key] = words[value] if value in words else value.strip("'") if "'" in value else float(value) if "." in value else int(value)
    loss: gd.Tensor = getattr(F, name)(*arguments, **options)
    return loss


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", LOSS_CASES)
def test_losses_equal_pytorch(case: str, dtype: str, backend: str) -> None:
    reference = {part: cast(array, dtype) for part, array in LOSS_CASES[case].items()}
    a, b = declared("a", reference["a"]), declared("b", reference["b"], symbolic=reference["b"].ndim > 1)
    loss = parsed(case, a, b, reference["w"])
    gradients = gd.grad(weighted(loss, reference["output"]), [a])
    value, slope = compile([loss, *gradients], [a, b], backend=backend)(reference["a"], reference["b"])
    close(value, reference["output"], dtype)
    close(slope, reference["gradient"], dtype)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_of_cross_entropy_is_softmax_less_one_hot(backend: str) -> None:
    z, y = gd.placeholder("z", ("N", 3), "float64"), gd.placeholder("y", ("N",), "int64")
    (gradient,) = gd.grad(F.cross_entropy(z, y), [z])
    assert {node.op.name for node in gd.Graph(gradient).nodes}.isdisjoint({"exp", "log", "logsumexp", "log_softmax", "cross_entropy"})
    logits, targets = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]), np.array([1, 0])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    value = compile(gradient, [z, y], backend=backend)(logits, targets)
    np.testing.assert_allclose(value, (softmax - np.eye(3)[targets]) / 2, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("label", [3, -1, -100])
def test_a_label_that_is_no_class_is_an_error(label: int, backend: str) -> None:
    z, y = gd.placeholder("z", ("N", 3)), gd.placeholder("y", ("N",), "int64")
    program = compile(F.cross_entropy(z, y), [z, y], backend=backend)
    with pytest.raises(IndexOutOfRangeError):
        program(np.zeros((2, 3), "f"), np.array([0, label]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_metrics(backend: str) -> None:
    z, y = gd.placeholder("z", ("N", 4)), gd.placeholder("y", ("N",), "int64")
    scores = np.array([[4, 3, 2, 1], [1, 2, 3, 4], [2, 4, 1, 3]], "f")
    labels = np.array([0, 0, 3])
    measures = [nn.metrics.accuracy(z, y), nn.metrics.top_k_accuracy(z, y, 2), nn.metrics.binary_accuracy(z, z), nn.metrics.mean_squared_error(z, z + 2)]
    values = compile(measures, [z, y], backend=backend)(scores, labels)
    np.testing.assert_allclose(values, [1 / 3, 2 / 3, 1, 4], rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout2d_drops_whole_channels(backend: str) -> None:
    x = gd.placeholder("x", ("N", 50, 2, 3))
    value = compile(nn.Dropout2d(0.5)(x), [x], backend=backend)(np.ones((4, 50, 2, 3), "f"))
    channels = value.reshape(200, 6)
    assert (channels == channels[:, :1]).all()
    assert set(np.unique(channels)) == {0.0, 2.0}
    assert 60 < (channels[:, 0] == 0).sum() < 140


class Block(nn.Module):
    """Two layers, one of them shared, and two buffers."""

    count: gd.Tensor
    seen: gd.Tensor

    def __init__(self) -> None:
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3, bias=False)])
        self.shared = self.layers[0]
        self.scale = gd.parameter(np.ones(3, "f"), "scale")
        self.register_buffer("count", np.zeros((), "f"))
        self.register_buffer("seen", np.zeros((), "f"), persistent=False)

    def forward(self, x: gd.Tensor) -> gd.Tensor:
        for layer in self.layers:
            x = layer(x)
        nn.assign(self.count, self.count + 1)
        return x * self.scale + 0 * self.count


class Outer(nn.Module):
    """A block inside a module."""

    def __init__(self) -> None:
        self.block = Block()

    def forward(self, x: gd.Tensor) -> gd.Tensor:
        result: gd.Tensor = self.block(x)
        return result


def test_names_of_parameters_buffers_and_modules() -> None:
    net = Outer()
    assert [name for name, _ in net.named_parameters()] == ["block.scale", "block.layers.0.weight", "block.layers.0.bias", "block.layers.1.weight"]
    assert [name for name, _ in net.named_buffers()] == ["block.count", "block.seen"]
    assert [name for name, _ in net.named_modules()] == ["", "block", "block.layers", "block.layers.0", "block.layers.1"]
    assert [name for name, _ in net.block.named_children()] == ["layers", "shared"]
    assert {"block.shared.weight", "block.layers.0.weight", "block.count"} < net.state_dict().keys()
    assert "block.seen" not in net.state_dict()


def test_nodes_know_their_module() -> None:
    net, x = Outer(), gd.placeholder("x", ("N", 3))
    graph = gd.Graph(net(x))
    products = [node for node in graph.nodes if node.op.name == "matmul"]
    assert [node.provenance.modules for node in products] == [{"block.layers.0"}, {"block.layers.1"}]
    assert list(parameter_names(net.parameters()).values()) == [name for name, _ in net.named_parameters()]
    assert all(source.file == __file__ for node in products for source in node.provenance.sources)


def test_a_module_inside_knows_its_path_when_called_alone() -> None:
    net, x = Outer(), gd.placeholder("x", ("N", 3))
    assert gd.Graph(net.block.layers[1](x)).nodes[-1].provenance.modules == {"block.layers.1"}


def test_parameters_without_a_module_are_numbered() -> None:
    weights = [gd.parameter(np.zeros(2), "w") for _ in range(3)]
    assert list(parameter_names(weights).values()) == ["w", "w.2", "w.3"]


def test_state_dict_holds_the_arrays_themselves() -> None:
    net = nn.Sequential(nn.Linear(2, 1))
    net.state_dict()["0.bias"][:] = 5
    assert net.parameters()[1].value[0] == 5


def test_load_state_dict_lists_every_fault_and_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.Embedding(2, 2))
    before = {name: array.copy() for name, array in net.state_dict().items()}
    state = {"0.weight": np.ones((3, 3), "f"), "0.bias": np.ones(3, "f"), "1.weight": np.ones((1, 3), "complex64"), "2.weight": np.ones((2, 2))}
    state["extra"] = np.ones(1)
    with pytest.raises(StateError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert all(fault in message for fault in ("misshapen: 0.weight", "wrong dtype: 1.weight", "missing: 1.bias", "unexpected: extra"))
    assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())
    net.load_state_dict({"0.bias": np.ones(3), "extra": np.ones(1)}, strict=False)
    assert net.state_dict()["0.bias"].tolist() == [1, 1, 1]


def test_repr_is_pytorchs() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Dropout(0.1)), nn.LayerNorm(3))
    assert repr(net) == (
        "Sequential(\n  (0): Linear(in_features=4, out_features=3, bias=True)\n  (1): Sequential(\n    (0): ReLU()\n    (1): Dropout(p=0.1)\n  )\n"
        "  (2): LayerNorm((3,), eps=1e-05, elementwise_affine=True)\n)"
    )


def test_containers() -> None:
    net = nn.Sequential({"first": nn.Linear(2, 2), "second": nn.ReLU()})
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "first.bias"]
    assert len(net) == 2
    assert isinstance(net[-1], nn.ReLU)
    assert len(net[:1]) == 1
    named = nn.ModuleDict({"a": nn.Linear(1, 1)})
    named["b"] = nn.Tanh()
    assert list(named) == ["a", "b"]
    assert "b" in named
    assert dict(named.items()).keys() == set(named.keys())
    assert len(list(named.values())) == len(named)
    listed = nn.ModuleList([nn.ReLU()]).append(nn.Tanh())
    assert [type(module) for module in listed[0:2]] == [nn.ReLU, nn.Tanh]
    assert len(nn.Sequential().append(nn.ReLU())) == 1
    with pytest.raises(TypeError, match="needs modules"):
        nn.Sequential(gd.relu)
    with pytest.raises(KeyError, match="its methods"):
        named["keys"] = nn.Tanh()


def test_a_module_cannot_contain_itself() -> None:
    net = Outer()
    with pytest.raises(GraphdlError, match="cannot contain itself"):
        net.block.outer = net


def test_apply_goes_from_the_inside_out() -> None:
    seen: list[str] = []
    Outer().apply(lambda module: seen.append(type(module).__name__))
    assert seen[-1] == "Outer"
    assert seen[0] == "Linear"


@pytest.mark.parametrize("backend", BACKENDS)
def test_buffers_are_assigned_by_a_training_step(backend: str) -> None:
    net, x = Outer(), gd.placeholder("x", ("N", 3))
    loss = (net(x) ** 2.0).mean()
    updates = gd.optim.SGD(lr=0.1).updates(loss, net.parameters())
    step = compile(loss, [x], updates=updates, backend=backend)
    for _ in range(3):
        step(np.ones((2, 3), "f"))
    assert net.block.count.value == 3
    assert net.block.seen.value == 0


def test_initial_values_are_reproducible_and_distributed() -> None:
    def make() -> dict[str, Array]:
        gd.random.seed(7)
        return nn.Sequential(nn.Linear(400, 300), nn.Embedding(300, 50, padding_idx=3)).state_dict()

    first, second = make(), make()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    bound = 1 / np.sqrt(400)
    assert 0.99 * bound < np.abs(first["0.weight"]).max() <= bound
    assert abs(first["0.weight"].std() - bound / np.sqrt(3)) < 0.01 * bound
    assert abs(first["1.weight"].std() - 1) < 0.02
    assert not first["1.weight"][3].any()
    gd.random.seed(8)
    assert not np.array_equal(nn.Linear(400, 300).weight.value, first["0.weight"])


def test_initial_values_are_drawn_when_they_are_read() -> None:
    def draw(array: Array) -> None:
        drawn.append(array.shape)
        array.fill(1)

    drawn: list[tuple[int, ...]] = []
    net = nn.Linear(4, 3)
    net.weight.node.op.state.begin_with(draw)
    net.load_state_dict({"weight": np.full((3, 4), 2.0), "bias": np.zeros(3)})
    assert (net.weight.value == 2).all()
    assert not drawn
    net.weight.node.op.state.begin_with(draw)
    with ThreadPoolExecutor(8) as threads:
        assert all((array == 1).all() for array in threads.map(lambda _: net.weight.value, range(64)))
    assert drawn == [(3, 4)]


def test_initial_values_do_not_depend_on_when_they_are_read() -> None:
    def make(*, early: bool) -> list[Array]:
        gd.random.seed(7)
        first, second = nn.Linear(300, 300), nn.Linear(300, 200)
        early_values = second.weight.value.copy() if early else None
        f = gd.compile(second(first(gd.placeholder("x", ("N", 300)))), backend="numpy")
        assert f(np.zeros((1, 300), "f")).shape == (1, 200)
        assert early_values is None or np.array_equal(early_values, second.weight.value)
        return [tensor.value for tensor in (*first.parameters(), *second.parameters())]

    assert all(map(np.array_equal, make(early=True), make(early=False)))


def test_a_copy_begins_with_the_same_values() -> None:
    net = nn.Linear(5, 4)
    assert np.array_equal(copy.deepcopy(net).weight.value, net.weight.value)


@pytest.mark.parametrize(
    ("fill", "deviation"),
    [
        (lambda t: init.xavier_uniform_(t, 2.0), 2 * np.sqrt(2 / 500)),
        (init.xavier_normal_, np.sqrt(2 / 500)),
        (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), np.sqrt(2 / 300)),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="tanh"), 5 / 3 / np.sqrt(200)),
        (lambda t: init.normal_(t, 0.0, 3.0), 3.0),
        (lambda t: init.uniform_(t, -1.0, 1.0), 1 / np.sqrt(3)),
        (lambda t: init.trunc_normal_(t, 0.0, 1.0, -1.0, 1.0), 0.5396),
    ],
)
def test_initial_distributions(fill: Any, deviation: float) -> None:
    values = fill(gd.parameter(np.zeros((200, 300)))).value
    assert abs(values.std() / deviation - 1) < 0.02
    assert abs(values.mean()) < 0.02 * deviation


def test_special_initial_values() -> None:
    square = gd.parameter(np.zeros((4, 6)))
    matrix = init.orthogonal_(square, 2.0).value
    np.testing.assert_allclose(matrix @ matrix.T, 4 * np.eye(4), atol=1e-12)
    assert init.eye_(square).value.trace() == 4
    assert (init.constant_(square, 3.0).value == 3).all()
    assert (init.ones_(square).value == 1).all()
    assert not init.zeros_(square).value.any()
    with pytest.raises(ShapeError, match="two axes"):
        init.xavier_normal_(gd.parameter(np.zeros(3)))
    with pytest.raises(ValueError, match="no gain is known"):
        init.calculate_gain("square")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x, y: nn.Linear(5, 2)(x), ShapeError, "needs 5 features"),
        (lambda x, y: F.cross_entropy(x, x[:, 0]), ShapeError, "integer classes or probabilities"),
        (lambda x, y: F.cross_entropy(x, gd.constant(np.zeros((4, 4), int))), ShapeError, "without the classes' axis"),
        (lambda x, y: F.nll_loss(x, x[0]), TypeRuleError, "must be integers"),
        (lambda x, y: F.mse_loss(x, x[:, 0]), ShapeError, "different numbers of axes"),
        (lambda x, y: F.mse_loss(x, x, reduction="average"), ValueError, "mean, sum, none"),
        (lambda x, y: F.embedding(x, x), TypeRuleError, "must be integers"),
        (lambda x, y: nn.Embedding(3, 2, padding_idx=3), ShapeError, "padding_idx 3 is no row"),
        (lambda x, y: nn.LayerNorm(5)(x), ShapeError, "last axes"),
        (lambda x, y: nn.GroupNorm(2, 3), ShapeError, "2 groups do not divide 3 channels"),
        (lambda x, y: F.group_norm(x, 5), ShapeError, "5 groups do not divide"),
        (lambda x, y: nn.Dropout(1.5), ValueError, "probability"),
        (lambda x, y: F.dropout2d(x), ShapeError, r"\(N, C, ...\)"),
        (lambda x, y: nn.metrics.accuracy(x, x), ShapeError, "integer target"),
        (lambda x, y: F.cross_entropy(x, y, label_smoothing=2.0), ValueError, "label_smoothing"),
        (lambda x, y: nn.Module()(x), NotImplementedError, "no forward"),
        (lambda x, y: nn.assign(x, x), GraphdlError, "no buffer"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, error: type[Exception], message: str) -> None:
    x, y = gd.placeholder("x", ("N", 4)), gd.placeholder("y", ("N",), "int64")
    with pytest.raises(error, match=message):
        make(x, y)


def test_losses_as_modules() -> None:
    x, y, t = gd.placeholder("x", ("N", 4)), gd.placeholder("y", ("N",), "int64"), gd.placeholder("t", ("N", 4))
    weight = np.ones(4, "f")
    assert nn.CrossEntropyLoss()(x, y) is F.cross_entropy(x, y)
    assert list(nn.CrossEntropyLoss(weight).state_dict()) == ["weight"]
    assert nn.NLLLoss(reduction="sum")(x, y) is F.nll_loss(x, y, reduction="sum")
    assert nn.BCEWithLogitsLoss()(x, t) is F.binary_cross_entropy_with_logits(x, t)
    assert nn.KLDivLoss("batchmean", log_target=True)(x, t) is F.kl_div(x, t, reduction="batchmean", log_target=True)
    assert nn.MSELoss()(x, t) is F.mse_loss(x, t)
    assert nn.L1Loss()(x, t) is F.l1_loss(x, t)
    assert nn.HuberLoss(delta=2.0)(x, t) is F.huber_loss(x, t, delta=2.0)
    assert nn.SmoothL1Loss(beta=2.0)(x, t) is F.smooth_l1_loss(x, t, beta=2.0)


def test_embedding_from_pretrained() -> None:
    layer = nn.Embedding.from_pretrained(np.eye(3, dtype="f"), padding_idx=-1)
    assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (3, 3, 2)
    assert repr(layer) == "Embedding(3, 3, padding_idx=2)"
    assert compile(layer(gd.constant(np.array([1]))), backend="numpy")().tolist() == [[0, 1, 0]]

"""Programs whose parameters are promised to stay as they are: what depends on them alone is computed once."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.errors import CompileError

# A network on an input of these axes, and whether a call of it packs or turns weights when nothing is frozen.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(48, 200), nn.ReLU(), nn.Linear(200, 130)), (48,), True),
    "transposed convolution": (lambda: nn.ConvTranspose2d(24, 40, 4, stride=2, padding=1), (24, 8, 8), True),
    "convolution": (lambda: nn.Conv2d(24, 40, 3, padding=1), (24, 9, 9), False),
    "lstm": (lambda: nn.LSTM(40, 96), (12, 40), True),
}


def program(name: str, samples: int | str = "N", **options: object) -> gd.Executable:
    network, shape, _ = NETWORKS[name]
    gd.random.seed(1)
    x = gd.placeholder("x", (samples, *shape))
    found = network()(x)
    return gd.compile([found[0] if isinstance(found, tuple) else found], [x], mode="inference", **options)  # type: ignore[arg-type]


def data(name: str, samples: int) -> np.ndarray:
    return np.random.default_rng(samples).standard_normal((samples, *NETWORKS[name][1])).astype("float32")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("samples", ["N", 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_results_are_the_same_bits(name: str, samples: int | str, threads: int) -> None:
    plain, frozen = (program(name, samples, threads=threads, frozen=frozen) for frozen in (False, True))
    for count in (5, 1, 5) if samples == "N" else (5, 5):
        given = data(name, count)
        np.testing.assert_array_equal(frozen(given)[0], plain(given)[0])


@pytest.mark.parametrize("name", [name for name, (*_, packs) in NETWORKS.items() if packs])
def test_what_depends_on_parameters_alone_is_not_computed_in_calls(name: str) -> None:
    plain, frozen = program(name, 20), program(name, 20, frozen=True)
    assert len(frozen.kernels) < len(plain.kernels)
    assert frozen.profile(data(name, 20), repeat=2).rows  # its entry runs on the same memory


def test_pickles_and_program_files_are_frozen_again(tmp_path: Path) -> None:
    frozen, given = program("perceptron", frozen=True), data("perceptron", 4)
    gd.save_program(frozen, tmp_path / "p.gdp")
    for copy in (pickle.loads(pickle.dumps(frozen)), gd.load_program(tmp_path / "p.gdp")):  # noqa: S301
        assert len(copy.kernels) == len(frozen.kernels)
        np.testing.assert_array_equal(copy(given)[0], frozen(given)[0])


def test_exported_code_needs_nothing_before_its_first_call(tmp_path: Path) -> None:
    paths = gd.export(program("perceptron", 3, frozen=True), tmp_path, "frozen")
    assert "settle" not in paths[1].read_text()


@pytest.mark.parametrize("options", [{"backend": "numpy"}, {"check": "nonfinite"}])
def test_other_ways_to_run_give_the_same(options: dict[str, str]) -> None:
    given = data("perceptron", 2)
    np.testing.assert_allclose(program("perceptron", frozen=True, **options)(given)[0], program("perceptron")(given)[0], rtol=1e-5, atol=1e-6)


def test_what_grows_with_the_call_is_not_kept() -> None:
    """A parameter repeated for every sample is packed anew: nobody knows how many there will be."""
    x, table = gd.placeholder("x", ("N", 40, 30)), gd.parameter(np.random.default_rng(0).standard_normal((40, 50)).astype("f"))
    repeated = gd.broadcast_to(table, (x.shape[0], 40, 50)) * gd.arange(x.shape[0]).reshape((-1, 1, 1)).astype("float32")
    outputs = [gd.swapaxes(x, 1, 2) @ repeated]
    plain, frozen = (gd.compile(outputs, [x], mode="inference", frozen=frozen) for frozen in (False, True))
    for count in (3, 0, 40):
        given = np.random.default_rng(1).standard_normal((count, 40, 30)).astype("f")
        np.testing.assert_array_equal(frozen(given)[0], plain(given)[0])


def test_random_numbers_go_on() -> None:
    x = gd.placeholder("x", ("N", 200))
    f = gd.compile([nn.functional.dropout(x, 0.5)], [x], frozen=True)
    first, second = (f(np.ones((3, 200), "f"))[0] for _ in range(2))
    assert (first != second).any()


def test_a_program_with_updates_is_refused() -> None:
    x, layer = gd.placeholder("x", ("N", 3)), nn.Linear(3, 2)
    loss = (layer(x) ** 2).sum()
    with pytest.raises(CompileError, match=r"changes no parameters, but 'weight'.*leave out frozen=True"):
        gd.compile([loss], [x], updates=optim.SGD(lr=0.1).updates(loss, layer.parameters()), frozen=True)

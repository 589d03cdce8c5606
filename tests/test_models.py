"""Positions, language models with a key-value cache, and generation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import GraphdlError, IndexOutOfRangeError, ShapeError, TypeRuleError
from graphdl.nn.models import Generator, LanguageModel, sample
from graphdl.nn.positions import rotary, sinusoidal_positions

Array = np.ndarray[Any, Any]
each_backend = pytest.mark.parametrize("backend", ["native", "numpy"])
VOCABULARY = 23
MAKERS: dict[str, Any] = {
    "gpt": lambda: nn.models.gpt(VOCABULARY, 16, 16, 2, 4),
    "llama": lambda: nn.models.llama(VOCABULARY, 16, 24, 2, 4, 2, max_position_embeddings=16),
}


def made(name: str) -> LanguageModel:
    """A model with scores that differ clearly."""
    gd.random.seed(3)
    model: LanguageModel = MAKERS[name]()
    for tensor in model.parameters():
        if tensor.ndim > 1:
            tensor.value *= 8
    return model


def without_cache(model: LanguageModel, prompt: Array, count: int, backend: str) -> Array:
    """The likeliest tokens behind the prompt, with all scores computed anew for each."""
    ids = gd.placeholder("ids", ("N", "L"), "int64")
    scores = gd.compile(model(ids), [ids], mode="inference", backend=backend)
    for _ in range(count):
        prompt = np.concatenate([prompt, scores(prompt)[:, -1].argmax(axis=1)[:, None]], axis=1)
    return prompt


@each_backend
@pytest.mark.parametrize("name", MAKERS)
def test_generation_with_a_cache_equals_that_without(name: str, backend: str) -> None:
    model = made(name)
    generator = Generator(model, 2, backend=backend)
    for prompt in (np.array([[1, 2, 3], [7, 0, 9]]), np.array([[5], [6]])):  # twice: nothing is left over from before
        found = generator.generate(prompt, 9, temperature=0)
        np.testing.assert_array_equal(found, without_cache(model, prompt, 9, backend))
        assert len(np.unique(found)) > 4


def test_a_shorter_cache_gives_the_same_and_one_program_serves_all_steps() -> None:
    model = made("gpt")
    generator = Generator(model, max_length=8)
    found = generator.generate(np.array([4, 4]), 6, temperature=0)
    np.testing.assert_array_equal(found, without_cache(model, np.array([[4, 4]]), 6, "numpy")[0])


def test_drawn_tokens_are_reproducible_and_end() -> None:
    model = made("llama")
    generator = Generator(model, 2)
    prompt = np.array([[1], [2]])
    first, again, other = (generator.generate(prompt, 12, temperature=3.0, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    stop = int(first[0, 2])
    ended = generator.generate(prompt, 12, temperature=3.0, seed=5, stop=stop)
    assert (ended[0, 2:] == stop).all()
    assert generator.generate(np.array([[1], [1]]), 0).tolist() == [[1], [1]]


def test_trained_parameters_are_used_at_once() -> None:
    model = made("gpt")
    generator = Generator(model)
    before = generator.generate(np.array([3]), 8, temperature=0)
    assert isinstance(model.lm_head, nn.Linear)
    model.lm_head.weight.value = model.lm_head.weight.value[::-1].copy()
    assert (generator.generate(np.array([3]), 8, temperature=0) != before).any()


def test_sampling_follows_the_probabilities() -> None:
    chances = np.array([0.1, 0.5, 0.15, 0.25])
    scores = np.tile(np.log(chances), (20000, 1))

    def frequencies(**options: Any) -> Array:
        drawn = sample(scores, np.random.default_rng(0), **options)
        return np.bincount(drawn, minlength=4) / len(drawn)

    np.testing.assert_allclose(frequencies(), chances, atol=0.015)
    np.testing.assert_allclose(frequencies(temperature=0.5), chances**2 / (chances**2).sum(), atol=0.015)
    np.testing.assert_allclose(frequencies(top_k=2), [0, 2 / 3, 0, 1 / 3], atol=0.015)
    np.testing.assert_allclose(frequencies(top_p=0.6), [0, 2 / 3, 0, 1 / 3], atol=0.015)
    np.testing.assert_allclose(frequencies(top_p=0.5), [0, 1, 0, 0])
    np.testing.assert_allclose(frequencies(top_k=1), [0, 1, 0, 0])
    np.testing.assert_allclose(frequencies(temperature=0), [0, 1, 0, 0])


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_bad_options_of_sampling_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        sample(np.zeros((1, 3)), np.random.default_rng(0), **options)


def test_unfit_prompts_are_refused() -> None:
    generator = Generator(made("gpt"), 2, backend="numpy")
    for prompt, new, error in (
        (np.ones((2, 3)), 1, TypeRuleError),
        (np.ones((3, 3), int), 1, ShapeError),
        (np.ones((2, 0), int), 1, ShapeError),
        (np.ones((2, 10), int), 7, ShapeError),
        (np.full((2, 2), VOCABULARY), 1, GraphdlError),
    ):
        with pytest.raises(error):
            generator.generate(prompt, new)
    with pytest.raises(ShapeError, match="context of 16"):
        Generator(made("gpt"), max_length=17)
    with pytest.raises(ShapeError, match="at most 16"):
        made("gpt")(gd.placeholder("ids", ("N", 17), "int64"))
    with pytest.raises(TypeRuleError, match="must be integers"):
        made("gpt")(gd.placeholder("ids", ("N", 7)))


@each_backend
def test_sinusoidal_positions(backend: str) -> None:
    x = gd.placeholder("x", ("N", "L", 6), "float64")
    value = gd.compile(nn.SinusoidalPositions(6)(x), [x], backend=backend)(np.zeros((2, 9, 6)))
    angles = np.arange(9)[:, None] / 10000 ** (np.arange(0, 6, 2) / 6)
    expected = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(9, 6)
    np.testing.assert_allclose(value, np.broadcast_to(expected, value.shape), rtol=1e-12, atol=1e-15)


@each_backend
def test_learned_positions(backend: str) -> None:
    layer = nn.LearnedPositions(5, 3)
    x, at = gd.placeholder("x", ("N", "L", 3)), gd.placeholder("at", ("L",), "int64")
    plain, chosen = gd.compile([layer(x), layer(x, at)], [x, at], backend=backend)(np.ones((2, 4, 3), "f"), np.array([4, 0, 0, 1]))
    np.testing.assert_allclose(plain[1], 1 + layer.weight.value[:4])
    np.testing.assert_allclose(chosen[0], 1 + layer.weight.value[[4, 0, 0, 1]])
    with pytest.raises(GraphdlError):
        gd.compile(layer(x), [x], backend=backend)(np.ones((2, 6, 3), "f"))


@each_backend
@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_positions_turn_pairs(interleaved: bool, backend: str) -> None:
    x = gd.placeholder("x", ("N", "L", 6), "float64")
    at = gd.placeholder("at", ("L",), "int64")
    layer = nn.RotaryPositions(100.0, interleaved)
    array = np.random.default_rng(0).normal(size=(2, 7, 6))
    plain, moved = gd.compile([layer(x), layer(x, at)], [x, at], backend=backend)(array, np.arange(7) + 11)
    pairs = array[..., 0::2] + 1j * array[..., 1::2] if interleaved else array[..., :3] + 1j * array[..., 3:]
    turned = pairs * np.exp(1j * np.arange(7)[:, None] * 100.0 ** (-np.arange(3) / 3))
    parts = turned.real, turned.imag
    expected = np.stack(parts, -1).reshape(array.shape) if interleaved else np.concatenate(parts, -1)
    np.testing.assert_allclose(plain, expected, rtol=1e-12, atol=1e-12)
    products = [turned @ turned.swapaxes(-1, -2) for turned in (plain, moved)]
    np.testing.assert_allclose(products[0], products[1], rtol=1e-10, atol=1e-10)  # only distances count


@pytest.mark.parametrize(
    ("declare", "error"),
    [
        (lambda: sinusoidal_positions("L", 5), ShapeError),
        (lambda: nn.SinusoidalPositions(3), ShapeError),
        (lambda: rotary(gd.placeholder("x", ("L", 5))), ShapeError),
        (lambda: rotary(gd.placeholder("x", ("L", "D"))), ShapeError),
        (lambda: rotary(gd.placeholder("x", ("L", 4)), gd.zeros(3)), TypeRuleError),
    ],
)
def test_bad_positions_are_refused(declare: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        declare()


def test_a_step_touches_only_what_is_new() -> None:
    generator = Generator(made("llama"), max_length=16)
    generator.generate(np.array([1, 2, 3]), 2, temperature=0)
    written = [kernel for kernel in generator._step.kernels if kernel.name == "write_slice"]
    assert len(written) == 2 * 2, generator._step.kernels
    assert all(kernel.bytes < 16 * 8 * 4 for kernel in written)
    assert not any(kernel.name == "copy" for kernel in generator._step.kernels)


def test_no_step_goes_beyond_the_cache() -> None:
    generator = Generator(made("llama"), max_length=4)
    with pytest.raises(ShapeError):
        generator._step(np.zeros((1, 1), "int64"), np.ones(5, bool))
    with pytest.raises(ShapeError):
        generator._step(np.zeros((1, 1), "int64"), np.ones(0, bool))


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_parts_of_parameters_are_written_in_place(backend: str) -> None:
    held = gd.parameter(np.zeros((2, 5), "f"), "held")
    new, at = gd.placeholder("new", (2, "N")), gd.placeholder("at", (), "int64")
    written = gd.write_slice(held, new, 1, 1)
    f = gd.compile(written.sum() + gd.take(new, at, 1).sum(), [new, at], updates={held: written}, backend=backend)
    assert f(np.ones((2, 3), "f"), np.array(0)) == 8
    np.testing.assert_array_equal(held.value, [[0, 1, 1, 1, 0]] * 2)
    with pytest.raises(IndexOutOfRangeError):  # nothing is written then
        f(np.full((2, 2), 7, "f"), np.array(2))
    np.testing.assert_array_equal(held.value, [[0, 1, 1, 1, 0]] * 2)
    with pytest.raises(ShapeError):
        f(np.ones((2, 5), "f"), np.array(0))

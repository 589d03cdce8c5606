"""Text from language models: token after token, the likeliest or drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...compiler import compile
from ...errors import ShapeError, TypeRuleError
from ...ops.source import placeholder
from .cache import KeyValueCache
from .language import LanguageModel

Array = np.ndarray[Any, Any]


class Generator:
    """A language model with a key-value cache of `max_length` positions (the model's context unless given).

    Two programs are compiled when first needed: one reads a prompt of any length, one adds a token. Both use the model's
    parameters where they lie, so a model that is trained on gives its new texts at once, without compiling again.
    """

    def __init__(
        self, model: LanguageModel, batch_size: int = 1, max_length: int | None = None, *, backend: str = "native", threads: int | None = None
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.max_length = model.context if max_length is None else max_length
        if not 0 < self.max_length <= model.context or batch_size < 1:
            raise ShapeError(f"Generator: {self.max_length} positions must lie between 1 and the model's context of {model.context}, and the batch be positive")
        cache = KeyValueCache(batch_size, self.max_length)
        tokens, token = placeholder("tokens", (batch_size, "L"), "int64"), placeholder("token", (batch_size, 1), "int64")
        held = placeholder("held", ("positions",), "bool")
        reading, stepping = cache.prompt(), cache.step(held)
        self._held = np.ones(self.max_length, bool)  # of which a step is given as much as is held after it
        options: dict[str, Any] = {"mode": "inference", "backend": backend, "threads": threads}
        self._read = compile(model.next_scores(tokens, reading), [tokens], updates=reading.updates, **options)
        self._step = compile(model.next_scores(token, stepping), [token, held], updates=stepping.updates, **options)

    def generate(
        self,
        prompt: Any,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: int | None = None,
    ) -> Array:
        """The prompt (length,) or (batch_size, length) with new tokens behind it: int64, of as many axes.

        With `temperature` 0 each is the likeliest one; else it is drawn as `sample` says, from a generator of that `seed`.
        Generation ends early when all rows have drawn `stop`, which is also what fills rows that end before others.
        Raises ShapeError where prompt and new tokens exceed the cache, TypeRuleError for prompts that are not integers.
        """
        given = np.asarray(prompt)
        rows = self._checked(given, max_new_tokens)
        new = self.stream(rows, max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, stop=stop)
        joined = np.concatenate([rows, *(tokens[:, None] for tokens in new)], axis=1)
        return joined[0] if given.ndim == 1 else joined

    def stream(
        self,
        prompt: Any,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: int | None = None,
    ) -> Iterator[Array]:
        """The new tokens of `generate` as they come: int64 (batch_size,) for each position. Raises as `generate`, at once."""
        rows = self._checked(np.asarray(prompt), max_new_tokens)
        return self._tokens(rows, max_new_tokens, (temperature, top_k, top_p), np.random.default_rng(seed), stop)

    def scores(self, prompt: Any) -> Array:
        """The scores (batch_size, vocabulary) of the tokens that may follow a prompt. Raises as `generate`."""
        found: Array = self._read(self._checked(np.asarray(prompt), 0))
        return found

    def _checked(self, prompt: Array, new: int) -> Array:
        if prompt.dtype.kind not in "iu":
            raise TypeRuleError(f"Generator: a prompt holds token numbers, not {prompt.dtype}")
        rows = prompt[None] if prompt.ndim == 1 else prompt
        if rows.ndim != 2 or len(rows) != self.batch_size or rows.shape[1] == 0:
            raise ShapeError(f"Generator: a prompt of shape {prompt.shape} is not ({self.batch_size}, length) with a length of at least 1")
        if new < 0 or rows.shape[1] + new > self.max_length:
            raise ShapeError(f"Generator: {rows.shape[1]} tokens and {new} new ones do not fit {self.max_length} positions: give a longer max_length")
        return rows.astype("int64")

    def _tokens(self, prompt: Array, count: int, options: tuple[Any, ...], generator: np.random.Generator, stop: int | None) -> Iterator[Array]:
        """The new tokens, position after position."""
        ended = np.zeros(self.batch_size, bool)
        if count == 0:
            return
        scores, end = self._read(prompt), prompt.shape[1] + count
        for place in range(prompt.shape[1], end):
            token = sample(scores, generator, *options)
            token = token if stop is None else np.where(ended, stop, token)
            yield token
            ended |= token == stop
            if place + 1 == end or ended.all():
                return
            scores = self._step(token[:, None], self._held[: place + 1])


def sample(scores: Array, generator: np.random.Generator, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Array:
    """A token (N,) for each row of scores (N, vocabulary), drawn with probability softmax(scores / temperature).

    Only the `top_k` likeliest are drawn from (Fan, Lewis, Dauphin 2018), and only the fewest likeliest that have together a
    probability of `top_p` (Holtzman et al. 2020). With `temperature` 0 it is the likeliest. Raises ValueError for bad options.
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"temperature={temperature} must not be negative, top_k={top_k} at least 1, top_p={top_p} between 0 and 1")
    if temperature == 0:
        return np.argmax(scores, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, 1).astype("float64") / temperature
    chances = np.exp(ranked - ranked[:, :1])
    if top_k is not None:
        chances[:, top_k:] = 0
    chances /= chances.sum(axis=1, keepdims=True)
    below = np.cumsum(chances, axis=1)
    if top_p is not None:
        chances[below - chances >= top_p] = 0
        below = np.cumsum(chances, axis=1)
    drawn = generator.random((len(scores), 1)) * below[:, -1:]
    place = np.minimum((below <= drawn).sum(axis=1, keepdims=True), (chances > 0).sum(axis=1, keepdims=True) - 1)
    return np.asarray(np.take_along_axis(order, place, 1)[:, 0])

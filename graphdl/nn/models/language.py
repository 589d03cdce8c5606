"""What language models have in common: token numbers in, a score for every possible next token out."""

from __future__ import annotations

from ...errors import ShapeError, TypeRuleError
from ...ir import Tensor
from ...ops.elementwise import describe
from ...types import is_integer
from ..module import Module
from .cache import CachePass


class LanguageModel(Module):
    """The base: subclasses write `hidden` and have `lm_head`, from features to scores.

    `context` is the largest number of positions, `vocabulary` the number of tokens.
    """

    context: int
    vocabulary: int
    lm_head: Module

    def hidden(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        """The last layer's features (N, L, features) for token numbers (N, L). With a cache these are the new tokens only."""
        raise NotImplementedError(f"{type(self).__name__} has no hidden")

    def forward(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        """Scores (N, L, vocabulary) for the token behind each of `input_ids` (N, L). Raises TypeRuleError, ShapeError."""
        if not is_integer(input_ids.dtype):
            raise TypeRuleError(f"{type(self).__name__}: the token numbers {describe(input_ids)} must be integers")
        if input_ids.ndim != 2 or (isinstance(input_ids.shape[1], int) and input_ids.shape[1] > self.context):
            raise ShapeError(f"{type(self).__name__}: {describe(input_ids)} must be (N, L) with L of at most {self.context}")
        result: Tensor = self.lm_head(self.hidden(input_ids, cache))
        return result

    def next_scores(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        """Scores (N, vocabulary) for the token behind the last one."""
        result: Tensor = self.lm_head(self.hidden(input_ids, cache)[:, -1])
        return result

"""What a graph means: every node by its op's own NumPy meaning, operands before users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from .errors import IndexOutOfRangeError
from .ir import Graph, Node, Tensor

Array = np.ndarray[Any, Any]
Watch = Callable[[Graph, Mapping[Tensor, Array]], None]
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Call `watch` with every body of a branch or loop that is evaluated, and with all its values."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def tell(body: Graph, values: Mapping[Tensor, Array]) -> None:
    """Tell who watches of one evaluation of a body."""
    watch = _watch.get()
    if watch is not None:
        watch(body, values)


def evaluate_nodes(nodes: Sequence[Node], values: dict[Tensor, Array], sizes: Mapping[str, int]) -> None:
    """Add to `values`, which holds the inputs, the arrays of all results of `nodes` at these symbolic sizes.

    Raises IndexOutOfRangeError with the op and the user's line where an index operand points outside its axis.
    """
    for node in nodes:
        if not node.op.is_input:
            result = _evaluate(node, [values[operand] for operand in node.operands], sizes)
            arrays = result if isinstance(result, tuple) else (result,)
            values.update(zip(node.outputs, map(np.asarray, arrays), strict=True))


def _evaluate(node: Node, operands: Sequence[Array], sizes: Mapping[str, int]) -> Any:
    try:
        with np.errstate(all="ignore"):
            return node.op.bind(sizes).evaluate(*operands)
    except IndexOutOfRangeError as error:
        raise IndexOutOfRangeError(f"{node.told}: {error}") from None

"""What becomes of nodes: while somebody looks, rewriting notes which node took the place of which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..ir import Node


class Following:
    """The nodes that came into the place of others, by all passes that ran."""

    def __init__(self) -> None:
        self.next: dict[Node, dict[Node, None]] = {}

    def ends(self, node: Node, among: Iterable[Node]) -> list[Node]:
        """All of `among` that `node` became part of; itself if it is one."""
        wanted = among if isinstance(among, (set, dict, frozenset)) else set(among)
        found: dict[Node, None] = {}
        seen = {node}
        stack = [node]
        while stack:
            one = stack.pop()
            if one in wanted:
                found[one] = None
            fresh = [new for new in self.next.get(one, ()) if new not in seen]
            seen.update(fresh)
            stack += fresh
        return list(found)


_open: ContextVar[Following | None] = ContextVar("following", default=None)


@contextmanager
def following() -> Iterator[Following]:
    """Note what becomes of nodes inside."""
    made = Following()
    token = _open.set(made)
    try:
        yield made
    finally:
        _open.reset(token)


def follow(old: Iterable[Node], new: Node) -> None:
    """Note that `new` takes the place of `old`, if somebody looks."""
    made = _open.get()
    if made is None:
        return
    for node in old:
        if node is not new:
            made.next.setdefault(node, {})[new] = None

"""Where a node comes from: the user's lines, the module path, the rule that made it and the nodes it came from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .node import Node, Tensor

_PACKAGE = str(Path(__file__).parents[1])
_OWN = tuple(f"{folder}/" for folder in {_PACKAGE, *(str((Path(_PACKAGE) / link).resolve()) for link in ("passes", "backends"))})


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


@dataclass(slots=True)
class Provenance:
    """Sets that only grow: rewriting merges them, so nothing loses its origin.

    `sources` are user lines, `modules` paths such as `0` or `encoder.layers.1`, `rules` the names of the derivative rules
    that made the node, `origins` the forward nodes it was derived from, `passes` the rewritings that made or moved it. `cotangents` tells, for each result
    (by index) that is a cotangent, of which output it is the derivative and by which tensor; the output is None where
    derivatives of several outputs were summed. `is_derived` holds while only derivations have made the node.
    """

    sources: set[Source] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    rules: set[str] = field(default_factory=set)
    origins: set[Node] = field(default_factory=set)
    passes: set[str] = field(default_factory=set)
    cotangents: set[tuple[int, Tensor | None, Tensor]] = field(default_factory=set)
    is_derived: bool = False

    def merge(self, other: Provenance) -> None:
        if other is self:
            return
        if self.is_derived and not other.is_derived:
            self.sources = set(other.sources)
        elif self.is_derived == other.is_derived or not self.sources:  # who declared a node has its line, not who derives the same again
            self.sources |= other.sources
        self.modules |= other.modules
        self.rules |= other.rules
        self.origins |= other.origins
        self.passes |= other.passes
        self.cotangents |= other.cotangents
        self.is_derived = self.is_derived and other.is_derived

    @property
    def source(self) -> Source | None:
        """The first of the user's lines, in order of file and line."""
        return min(self.sources) if self.sources else None


@dataclass(frozen=True, slots=True)
class _Derivation:
    """What nodes made now descend from."""

    rule: str
    origins: tuple[Node, ...]
    parents: tuple[Node, ...]


_derivation: ContextVar[_Derivation | None] = ContextVar("derivation", default=None)
_module: ContextVar[str] = ContextVar("module", default="")
_original: ContextVar[Node | None] = ContextVar("original", default=None)
_is_told_later: ContextVar[bool] = ContextVar("is_told_later", default=False)


@contextmanager
def derived(rule: str, origins: Iterable[Node] = (), parents: Iterable[Node] = ()) -> Iterator[None]:
    """Nodes made inside are derived by `rule` from the forward nodes `origins`, or else rewritten by the pass `rule`; they
    inherit all that `parents` know."""
    token = _derivation.set(_Derivation(rule, tuple(origins), tuple(parents)))
    try:
        yield
    finally:
        _derivation.reset(token)


@contextmanager
def copying(node: Node) -> Iterator[None]:
    """Nodes made inside are copies of `node` and know just what it knows."""
    token = _original.set(node)
    try:
        yield
    finally:
        _original.reset(token)


@contextmanager
def told_later() -> Iterator[None]:
    """Nodes made inside know nothing yet: who makes them knows where they come from and tells it afterwards."""
    token = _is_told_later.set(True)
    try:
        yield
    finally:
        _is_told_later.reset(token)


@contextmanager
def module_scope(name: str) -> Iterator[None]:
    """Nodes made inside belong to the module `name`, below the module that is open already."""
    outer = _module.get()
    token = _module.set(f"{outer}.{name}" if outer and name else outer or name)
    try:
        yield
    finally:
        _module.reset(token)


def user_source() -> Source | None:
    """The innermost line on the stack that is not graphdl's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OWN):
            return Source(file, frame.f_lineno)
        frame = frame.f_back
    return None


def current() -> Provenance:
    """The provenance of a node made here and now."""
    made = Provenance()
    if _is_told_later.get():
        made.is_derived = True  # as far as is known: merging it takes nothing from a node that is there already
        return made
    original = _original.get()
    if original is not None:
        made.is_derived = original.provenance.is_derived
        made.merge(original.provenance)
        return made
    derivation = _derivation.get()
    if derivation is None:
        source = user_source()
        if source:
            made.sources.add(source)
        if _module.get():
            made.modules.add(_module.get())
        return made
    made.is_derived = bool(derivation.origins) or all(node.provenance.is_derived for node in derivation.parents)
    (made.rules if derivation.origins else made.passes).add(derivation.rule)
    made.origins.update(derivation.origins)
    for node in (*derivation.origins, *derivation.parents):
        made.sources |= node.provenance.sources
        made.modules |= node.provenance.modules
    for node in derivation.parents:
        made.origins |= node.provenance.origins
        made.rules |= node.provenance.rules
        made.passes |= node.provenance.passes
    return made

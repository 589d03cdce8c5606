"""Where a node comes from: the user's lines, the module path, the rule that made it and the nodes it came from."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from ..record import record

if TYPE_CHECKING:
    from .node import Node, Tensor

T = TypeVar("T")

_PACKAGE = str(Path(__file__).parents[1])
_OWN = tuple(f"{folder}/" for folder in {_PACKAGE, *(str((Path(_PACKAGE) / link).resolve()) for link in ("passes", "backends"))})

# Those that were seen on a stack, for a node is made some twenty calls deep; decorators and cached properties stand between.
_own_files: set[str] = {contextlib.__file__, functools.__file__}


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


@dataclass(slots=True)
class Provenance:
    """Sets that only grow: rewriting merges them, so nothing loses its origin. One set serves all nodes that know the same.

    `sources` are user lines, `modules` paths such as `0` or `encoder.layers.1`, `rules` the names of the derivative rules
    that made the node, `origins` the forward nodes it was derived from, `passes` the rewritings that made or moved it. `cotangents` tells, for each result
    (by index) that is a cotangent, of which output it is the derivative and by which tensor; the output is None where
    derivatives of several outputs were summed. `is_derived` holds while only derivations have made the node.

    A declared node that rewriting finds again learns of what it stands in for; `before` is what it knew until then. A node that
    `is_rewritten` was first made by rewriting; its `before` is what is known since somebody declared it as well.
    """

    sources: frozenset[Source] = frozenset()
    modules: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    origins: frozenset[Node] = frozenset()
    passes: frozenset[str] = frozenset()
    cotangents: frozenset[tuple[int, Tensor | None, Tensor]] = frozenset()
    is_derived: bool = False
    is_rewritten: bool = False
    before: Provenance | None = None

    @property
    def declared(self) -> Provenance:
        """What was known of the node without any rewriting."""
        return self.before or self

    def keep(self) -> None:
        """Remember what is known now, if rewriting runs and is about to add to what a declaration knows."""
        if _is_rewriting.get() and self.before is None and not self.is_rewritten:
            self.before = replace(self)

    def merge(self, other: Provenance) -> None:
        if other is self:
            return
        if not _is_rewriting.get():
            self._declare(other)
        self.keep()
        sources = self._lines(other)
        self.inherit(other)
        self.sources = sources
        self.passes = joined(self.passes, other.passes)
        self.cotangents = joined(self.cotangents, other.cotangents)
        self.is_derived = self.is_derived and other.is_derived

    def _declare(self, other: Provenance) -> None:
        """Tell a node that rewriting knows what a declaration knows of it."""
        if self.before is not None:
            self.before.merge(other)
        elif self.is_rewritten:
            self.before = replace(other)

    def _lines(self, other: Provenance) -> frozenset[Source]:
        """The lines of both; if one declared a node and the other derives the same, those of the declaration."""
        if self.is_derived == other.is_derived:
            return joined(self.sources, other.sources)
        declared, derived = (other, self) if self.is_derived else (self, other)
        return declared.sources or derived.sources

    def inherit(self, other: Provenance) -> None:
        """Know where the other comes from."""
        self.sources = joined(self.sources, other.sources)
        self.modules = joined(self.modules, other.modules)
        self.rules = joined(self.rules, other.rules)
        self.origins = joined(self.origins, other.origins)

    def note_cotangent(self, index: int, end: Tensor | None, by: Tensor) -> None:
        """Know that the result `index` is the derivative of `end` by a tensor."""
        self.keep()
        for known in {id(one): one for one in (self, self.declared)}.values():
            known.cotangents |= {(index, end, by)}

    @property
    def source(self) -> Source | None:
        """The first of the user's lines, in order of file and line."""
        return min(self.sources) if self.sources else None


def joined(left: frozenset[T], right: frozenset[T]) -> frozenset[T]:
    """Both sets: one of them where it holds the other."""
    if right <= left:
        return left
    return right if left <= right else left | right


@functools.cache
def _only(text: str) -> frozenset[str]:
    return frozenset((text,))


@record(slots=True)
class _Derivation:
    """What nodes made now descend from."""

    rule: str
    origins: tuple[Node, ...]
    parents: tuple[Node, ...]


_derivation: ContextVar[_Derivation | None] = ContextVar("derivation", default=None)
_module: ContextVar[str] = ContextVar("module", default="")
_original: ContextVar[Node | None] = ContextVar("original", default=None)
_is_told_later: ContextVar[bool] = ContextVar("is_told_later", default=False)
_is_rewriting: ContextVar[bool] = ContextVar("is_rewriting", default=False)


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
def rewriting() -> Iterator[None]:
    """What is made and merged inside is the work of passes, which what is declared does not depend on (`Provenance.declared`)."""
    token = _is_rewriting.set(True)
    try:
        yield
    finally:
        _is_rewriting.reset(token)


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
        if file not in _own_files:
            if not file.startswith(_OWN):
                return Source(file, frame.f_lineno)
            _own_files.add(file)
        frame = frame.f_back
    return None


def current() -> Provenance:
    """The provenance of a node made here and now."""
    made = Provenance(is_rewritten=_is_rewriting.get())
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
            made.sources = frozenset((source,))
        if _module.get():
            made.modules = _only(_module.get())
        return made
    made.is_derived = bool(derivation.origins) or all(node.provenance.is_derived for node in derivation.parents)
    if derivation.origins:
        made.rules, made.origins = _only(derivation.rule), frozenset(derivation.origins)
    else:
        made.passes = _only(derivation.rule)
    for node in derivation.origins:
        made.sources = joined(made.sources, node.provenance.sources)
        made.modules = joined(made.modules, node.provenance.modules)
    for node in derivation.parents:
        made.inherit(node.provenance)
        made.passes = joined(made.passes, node.provenance.passes)
    return made

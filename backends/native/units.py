"""A module compiled function by function: each is an object of its own, found in the cache by its text.

So a kernel that any program on this machine has used before costs no compilation, and equal layers never did.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from .llvm import Module
from .runtime.cache import ObjectCache, key_of
from .runtime.jit import compile_object
from .target import Target

LONG_ENTRY = 20_000  # characters, some 20 launches
_STRAIGHT = re.compile(r"^define \S+ @(entry|arena_bytes|shapes)\(", re.MULTILINE)
_NAME = re.compile(r"@([A-Za-z_$.][\w$.]*)")


class Units:
    """The functions of modules on their way to objects, compiled so many at a time while others are still being written.

    LLVM works without Python's lock, so that it takes the other cores. Leaving the context drops what has not begun.
    """

    def __init__(self, target: Target, cache: ObjectCache, threads: int) -> None:
        self.target = target
        self.cache = cache
        self._signatures: dict[str, str] = {}
        self._objects: dict[str, tuple[str, bytes | Future[bytes]]] = {}
        self._pool = ThreadPoolExecutor(threads, "graphdl-compile")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, module: Module) -> None:
        """Begin with the functions that were added to `module` since the last time. They stay as they are, and what they call is there."""
        added = list(itertools.islice(module.functions.items(), len(self._objects), None))
        bodies = {name: _body(module, name) for name, _ in added}
        self._signatures |= {name: _declaration(body) for name, body in bodies.items()}
        for name, body in bodies.items():
            text = _unit_text(module, name, body, self._signatures)
            key = key_of("unit", text, target=self.target)
            self._objects[name] = key, self.cache.get(key) or self._pool.submit(compile_object, text, self.target, _level(text))

    def finish(self, module: Module) -> list[bytes]:
        """The object of every function. Raises BackendError."""
        self.begin(module)
        return [self._object(*entry) for entry in self._objects.values()]

    def _object(self, key: str, found: bytes | Future[bytes]) -> bytes:
        if isinstance(found, bytes):
            return found
        data = found.result()
        self.cache.put(key, data)
        return data


def unit_text(module: Module, name: str) -> str:
    """The complete module of text for one function, with what it refers to declared."""
    signatures = {one: _declaration(_body(module, one)) for one in module.functions}
    return _unit_text(module, name, _body(module, name), signatures)


def _unit_text(module: Module, name: str, body: str, signatures: Mapping[str, str]) -> str:
    tables = [text for table, text in module.globals.items() if f"@{table}" in body or f"!{table}" in body]
    used = dict.fromkeys(found for text in (body, *tables) for found in _NAME.findall(text))
    declared = [module.declarations.get(one) or signatures[one] for one in used if one != name and (one in module.declarations or one in signatures)]
    return "\n".join([f'target triple = "{module.target_triple}"', *tables, *declared, body, ""])


def _body(module: Module, name: str) -> str:
    return str(module.functions[name]).replace("define internal ", "define ", 1)


def _declaration(body: str) -> str:
    """`define i64 @f(i64 %a) nounwind {...` as `declare i64 @f(i64)`."""
    first = body.split("\n", 1)[0]
    signature = first[len("define ") : first.rindex(")", 0, first.rindex("{")) + 1]
    return "declare " + re.sub(r" %[\w.]+(?=[,)])", "", signature)


def _level(text: str) -> int:
    """Long code without loops runs each of its instructions once per call: the least effort of code generation takes a fifth of the time."""
    return 0 if _STRAIGHT.search(text) and len(text) > LONG_ENTRY else 2


def compile_units(module: Module, target: Target, cache: ObjectCache, threads: int) -> list[bytes]:
    """The object of every function of `module`, compiled where the cache has none, so many at a time. Raises BackendError."""
    with Units(target, cache, threads) as units:
        return units.finish(module)

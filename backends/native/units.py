"""A module compiled function by function: each is an object of its own, found in the cache by its text.

So a kernel that any program on this machine has used before costs no compilation, and equal layers never did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from .llvm import Module
from .runtime.cache import ObjectCache, key_of
from .runtime.jit import compile_object
from .target import Target

LONG_ENTRY = 20_000  # characters, some 20 launches
_STRAIGHT = re.compile(r"^define \S+ @(entry|arena_bytes|shapes)\(", re.MULTILINE)
_NAME = re.compile(r"@([A-Za-z_$.][\w$.]*)")


def unit_texts(module: Module, only: str | None = None) -> Iterator[str]:
    """One complete module of text per function, or for `only` that one, with what it refers to declared."""
    head = f'target triple = "{module.target_triple}"'
    signatures = {name: _declaration(str(function)) for name, function in module.functions.items()}
    known = {**module.declarations, **signatures}
    for name, function in module.functions.items() if only is None else [(only, module.functions[only])]:
        body = str(function).replace("define internal ", "define ", 1)
        tables = [text for table, text in module.globals.items() if f"@{table}" in body or f"!{table}" in body]
        used = dict.fromkeys(found for text in (body, *tables) for found in _NAME.findall(text))
        declared = [known[one] for one in used if one in known and one != name]
        yield "\n".join([head, *tables, *declared, body, ""])


def _declaration(text: str) -> str:
    """`define internal i64 @f(i64 %a) nounwind {...` as `declare i64 @f(i64)`."""
    first = text.split("\n", 1)[0].replace("define internal ", "define ", 1)
    signature = first[len("define ") : first.rindex(")", 0, first.rindex("{")) + 1]
    return "declare " + re.sub(r" %[\w.]+(?=[,)])", "", signature)


def _level(text: str) -> int:
    """Long code without loops runs each of its instructions once per call: the least effort of code generation takes a fifth of the time."""
    return 0 if _STRAIGHT.search(text) and len(text) > LONG_ENTRY else 2


def compile_units(module: Module, target: Target, cache: ObjectCache, threads: int) -> list[bytes]:
    """The object of every function of `module`, compiled where the cache has none, so many at a time. Raises BackendError."""
    texts = list(unit_texts(module))
    keys = [key_of("unit", text, target=target) for text in texts]
    objects = [cache.get(key) for key in keys]
    missing = sorted((k for k, data in enumerate(objects) if data is None), key=lambda k: -len(texts[k]))  # long ones first, so that none is left over
    with ThreadPoolExecutor(threads, "graphdl-compile") as pool:
        for k, data in zip(missing, pool.map(lambda k: compile_object(texts[k], target, _level(texts[k])), missing), strict=True):
            objects[k] = data
            cache.put(keys[k], data)
    return [data for data in objects if data is not None]

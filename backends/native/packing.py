"""Code for program files: made for any target, and chosen again by the machine that reads it.

Besides the program's objects it holds those of the thread pool and of the stub through which Python calls, so that a machine whose cache
is empty compiles nothing. Whatever is not found to be for this machine, this version and this processor is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from graphdl.errors import FormatError
from graphdl.pipeline import Compilation
from graphdl.version import __version__

from .bundle import Bundle
from .making import Making
from .runtime import call, pool
from .runtime.cache import default_cache, is_key
from .target import Target, for_export, host, instructions_of, system_of

INTERFACE = 1  # of `entry`, `shapes`, `arena_bytes` and their tables: to be raised when any of them changes
THIS_MACHINE = "host"


def pack(making: type[Making], compilation: Compilation, targets: Sequence[str], threads: int) -> list[bytes]:
    """The code for every target. Raises BackendError for an unknown one."""
    found = [host() if name == THIS_MACHINE else for_export(name) for name in targets]
    return [_pack(making(compilation, target, threads), threads) for target in dict.fromkeys(found)]


def _pack(made: Making, threads: int) -> bytes:
    bundle = made.bundle(threads)
    parts = {**pool.parts(), **call.parts()} if system_of(made.target.triple) == system_of(host().triple) else {}
    facts = {
        **bundle.facts,
        "made by": [__version__, INTERFACE, made.check],
        "target": dataclasses.asdict(made.target),
        "runtime": list(parts),
    }
    return Bundle(facts, (*bundle.blobs, *parts.values())).to_bytes()


def choose(packed: Sequence[bytes], check: str) -> tuple[Bundle, Target] | None:
    """The code that uses most of this machine, and what it was made for; None if none runs here. Raises FormatError for what is not packed code."""
    fitting = [(bundle, target) for bundle, target in map(_unpack, packed) if _runs_here(bundle, target, check)]
    if not fitting:
        return None
    bundle, target = max(fitting, key=lambda entry: _rank(entry[1]))
    return _lend(bundle), target


def _unpack(data: bytes) -> tuple[Bundle, Target]:
    try:
        bundle = Bundle.from_bytes(data)
        target = Target(**bundle.facts["target"])
        runtime = bundle.facts["runtime"]
        if len(runtime) <= len(bundle.constants) and all(map(is_key, runtime)) and _is_typed(target):
            return bundle, target
    except (TypeError, KeyError) as error:
        raise FormatError(f"not packed code: {error}") from None
    raise FormatError("not packed code: its facts do not fit together")


def _is_typed(target: Target) -> bool:
    defaults: dict[str, Any] = dataclasses.asdict(host())
    return all(type(value) is type(defaults[name]) for name, value in dataclasses.asdict(target).items())


def _runs_here(bundle: Bundle, target: Target, check: str) -> bool:
    same = bundle.facts.get("made by") == [__version__, INTERFACE, check] and system_of(target.triple) == system_of(host().triple)
    return same and instructions_of(target) <= instructions_of(host())


def _rank(target: Target) -> tuple[bool, int, int]:
    return target == host(), target.vector_bytes, len(instructions_of(target))


def _lend(bundle: Bundle) -> Bundle:
    """The program's own part; what it brings of the runtime goes where that is looked for."""
    keys = bundle.facts["runtime"]
    own = len(bundle.blobs) - len(keys)
    for key, data in zip(keys, bundle.blobs[own:], strict=True):
        default_cache().lend(key, data)
    return Bundle(bundle.facts, bundle.blobs[:own])

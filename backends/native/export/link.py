"""Shared libraries, by whatever linker the system has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from graphdl.errors import BackendError

from ..target import Target, host

SECONDS = 120.0
WASM_STACK = 1 << 20  # bytes


def link_shared(code: Path, library: Path, target: Target, *, threads: bool) -> None:
    """Link one object file into a shared library. Raises BackendError if no linker for the target is found or it refuses."""
    tried = list(_commands(target))
    command = next((command for command in tried if shutil.which(command[0])), None)
    if command is None:
        names = ", ".join(dict.fromkeys(command[0] for command in tried))
        raise BackendError(f'no linker for {target.triple} was found (looked for {names}): install one, or take format="object"')
    asked = [*command, *(["-pthread"] if threads and not _is_bare(command[0]) else []), "-o", str(library), str(code)]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"{command[0]} could not link {code.name}: {error}") from None
    if done.returncode:
        raise BackendError(f"{command[0]} could not link {code.name}: {done.stderr.strip()}")


def library_name(name: str, target: Target) -> str:
    """What a shared library is called on the target's system."""
    if "windows" in target.triple:
        return f"{name}.dll"
    if target.triple.startswith("wasm"):
        return f"{name}.wasm"
    return f"lib{name}.dylib" if _is_apple(target.triple) else f"lib{name}.so"


def _commands(target: Target) -> Iterator[list[str]]:
    """Linkers that could do it, the usual one first."""
    triple = target.triple
    architecture = triple.partition("-")[0]
    if architecture == "wasm32":
        # A stack that comes first overflows into a trap, not into data; memory from __heap_base on is the caller's.
        yield ["wasm-ld", "--no-entry", "--export-dynamic", "--export=__heap_base", "--stack-first", "-z", f"stack-size={WASM_STACK}"]
        return
    if "windows" in triple:
        yield ["clang", f"--target={triple}", "-shared", "-fuse-ld=lld", "-Wl,/noentry"]
        return
    native = architecture == host().triple.partition("-")[0] and _is_apple(triple) == _is_apple(host().triple)
    if native:
        yield from ([name, "-shared"] for name in ("cc", "gcc", "clang"))
        yield from ([name, "-shared"] for name in ("ld", "ld.lld"))
        return
    yield [f"{architecture}-linux-gnu-gcc", "-shared"]
    yield ["clang", f"--target={triple}", "-shared", "-fuse-ld=lld"]
    yield ["ld.lld", "-shared"]


def _is_bare(linker: str) -> bool:
    return linker.endswith(("ld", "ld.lld"))


def _is_apple(triple: str) -> bool:
    return "apple" in triple

"""Compiled programs as files: the graph as text, the parameters, and code for several processors."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ..compiler import Executable, assemble, options_of
from ..container import HEAD, check_head
from ..errors import BackendError, FormatError
from ..memory import Bytes, aligned_empty
from ..stored import read_program, textual, write_program
from ..threads import usable_cores
from .safetensors import replace_file


def save_program(executable: Executable, path: str | os.PathLike[str], targets: Sequence[str] = ("host",)) -> None:
    """Write a compiled program into one file: its declared graph, the present values of its parameters, and code for `targets`.

    A target is "host" (this very processor), a family ("x86-64", "avx2", "avx512", "neon", "apple" ...), an LLVM triple, or
    "family@triple". On other machines the program is compiled from the graph when it is loaded. A reader never sees half a file.
    Raises BackendError for unknown targets and CompileError for ops that cannot be written as text.
    """
    names = [targets] if isinstance(targets, str) else list(targets)
    options = executable.options
    pack = getattr(importlib.import_module(f"graphdl.backends.{options.backend}"), "pack", None)
    if pack is None and names not in ([], ["host"]):
        raise BackendError(f"the {options.backend} backend makes no code, so none for {', '.join(names)}")
    compilation = textual(executable.compilation)
    code = pack(compilation, names, threads=usable_cores(), check=options.check) if pack and names else []
    replace_file(path, write_program(compilation, asdict(options), code))


def load_program(path: str | os.PathLike[str], *, threads: int | None = None, recompile: bool = False) -> Executable:
    """The program of a file, ready to be called: with the file's code where that fits this machine, else compiled from its graph.

    It behaves as the program that was saved, and has parameters of its own. `threads` are those that it was compiled with unless given.
    The code in a file is trusted as an executable is: hashes find damage, not malice. With `recompile` the file's code is left alone, and
    what runs is compiled from the graph alone, which is read as data.
    Raises FormatError for a damaged or foreign file.
    """
    try:
        stored = read_program(_contents(Path(path)))
        options = options_of(stored)
        options = options if threads is None else replace(options, threads=threads)
        return assemble(stored.compilation, options, () if recompile else stored.code)
    except FormatError as error:
        raise FormatError(f"{os.fspath(path)} is no intact program: {error}") from None


def _contents(path: Path) -> Bytes:
    """The whole file, at an address where parameters may lie. A file of another kind is refused before memory is taken for it."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        check_head(file.read(HEAD), size)
        file.seek(0)
        data = aligned_empty(size)
        view, read = data.data, 0
        while read < size and (count := file.readinto(view[read:])):
            read += count
    return data[:read]

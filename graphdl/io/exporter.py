"""Programs as files that need nothing of graphdl: an object file or library, its C header and its parameters."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BackendError
from .safetensors import replace_file

if TYPE_CHECKING:
    from ..backends.native.export import Artifact
    from ..compiler import Executable

FORMATS = ("object", "shared", "c-archive")
PARAMETERS = ("file", "baked")


def export(
    executable: Executable,
    folder: str | os.PathLike[str],
    name: str,
    target: str | None = None,
    *,
    format: str = "object",
    threads: bool = False,
    parameters: str = "file",
) -> list[Path]:
    """Write a compiled program as native code with a plain C face, and return the files: code, `name.h` and perhaps `name.params`.

    `target` is this machine's processor if None, a family ("avx2", "neon", "apple", "riscv64", "wasm" ...), an LLVM triple
    ("aarch64-linux-gnu"), or "family@triple". `format` is "object" (`name.o`), "shared" (made by a linker of this system) or
    "c-archive" (`libname.a`). With `threads` (on Linux) the thread pool is part of it and each call says how many may work.
    `parameters` is "file" (one block that the caller owns, with its present values in `name.params`) or "baked" (part of the
    code; those that the program updates live there too). Existing files are replaced.
    Raises BackendError for unknown options, unfit targets, and if no linker is found.
    """
    from ..backends.native.export import export_program
    from ..backends.native.target import for_export

    if format not in FORMATS or parameters not in PARAMETERS:
        raise BackendError(f"format is one of {', '.join(FORMATS)} and parameters one of {', '.join(PARAMETERS)}, not {format!r} and {parameters!r}")
    artifact = export_program(executable.compilation, name, for_export(target), threads=threads, baked=parameters == "baked")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    written = [_write_code(artifact, place, format), _write(place / f"{name}.h", artifact.header.encode())]
    if artifact.interface.takes_parameters:
        written.append(_write(place / f"{name}.params", artifact.interface.block_image()))
    return written


def _write_code(artifact: Artifact, folder: Path, format: str) -> Path:
    from ..backends.native.export import archive, link

    interface = artifact.interface
    code = f"{interface.name}.o"
    if format == "object":
        return _write(folder / code, artifact.code)
    if format == "c-archive":
        data = archive.write_archive(code, artifact.code, artifact.symbols, apple="apple" in interface.target.triple)
        return _write(folder / f"lib{interface.name}.a", data)
    library = folder / link.library_name(interface.name, interface.target)
    with tempfile.TemporaryDirectory() as beside:
        alone = _write(Path(beside, code), artifact.code)
        link.link_shared(alone, library, interface.target, threads=interface.threads)
    return library


def _write(path: Path, data: bytes) -> Path:
    replace_file(path, data)
    return path

"""Compile FILE.py:name, model.onnx or a saved program into code that needs no Python: objects with a C header, libraries, or a program file."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import graphdl as gd
from graphdl.backends.native.target import for_export
from graphdl.budget import format_bytes
from graphdl.inspect.target import SUFFIX, load_target
from graphdl.io.exporter import FORMATS, PARAMETERS

HOST = "host"
PROGRAM = "program"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("source", metavar="SOURCE", help="model.onnx, a saved program, or FILE.py:name (a tensor, list of tensors, graph, module or program)")
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    parser.add_argument("--target", action="append", default=[], help="host (default), a family (avx2, neon, wasm ...) or an LLVM triple; may be repeated")
    parser.add_argument("--name", help="what files and C functions are called (default: after the source)")
    parser.add_argument(
        "--format", choices=[*FORMATS, PROGRAM], default=FORMATS[0], help="what is made; a program holds code for all targets (default %(default)s)"
    )
    parser.add_argument("--parameters", choices=PARAMETERS, default=PARAMETERS[0], help="in a file of their own or baked into the code (default %(default)s)")
    parser.add_argument("--threads", action="store_true", help="with a thread pool (objects and libraries for Linux)")
    parser.add_argument("--mode", choices=("inference", "train"), default="inference", help="of what is not compiled yet (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Load, compile for every target, and say what was written."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, quiet=arguments.json)
    begin = time.perf_counter()
    with console.status(f"reading {arguments.source}"):
        program = compiled(arguments.source, arguments.mode)
    targets = arguments.target or [HOST]
    name = arguments.name or name_of(arguments.source)
    written: list[dict[str, Any]] = []
    for told, files in _written(program, arguments, name, targets):
        with console.status(f"compiling for {told}"):
            written += [{"target": told, "path": str(path), "bytes": path.stat().st_size} for path in files]
    report = {"files": written, "seconds": time.perf_counter() - begin}
    print(json.dumps(report, indent=2)) if arguments.json else _print(report)
    return 0


def compiled(source: str, mode: str = "inference", threads: int | None = None) -> gd.Executable:
    """What `source` names, compiled where it is not. Raises GraphdlError."""
    found = load_target(source)
    return found if isinstance(found, gd.Executable) else gd.compile(found.outputs, inputs=found.inputs, mode=mode, threads=threads)


def name_of(source: str) -> str:
    """A C identifier after the file or the name in it."""
    path, _, name = source.rpartition(":")
    stem = name if path.endswith(".py") else Path(source).stem
    return re.sub(r"^(?=[\d_])|^$", "p", re.sub(r"\W", "_", stem, flags=re.ASCII))


def _written(program: gd.Executable, arguments: argparse.Namespace, name: str, targets: Sequence[str]) -> Iterator[tuple[str, Iterator[Path]]]:
    """For each target, or for the program of all of them, the files as they are made."""
    if arguments.format == PROGRAM:
        yield ", ".join(targets), _program(program, arguments.output / f"{name}{SUFFIX}", targets)
        return
    for target in targets:
        folder = arguments.output / _folder(target) if len(targets) > 1 else arguments.output
        yield target, _exported(program, folder, name, target, arguments)


def _program(program: gd.Executable, path: Path, targets: Sequence[str]) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    gd.save_program(program, path, targets=targets)
    yield path


def _exported(program: gd.Executable, folder: Path, name: str, target: str, arguments: argparse.Namespace) -> Iterator[Path]:
    options = {"format": arguments.format, "threads": arguments.threads, "parameters": arguments.parameters}
    yield from gd.export(program, folder, name, None if target == HOST else target, **options)


def _folder(target: str) -> str:
    return target if target == HOST else for_export(target).triple if "@" in target else target


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("file", "target", "size", box=None, padding=(0, 2, 0, 0))
    for row in report["files"]:
        table.add_row(row["path"], row["target"], format_bytes(row["bytes"]))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"done in {report['seconds']:.2f} s")

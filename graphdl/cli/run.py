"""Run model.onnx, a saved program or FILE.py:name on arrays from .npy and .npz files, or go on from a text with the language model in model.gguf."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

import graphdl as gd
from graphdl.cli.compile import compiled
from graphdl.errors import CallError, FormatError
from graphdl.gguf import console as text_console
from graphdl.inspect.target import load_model
from graphdl.types import numpy_dtype

Array = np.ndarray[Any, Any]
SHOWN = 6  # elements of an output that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("source", metavar="SOURCE", help="model.onnx, model.gguf, a saved program, or FILE.py:name (tensors, a graph, module or program)")
    parser.add_argument("--input", metavar="[NAME=]FILE", action="append", default=[], help=".npy, by name or in order, or .npz with names; may be repeated")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results: .npy for one, .npz for any number")
    parser.add_argument("--threads", type=int, help="threads to run on (default: all processors)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    text_console.add_arguments(parser.add_argument_group("for model.gguf"))


def run(arguments: argparse.Namespace) -> int:
    """Do what the kind of file asks for."""
    if Path(arguments.source).suffix == ".gguf":
        return text_console.run(arguments)
    return run_on_arrays(arguments)


def run_on_arrays(arguments: argparse.Namespace) -> int:
    """Load, run, and write or show the results."""
    from rich.console import Console

    _check_output(arguments.output)
    console = Console(stderr=True, highlight=False, quiet=arguments.json)
    begin = time.perf_counter()
    with console.status(f"preparing {arguments.source}"):
        program, names = prepared(arguments.source, arguments.threads)
    arrays = read_inputs(program, arguments.input)
    ready = time.perf_counter()
    results = program(**arrays)
    done = time.perf_counter()
    named = name_results(names, results)
    if arguments.output:
        write_results(arguments.output, named)
    times = {"ready_seconds": ready - begin, "run_seconds": done - ready}
    if arguments.json:
        print(json.dumps({"outputs": {name: _described(value) for name, value in named.items()}, **times}, indent=2))
    else:
        _print(named, times, arguments.output)
    return 0


def read_inputs(program: gd.Executable, given: Sequence[str]) -> dict[str, Array]:
    """The arrays by the names of inputs, in their dtypes where nothing but precision is lost. Raises CallError and FormatError."""
    names = [str(tensor.name) for tensor in program.inputs]
    found: dict[str, Array] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if separator and name in names:
            found[name] = _read(Path(path))
        elif text.endswith(".npz"):
            found.update(_read_all(Path(text)))
        else:
            found[next((name for name in names if name not in found), text)] = _read(Path(text))
    unknown = [name for name in found if name not in names]
    if unknown:
        raise CallError(f"the program takes {', '.join(names) or 'nothing'}, so there is no place for {', '.join(unknown)}")
    return {str(tensor.name): _cast(tensor, found[str(tensor.name)]) for tensor in program.inputs if tensor.name in found}


def prepared(source: str, threads: int | None) -> tuple[gd.Executable, tuple[str, ...]]:
    """The compiled program, and what an ONNX model calls its results. Raises GraphdlError."""
    if not source.endswith(".onnx"):
        return compiled(source, threads=threads), ()
    model = load_model(Path(source))
    return gd.compile(list(model.outputs), inputs=list(model.inputs), mode="inference", threads=threads), model.output_names


def name_results(names: Sequence[str], results: Any) -> dict[str, Array]:
    """The results by their names; where they have none `output`, or `output_0`, `output_1` and so on."""
    listed = results if isinstance(results, tuple) else (results,)
    numbered = [f"output_{k}" for k in range(len(listed))] if isinstance(results, tuple) else ["output"]
    return dict(zip(names or numbered, listed, strict=True))


def write_results(path: Path, named: Mapping[str, Array]) -> None:
    """Write a .npy file of the one result or a .npz file of all; NumPy's format has no bfloat16, so that is written as float32."""
    held = {name: value.astype("float32") if value.dtype == numpy_dtype("bfloat16") else value for name, value in named.items()}
    if path.suffix == ".npz":
        _write_all(path, held)
        return
    if len(held) > 1:
        raise CallError(f"{path}: there are {len(held)} results, which need a .npz file")
    (value,) = held.values()
    np.save(path, value)


def _write_all(path: Path, named: Mapping[str, Array]) -> None:
    """As np.savez, which takes no array by the name of one of its own arguments, `file`."""
    with ZipFile(path, "w") as archive:
        for name, value in named.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, value, allow_pickle=False)


def _check_output(path: Path | None) -> None:
    """Before anything is computed."""
    if path and path.suffix not in (".npy", ".npz"):
        raise FormatError(f"--output {path}: results are written as .npy or .npz")
    if path and not path.absolute().parent.is_dir():
        raise FormatError(f"--output {path}: there is no such folder")


def _read(path: Path) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FormatError(f"{path} is no .npy file of numbers: {error}") from None
    if not isinstance(array, np.ndarray):
        raise FormatError(f"{path} holds several arrays: give it without a name, and each goes to the input of its name")
    return array


def _read_all(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, EOFError, AttributeError, TypeError) as error:
        raise FormatError(f"{path} is no .npz file of numbers: {error}") from None


def _cast(tensor: gd.Tensor, array: Array) -> Array:
    dtype = numpy_dtype(tensor.dtype)
    return array.astype(dtype) if np.can_cast(array.dtype, dtype, "same_kind") else array


def _described(value: Array) -> dict[str, Any]:
    first = value.reshape(-1)[:SHOWN]
    return {
        "dtype": value.dtype.name,
        "shape": list(value.shape),
        "first": [x.item() for x in first.astype(np.float64 if first.dtype.kind in "fV" else first.dtype)],
    }


def _print(named: Mapping[str, Array], times: Mapping[str, float], path: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("output", "type", "first elements", box=None, padding=(0, 2, 0, 0))
    for name, value in named.items():
        told = _described(value)
        table.add_row(name, f"{told['dtype']}{told['shape']}", " ".join(f"{x:.6g}" for x in told["first"]) + " ..." * (value.size > SHOWN))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(
        f"ready in {times['ready_seconds'] * 1e3:.0f} ms, run in {times['run_seconds'] * 1e3:.3g} ms" + f", written to {path}" * bool(path), soft_wrap=True
    )

"""Time every kernel of FILE.py:name on this machine, on random inputs of the sizes given."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

import graphdl as gd
from graphdl.errors import GraphdlError
from graphdl.inspect.target import load_target
from graphdl.sizes import evaluate
from graphdl.types import numpy_dtype


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("target", metavar="FILE.py:name", help="a tensor, list of tensors, graph, module or compiled program, or model.onnx")
    parser.add_argument("--size", metavar="NAME=NUMBER", action="append", default=[], help="a symbolic size; may be repeated")
    parser.add_argument("--threads", type=int, help="threads to run on (default: all processors)")
    parser.add_argument("--repeat", type=int, help="runs to take the median of (default: half a second of them)")
    parser.add_argument("--trace", metavar="PATH", help="write a trace for Perfetto")
    parser.add_argument("--plot", metavar="PATH", help="draw the roofline")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Load, compile where that is not done, run and print."""
    found = load_target(arguments.target)
    program = gd.compile(found.outputs, inputs=found.inputs, threads=arguments.threads) if isinstance(found, gd.Graph) else found
    profile = program.profile(*random_inputs(program, sizes_of(arguments.size)), repeat=arguments.repeat)
    if arguments.trace:
        profile.trace(arguments.trace)
    if arguments.plot:
        profile.plot(arguments.plot)
    print(json.dumps(profile.to_dict(), indent=2) if arguments.json else profile.brief.text(80))
    return 0


def sizes_of(texts: list[str]) -> dict[str, int]:
    """The sizes of `NAME=NUMBER` texts. Raises GraphdlError."""
    sizes = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not number.isdecimal():
            raise GraphdlError(f"--size {text}: write NAME=NUMBER")
        sizes[name] = int(number)
    return sizes


def random_inputs(program: gd.Executable, sizes: dict[str, int]) -> list[np.ndarray[Any, Any]]:
    """Normal numbers for floating inputs and zeros for others. Raises GraphdlError naming a size that is missing."""
    generator = np.random.default_rng(0)
    made = []
    for tensor in program.inputs:
        try:
            shape = tuple(evaluate(size, sizes) for size in tensor.shape)
        except KeyError as error:
            raise GraphdlError(f"the size {error.args[0]} is needed: --size {error.args[0]}=64") from None
        dtype = numpy_dtype(tensor.dtype)
        made.append(generator.normal(size=shape).astype(dtype) if dtype.kind not in "iub" else np.zeros(shape, dtype))
    return made

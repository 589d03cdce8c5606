"""Run a model: go on from a text with the language model in model.gguf."""

from __future__ import annotations

import argparse
from pathlib import Path

from graphdl.errors import FormatError
from graphdl.gguf import console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("source", metavar="SOURCE", help="model.gguf")
    parser.add_argument("--threads", type=int, help="threads to run on (default: all processors)")
    console.add_arguments(parser.add_argument_group("for model.gguf"))


def run(arguments: argparse.Namespace) -> int:
    """Do what the kind of file asks for."""
    if Path(arguments.source).suffix == ".gguf":
        return console.run(arguments)
    raise FormatError(f"{arguments.source}: graphdl runs model.gguf")

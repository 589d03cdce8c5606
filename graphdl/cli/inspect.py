"""Show the graph of FILE.py:name and what it costs, or write it as a page to explore, with times if sizes are given."""

from __future__ import annotations

import argparse
import json
from typing import Any

import graphdl as gd
from graphdl.cli.profile import random_inputs, sizes_of
from graphdl.inspect.contents import contents_of, plain
from graphdl.inspect.html import write_page
from graphdl.inspect.target import Target, load_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("target", metavar="FILE.py:name", help="a tensor, list of tensors, graph, module or compiled program, or model.onnx")
    parser.add_argument("--html", metavar="PATH", help="write one self-contained page instead")
    parser.add_argument("--size", metavar="NAME=NUMBER", action="append", default=[], help="measure the kernels' times at this symbolic size; may be repeated")
    parser.add_argument("--time", action="store_true", help="measure the kernels' times (where there are no symbolic sizes)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Load, and print or write."""
    found = load_target(arguments.target)
    if arguments.size or arguments.time:
        found = found if isinstance(found, gd.Executable) else gd.compile(found.outputs, inputs=found.inputs)
    profile = _measured(found, arguments) if arguments.size or arguments.time else None
    graph = found if isinstance(found, gd.Graph) else found.source
    if arguments.html:
        write_page(found, arguments.html, title=arguments.target, profile=profile)
        print(f"The page is in {arguments.html}.")
    elif arguments.json:
        print(json.dumps(plain(contents_of(found, profile, code=False)[0]), indent=2, ensure_ascii=False))
    else:
        print(graph)
        print()
        print(profile.brief.text(80) if profile else gd.cost(found).table.text(80))
    return 0


def _measured(program: Target, arguments: argparse.Namespace) -> Any:
    return program.profile(*random_inputs(program, sizes_of(arguments.size))) if isinstance(program, gd.Executable) else None

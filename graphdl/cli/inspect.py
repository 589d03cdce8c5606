"""Show the graph of FILE.py:name and what it costs, or write it as a page to explore."""

from __future__ import annotations

import argparse
import json

import graphdl as gd
from graphdl.inspect.html import describe, kernels_of, write_page
from graphdl.inspect.target import load_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("target", metavar="FILE.py:name", help="a tensor, list of tensors, graph or compiled program")
    parser.add_argument("--html", metavar="PATH", help="write one self-contained page instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Load, and print or write."""
    found = load_target(arguments.target)
    graph = found if isinstance(found, gd.Graph) else found.source
    if arguments.html:
        write_page(found, arguments.html, title=arguments.target)
        print(f"The page is in {arguments.html}.")
    elif arguments.json:
        print(json.dumps(describe(graph, kernels_of(found)), indent=2))
    else:
        print(graph)
        print()
        print(gd.cost(found).table.text(80))
    return 0

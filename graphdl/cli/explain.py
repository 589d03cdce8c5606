"""Print the derivation of the tensors of FILE.py:name: formulas, rules, forward nodes and lines."""

from __future__ import annotations

import argparse
import json
from typing import Any

import graphdl as gd
from graphdl.inspect.target import load_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("target", metavar="FILE.py:name", help="a tensor, list of tensors, graph, module or compiled program, or model.onnx")
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Load, derive and print."""
    found = load_target(arguments.target)
    graph = found if isinstance(found, gd.Graph) else found.source
    told = gd.explain(graph)
    if arguments.json:
        plain = {"title": str(told.title), "remark": told.remark, "whole": str(told.whole or "")}
        print(json.dumps({**plain, **{key: [_plain(step) for step in getattr(told, key)] for key in ("forward", "steps")}}, indent=2, ensure_ascii=False))
    else:
        print(told.text(80))
    return 0


def _plain(step: Any) -> dict[str, str]:
    return {
        "formula": str(step.formula),
        "latex": step.latex,
        "rule": step.rule,
        "forward": step.forward.told,
        "source": str(step.source or ""),
        "loop": str(step.loop or ""),
    }

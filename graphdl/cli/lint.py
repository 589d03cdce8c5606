"""Find gradients that will be NaN, infinite or zero in FILE.py:name. Exit status: 0 clean, 1 findings, 2 an error."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap

import graphdl as gd
from graphdl.inspect.target import load_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("target", metavar="FILE.py:name", nargs="+", help="a tensor, list of tensors, graph, module or compiled program, or model.onnx")
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of lines")


def run(arguments: argparse.Namespace) -> int:
    """Load every target and print what is found in it."""
    try:
        found = [finding for target in arguments.target for finding in gd.lint(load_target(target))]
    except (gd.errors.GraphdlError, OSError) as error:
        print(f"graphdl: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps([_plain(finding) for finding in found], indent=2))
    else:
        width = shutil.get_terminal_size().columns
        for finding in found:
            print("\n".join(_lines(finding, width)))
        print(f"{len(found)} finding{'s' if len(found) > 1 else ''}" if found else "nothing found")
    return 1 if found else 0


def _lines(finding: gd.inspect.Finding, width: int) -> list[str]:
    """The place and what is wrong, which editors read as one line, and what mends it below."""
    place = f"{finding.source.file}:{finding.source.line}" if finding.source else "?"
    return [f"{place}: {finding.rule}: {finding.message}", *textwrap.wrap(finding.remedy, width, initial_indent="    ", subsequent_indent="    ")]


def _plain(finding: gd.inspect.Finding) -> dict[str, object]:
    place = {"file": finding.source.file, "line": finding.source.line} if finding.source else {}
    return {"rule": finding.rule, "message": finding.message, "remedy": finding.remedy, **place}

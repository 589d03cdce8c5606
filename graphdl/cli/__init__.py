"""The command `graphdl`. Each module of this package is one subcommand and is found by its name."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from graphdl.errors import GraphdlError
from graphdl.version import __version__


class Command(Protocol):
    """What a module here offers; the first line of its docstring is its help."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's flags."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit status."""
        ...


def find_commands() -> dict[str, Command]:
    """The subcommands by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: cast(Command, importlib.import_module(f"{__name__}.{name}")) for name in names}


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="graphdl", description="A compiler for neural networks.")
    parser.add_argument("--version", action="version", version=f"graphdl {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="command", required=True)
    for name, command in find_commands().items():
        text = (command.__doc__ or "").strip()
        subparser = subparsers.add_parser(name, help=text.split("\n", 1)[0], description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `graphdl` with `argv` (the process's own if None). Returns the exit status: 1 after an error that was told."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (GraphdlError, OSError) as error:
        print(f"graphdl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130

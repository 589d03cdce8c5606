"""What no file of the project may hold: paths of one machine, code from data, public names without a docstring."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parents[1]
NOT_SOURCE = {".git", ".venv", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "build", "dist", "runs", "node_modules"}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
CODE_FROM_DATA_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CODE_FROM_DATA_CALLS = {"eval", "exec"}

# Absolute paths below somebody's home or workplace; a path inside a URL or a relative one does not match.
MACHINE_PATH = re.compile(rb"(?<![\w./~\-}])/(?:work|root|home|Users)/[\w.]")


def files() -> Iterator[Path]:
    """Every file that belongs to the project; links are not followed, so each file comes once."""
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = sorted(name for name in subfolders if name not in NOT_SOURCE and not name.endswith(".egg-info"))
        yield from (Path(folder, name) for name in sorted(names) if not Path(folder, name).is_symlink())


SOURCES = [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ("graphdl", "passes", "backends")]


def label(path: Path) -> str:
    """The path as a test's name."""
    return str(path.relative_to(ROOT))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_no_path_of_a_machine() -> None:
    found = [f"{label(path)}: {match[0].decode()}" for path in files() for match in MACHINE_PATH.finditer(path.read_bytes()) if path.suffix != ".npz"]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", [b"'/work" + b"/x'", b" /root" + b"/.cache", b"(/home" + b"/me)"])
def test_a_path_of_a_machine_is_seen(text: bytes) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_no_code_from_data(path: Path) -> None:
    found = [f"line {line}: {name}" for line, name in code_from_data(parse(path))]
    assert not found, "\n".join(found)


def code_from_data(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports of pickling modules, calls of eval and exec, and arguments that allow pickles."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in CODE_FROM_DATA_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] in CODE_FROM_DATA_MODULES:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Call):
            yield from unsafe_call(node)


def unsafe_call(node: ast.Call) -> Iterator[tuple[int, str]]:
    """The call itself, if it can run code that came as data."""
    if isinstance(node.func, ast.Name) and node.func.id in CODE_FROM_DATA_CALLS:
        yield node.lineno, node.func.id
    for keyword in node.keywords:
        if keyword.arg == "allow_pickle" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
            yield node.lineno, "allow_pickle"


def test_code_from_data_is_seen() -> None:
    tree = ast.parse("import pickle\nfrom marshal import loads\neval('1')\nnp.load(f, allow_pickle=True)\nnp.load(f, allow_pickle=False)")
    assert [line for line, _ in code_from_data(tree)] == [1, 2, 3, 4]


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_public_names_have_docstrings(path: Path) -> None:
    tree = parse(path)
    found = [] if ast.get_docstring(tree) else ["the module"]
    if not path.stem.startswith("_") or path.stem == "__init__":
        found += [f"line {node.lineno}: {node.name}" for node in tree.body if is_public_definition(node) and not ast.get_docstring(node)]
    assert not found, "\n".join(found)


def is_public_definition(node: ast.stmt) -> TypeGuard[Definition]:
    """Whether a statement defines a public function or class."""
    return isinstance(node, Definition) and not node.name.startswith("_") and not is_overload(node)


def is_overload(node: Definition) -> bool:
    """Whether it only declares one more signature, which the implementation documents."""
    return any(isinstance(decorator, ast.Name) and decorator.id == "overload" for decorator in node.decorator_list)

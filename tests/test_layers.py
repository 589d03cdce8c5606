"""Imports only ever go down the layers, wherever in a file they stand, and `import graphdl` loads nothing slow."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom up. Names on one line may import each other; lines of one layer may not, nor anything above.
LAYERS = """
graphdl.record
-
graphdl.errors graphdl.container graphdl.threads graphdl.sizes graphdl.constraints graphdl.types graphdl.formula graphdl.memory graphdl.picture
graphdl.version graphdl.collection graphdl.structure graphdl.table
-
graphdl.ir
-
graphdl.kernel
-
graphdl.op
graphdl.evaluation
-
graphdl.ops graphdl.random graphdl.composites
-
graphdl.signature graphdl.declaration graphdl.program graphdl.budget
-
graphdl.calculus
graphdl.rewrite
-
graphdl.control
-
graphdl.lowering
-
graphdl.pipeline
-
graphdl.stored
-
graphdl.passes
graphdl.backends
-
graphdl.compiler
-
graphdl.nn graphdl.optim graphdl.train graphdl.io graphdl.gguf graphdl.onnx graphdl.inspect graphdl.data
-
graphdl
-
graphdl.cli
"""
LINES = [layer.splitlines() for layer in LAYERS.strip().split("\n-\n")]
GROUPS = {name: (layer, group) for layer, lines in enumerate(LINES) for group, line in enumerate(lines) for name in line.split()}

# An op's `lower_steps` is given a Lowering and names its type; nothing is imported when it runs.
TYPES_ONLY = {("graphdl.op", "graphdl.lowering"), ("graphdl.ops", "graphdl.lowering"), ("graphdl.control", "graphdl.lowering")}

PLACES = {"llvmlite": "graphdl.backends.", "onnx": "graphdl.onnx."}
SLOW = ["sympy", "networkx", "matplotlib", "llvmlite", "rich", "ml_dtypes", "onnx", "safetensors"]


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    paths = sorted(path for folder in ("graphdl", "passes", "backends") for path in (ROOT / folder).rglob("*.py") if not is_link_below(path))
    return {module_name(path): path for path in paths}


def is_link_below(path: Path) -> bool:
    """Whether `path` is reached through one of the links, as some versions of Python's rglob do and others do not."""
    return any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(ROOT / "graphdl"))


def module_name(path: Path) -> str:
    """`passes/fusion.py` is `graphdl.passes.fusion`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "graphdl" else ("graphdl", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = modules()


@dataclass(frozen=True)
class Import:
    """An import of `name` in some line; `from a import b` imports `a.b` if that is a module, else `a`."""

    line: int
    name: str
    types_only: bool


@functools.cache
def imports(name: str) -> tuple[Import, ...]:
    """Everything that the module imports, at its top, in its functions and for its types."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for_types = {id(inner) for node in ast.walk(tree) if is_type_checking(node) for inner in ast.walk(node)}
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return tuple(Import(node.lineno, imported, id(node) in for_types) for node in statements for imported in imported_names(node, package))


def is_type_checking(node: ast.AST) -> bool:
    """Whether the node is `if TYPE_CHECKING:`, which has no else here."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") and not node.orelse


def imported_names(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """The full names that a statement in a module of `package` imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = resolve(package, node.module or "", node.level)
    for alias in node.names:
        yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


def resolve(package: str, module: str, level: int) -> str:
    """The absolute name of a relative import that stands in `package`."""
    if level == 0:
        return module
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])


def top_of(name: str) -> str:
    """The part of a module's name that stands in LAYERS."""
    return ".".join(name.split(".")[:2])


def place(name: str) -> tuple[int, int]:
    """The layer of a module of the package and its line there."""
    assert top_of(name) in GROUPS, f"{name} has no layer: give {top_of(name)} its place in LAYERS"
    return GROUPS[top_of(name)]


def climbs(name: str, to: Import) -> bool:
    """Whether an import by the module `name` goes up, or sideways to a line that is not its own."""
    if to.name.split(".")[0] != "graphdl" or (to.types_only and (top_of(name), top_of(to.name)) in TYPES_ONLY):
        return False
    (layer, group), (to_layer, to_group) = place(name), place(to.name)
    return to_layer > layer or (to_layer == layer and to_group != group)


def test_the_package_was_found() -> None:
    assert {"graphdl.errors", "graphdl.cli", "graphdl.passes", "graphdl.backends", "graphdl.backends.native"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    found = [f"line {to.line}: {name} (layer {place(name)[0]}) imports {to.name} (layer {place(to.name)[0]})" for to in imports(name) if climbs(name, to)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", MODULES)
def test_links_are_imported_through_the_package(name: str) -> None:
    found = [f"line {to.line}: {to.name}" for to in imports(name) if to.name.split(".")[0] in ("passes", "backends")]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", MODULES)
def test_outside_packages_are_imported_where_they_belong(name: str) -> None:
    found = [f"line {to.line}: {to.name}" for to in imports(name) if not f"{name}.".startswith(PLACES.get(to.name.split(".")[0], ""))]
    assert not found, "\n".join(found)


def test_import_loads_nothing_slow() -> None:
    code = f"import sys, graphdl; print(*[name for name in {SLOW} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert loaded.returncode == 0, loaded.stderr
    assert not loaded.stdout.split()


def test_relative_imports_are_resolved() -> None:
    assert resolve("graphdl.backends.native", "llvm", 1) == "graphdl.backends.native.llvm"
    assert resolve("graphdl.backends.native", "", 3) == "graphdl"
    assert resolve("graphdl", "", 1) == "graphdl"


@pytest.mark.parametrize(
    ("name", "imported", "types_only", "expected"),
    [
        ("graphdl.ops.matmul", "graphdl.op", False, False),
        ("graphdl.op", "graphdl.ops.matmul", False, True),
        ("graphdl.ops.matmul", "graphdl.ops.reduce", False, False),
        ("graphdl.passes.fusion", "graphdl.backends.native", False, True),
        ("graphdl.op", "graphdl.lowering", True, False),
        ("graphdl.op", "graphdl.lowering", False, True),
        ("graphdl.ir.node", "graphdl.op", True, True),
        ("graphdl.train", "graphdl", False, True),
        ("graphdl.cli.demo", "graphdl", False, False),
        ("graphdl.cli.demo", "numpy", False, False),
    ],
)
def test_climbs(name: str, imported: str, types_only: bool, expected: bool) -> None:
    assert climbs(name, Import(1, imported, types_only)) is expected

"""The wheel holds one package with all that it needs, and the README's commands are the Makefile's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from graphdl.version import __version__

ROOT = Path(__file__).parents[1]
SOURCES = ("graphdl", "passes", "backends", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network from a copy of the sources, so that nothing of an earlier build gets in."""
    folder = tmp_path_factory.mktemp("project")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_one_top_level_package(contents: set[str]) -> None:
    assert {name.split("/")[0] for name in contents} == {"graphdl", f"graphdl-{__version__}.dist-info"}


def test_every_module_is_inside(contents: set[str]) -> None:
    sources = {
        f"{prefix}{path.relative_to(ROOT / folder).as_posix()}"
        for folder, prefix in {"graphdl": "graphdl/", "passes": "graphdl/passes/", "backends": "graphdl/backends/"}.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert sources <= contents, f"not in the wheel: {sorted(sources - contents)}"
    assert any(name.startswith("graphdl/passes/") for name in contents)


def test_data_and_typing_are_inside(contents: set[str]) -> None:
    assert {"graphdl/py.typed", "graphdl/data/digits.npz", "graphdl/data/README.md"} <= contents


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"graphdl-{__version__}.dist-info"
        fields = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE").decode()
    assert (fields["Name"], fields["Version"], fields["License-Expression"]) == ("graphdl", __version__, "Apache-2.0")
    assert fields["Requires-Python"] == ">=3.11"
    assert "graphdl = graphdl.cli:main" in entry_points
    assert "Apache License" in licence


def test_links_lead_to_the_top() -> None:
    for name in ("passes", "backends"):
        link = ROOT / "graphdl" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..", name)


def test_all_means_every_other_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert set(everything.removeprefix("graphdl[").removesuffix("]").split(",")) == set(extras)


def test_readme_commands_are_targets() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    commands = re.findall(r"^(make \S+)", readme, re.MULTILINE)
    assert commands == ["make demo", "make test"]
    for command in commands:
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_continuous_integration_runs_them() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "for target in test lint types wheel" in script.read_text()

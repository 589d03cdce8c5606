"""The README's lines, the examples and the demo, run as a newcomer runs them: as commands, in a folder of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEAST_ACCURACY = 94.0  # percent of held-out images


def run(folder: Path, *arguments: str) -> str:
    """What Python prints when run with `arguments` in `folder`."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder), "GRAPHDL_CACHE_DIR": str(folder / "cache")}
    finished = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def accuracies(text: str) -> list[float]:
    """The percentages of recognised images that a text tells."""
    return [float(percent) for percent in re.findall(r"([\d.]+)% of \d+ held-out", text)]


def test_readme_lines(tmp_path: Path) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    script = tmp_path / "readme.py"
    script.write_text(lines, encoding="utf-8")
    assert "readme.py:" in run(tmp_path, str(script))
    assert (tmp_path / "digits.safetensors").stat().st_size > 4 * (64 * 128 + 128 + 128 * 10 + 10)


def test_neuron(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "neuron.py"))
    assert "weights . inputs + bias = 6\n" in printed
    outputs = {name: float(value) for name, value in re.findall(r"^(\w+): output ([\d.]+)", printed, re.MULTILINE)}
    assert outputs == pytest.approx({"relu": 6.0, "sigmoid": 0.997527377, "tanh": 0.999987712}, rel=1e-6)
    assert "relu: output 6, gradient by weights [2. 3.], by bias 1\n" in printed


def test_mnist(tmp_path: Path) -> None:
    (accuracy,) = accuracies(run(tmp_path, str(ROOT / "examples" / "mnist.py")))
    assert accuracy >= LEAST_ACCURACY


def test_demo(tmp_path: Path) -> None:
    printed = run(tmp_path, "-c", "from graphdl.cli import main; raise SystemExit(main(['demo']))")
    (accuracy,) = accuracies(printed)
    assert accuracy >= LEAST_ACCURACY
    assert (tmp_path / "runs" / "digits.safetensors").is_file()
    assert "runs/digits.safetensors" in printed

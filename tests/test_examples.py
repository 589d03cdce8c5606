"""The README's lines, the examples and the demo, run as a newcomer runs them: as commands, in a folder of their own."""

from __future__ import annotations

import importlib.util
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


def test_cnn_images(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "cnn_images.py"), "--epochs", "5")
    (accuracy,) = accuracies(printed)
    assert accuracy >= LEAST_ACCURACY + 3
    assert (tmp_path / "cnn_images.png").is_file() or "filter  0: norm" in printed


def test_onnx_finetune(tmp_path: Path) -> None:
    if importlib.util.find_spec("magika") is None:
        pytest.skip("magika is not installed: it is part of the extra `models`")
    printed = run(tmp_path, str(ROOT / "examples" / "onnx_finetune.py"))
    assert "after: new graphs: 8 txt\n" in printed
    assert "after: new Python files: 8 python\n" in printed


def test_demo(tmp_path: Path) -> None:
    printed = run(tmp_path, "-c", "from graphdl.cli import main; raise SystemExit(main(['demo']))")
    (accuracy,) = accuracies(printed)
    assert accuracy >= LEAST_ACCURACY
    assert (tmp_path / "runs" / "digits.safetensors").is_file()
    assert "runs/digits.safetensors" in printed


def test_attention_weights(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "attention_weights.py"), "--epochs", "15")
    told, guessed = map(float, re.findall(r"([\d.]+)% of \d+ held-out sentences .* ([\d.]+)%", printed)[0])
    assert told > guessed + 30
    table = [line.split()[1:] for line in printed.rpartition("from '")[2].splitlines()[2:]]
    assert all(abs(sum(map(int, row)) - 100) <= len(row) / 2 for row in table)


def test_gpt_text(tmp_path: Path) -> None:
    sizes = {"steps": 700, "features": 64, "layers": 2, "context": 32, "batch": 32, "rate": 0.01}
    printed = run(tmp_path, str(ROOT / "examples" / "gpt_text.py"), *(word for name, size in sizes.items() for word in (f"--{name}", str(size))))
    losses = [float(bits) for bits in re.findall(r"step .*: ([\d.]+) bits", printed)]
    assert losses[-1] < losses[0] / 2
    gpt, three = map(float, re.findall(r"held-out text: GPT ([\d.]+) bits per character, 3-gram ([\d.]+)", printed)[0])
    assert gpt < three - 0.1
    assert "microseconds for each character" in printed


def test_learning_rate(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "learning_rate.py"), "--steps", "200")
    rows = [list(map(float, line.split()[3:])) for line in printed.splitlines() if re.match(r"\s*\d+ to ", line)]
    small, right, large = rows[-1]
    assert right < 0.3 < 1.5 < small < large
    assert rows[0][0] > small
    assert large > rows[0][1]


def test_backprop(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "backprop.py"))
    assert len(re.findall(r"^W1\[\d, \d\] .*   dL/dW₁ = xᵀ δ₄$", printed, re.MULTILINE)) == 8
    assert len(re.findall(r"^W2\[\d, \d\] .*   dL/dW₂ = hiddenᵀ δ₂$", printed, re.MULTILINE)) == 4
    said = [float(value) for value in re.findall(r"\d xor \d is ([\d.]+)", printed)]
    assert said == pytest.approx([0, 1, 1, 0], abs=0.1)


def test_rnn_memory(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "rnn_memory.py"), "--steps", "800")
    norms = {
        kind: (float(far), float(near))
        for kind, far, near in re.findall(r"^(\w+) +gradient by the state 30 steps back (\S+), at the last step (\S+);", printed, re.MULTILINE)
    }
    assert norms["RNN"][0] < 1e-5 * norms["RNN"][1]
    assert norms["LSTM"][0] > 0.1 * norms["LSTM"][1]
    assert norms["exploding"][0] > 100 * norms["exploding"][1]
    assert max(float(norm) for norm in re.findall(r"clipped (\S+)", printed)) <= 1.0
    plain, gated = accuracies(printed.replace("new texts", "held-out"))
    assert plain < 50 < 95 < gated


def test_lstm_series(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "lstm_series.py"))
    lstm, naive = (float(re.findall(rf"{name} ([\d.]+)", printed)[0]) for name in ("LSTM", "naive"))
    assert lstm < 0.7 * naive
    assert len(re.findall(r"^\d{4} ", printed, re.MULTILINE)) > 8


def test_unet_denoise(tmp_path: Path) -> None:
    printed = run(tmp_path, str(ROOT / "examples" / "unet_denoise.py"), "--steps", "500", "--features", "8")
    losses = [float(loss) for loss in re.findall(r"step .*: loss ([\d.]+)", printed)]
    assert losses[-1] < losses[0] / 2
    noisy, filtered, cleaned = (float(value) for value in re.findall(r"(?:noisy|filter|U-Net) ([\d.]+)", printed)[:3])
    assert cleaned < filtered < noisy
    assert int(re.findall(r"(\d+) of 10 new digits", printed)[0]) >= 7

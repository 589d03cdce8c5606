"""The networks of the examples, declared at their sizes but with less data, for what is to hold of all of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import graphdl as gd

EXAMPLES = Path(__file__).parents[1] / "examples"
FLAGS = {
    "neuron.py": [],
    "mnist.py": ["--epochs", "1", "--batch-size", "1000"],
    "cnn_images.py": ["--epochs", "1", "--batch-size", "1000"],
    "attention_weights.py": ["--epochs", "0"],
    "backprop.py": ["--steps", "1"],
    "learning_rate.py": ["--steps", "2"],
    "lstm_series.py": ["--steps", "2"],
    "rnn_memory.py": ["--steps", "2"],
    "unet_denoise.py": ["--steps", "1", "--features", "8"],
    "gpt_text.py": ["--steps", "1", "--context", "16", "--layers", "2", "--write", "20"],
}

OTHERS = {"onnx_finetune.py"}  # it needs a package of its own


def programs_of(example: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[gd.Executable]:
    """Run an example with as little training as its flags allow, in `folder`, and return all programs that it compiled."""

    found: list[gd.Executable] = []
    compiled = gd.Executable.__init__

    def note(self: gd.Executable, *arguments: Any, **named: Any) -> None:
        compiled(self, *arguments, **named)
        found.append(self)

    monkeypatch.setattr(gd.Executable, "__init__", note)
    monkeypatch.setattr(sys, "argv", [example, *FLAGS[example]])
    monkeypatch.chdir(folder)
    runpy.run_path(str(EXAMPLES / example), run_name="__main__")
    return found

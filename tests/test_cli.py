"""`graphdl compile` and `graphdl run`: from models to files, and from arrays to arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.cli import main
from graphdl.cli.compile import name_of

DECLARED = """
import graphdl as gd
from graphdl import nn
gd.random.seed(0)
x = gd.placeholder("x", ("N", 6))
y = gd.placeholder("y", ("N",), "int64")
net = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3))
logits = net(x)
both = [gd.softmax(logits, axis=1), y * 2]
step = gd.compile(gd.sum(logits), inputs=[x], updates=gd.optim.SGD(lr=0.1).updates(gd.sum(logits), net.parameters()))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(DECLARED)
    return path


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, Any]:
    found = {"x": np.random.default_rng(0).normal(size=(4, 6)).astype("f"), "y": np.arange(4)}
    for name, array in found.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "both.npz", **found)  # type: ignore[arg-type]
    return found


def compile_to(folder: Path, *arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(["compile", *map(str, arguments), "-o", str(folder), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    written: list[dict[str, Any]] = json.loads(captured.out)["files"]
    assert all(Path(row["path"]).stat().st_size == row["bytes"] for row in written)
    return written


def test_objects_for_several_targets(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = compile_to(tmp_path / "out", f"{model}:net", "--target", "host", "--target", "aarch64-linux-gnu", "--target", "wasm", capsys=capsys)
    names = [str(Path(row["path"]).relative_to(tmp_path / "out")) for row in written]
    assert names == [f"{folder}/net.{kind}" for folder in ("host", "aarch64-linux-gnu", "wasm") for kind in ("o", "h", "params")]
    written = compile_to(tmp_path, f"{model}:step", "--name", "train", "--format", "c-archive", "--parameters", "baked", capsys=capsys)
    assert [Path(row["path"]).name for row in written] == ["libtrain.a", "train.h"]


def test_a_program_is_made_and_run(model: Path, tmp_path: Path, arrays: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = compile_to(tmp_path, f"{model}:both", "--format", "program", "--target", "host", "--target", "neon", capsys=capsys)
    program = gd.load_program(row["path"])
    assert program.compilation.mode == "inference"
    for given in ([f"--input=y={tmp_path}/y.npy", f"--input={tmp_path}/x.npy"], [f"--input={tmp_path}/both.npz"]):
        assert main(["run", row["path"], *given, "--output", str(tmp_path / "results.npz")]) == 0
        assert "written to" in capsys.readouterr().out
        with np.load(tmp_path / "results.npz") as found:
            assert all(np.array_equal(found[f"output_{k}"], value) for k, value in enumerate(program(**arrays)))


def test_an_onnx_model_is_compiled_and_run(tmp_path: Path, arrays: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    x = gd.placeholder("x", ("N", 6))
    gd.onnx.save(gd.tanh(x) * 2, tmp_path / "tanh-2.onnx")
    written = compile_to(tmp_path, tmp_path / "tanh-2.onnx", "--format", "object", capsys=capsys)
    assert [Path(row["path"]).name for row in written] == ["tanh_2.o", "tanh_2.h"]
    np.save(tmp_path / "wide.npy", arrays["x"].astype("f8"))
    assert main(["run", str(tmp_path / "tanh-2.onnx"), "--input", str(tmp_path / "wide.npy"), "--output", str(tmp_path / "y.npy"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = np.load(tmp_path / "y.npy")
    assert np.allclose(found, np.tanh(arrays["x"]) * 2, rtol=1e-6)
    (output,) = told["outputs"].values()
    assert (output["dtype"], output["shape"]) == ("float32", [4, 6])
    assert output["first"] == [float(value) for value in found.reshape(-1)[:6]]


def test_results_of_an_onnx_model_have_its_names(tmp_path: Path, arrays: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    x = gd.placeholder("x", ("N", 6))
    gd.onnx.save([gd.tanh(x), x + 1.0], tmp_path / "two.onnx", output_names=["curve", "file"])
    assert main(["run", str(tmp_path / "two.onnx"), "--input", f"{tmp_path}/x.npy", "--output", f"{tmp_path}/two.npz"]) == 0
    assert "curve" in capsys.readouterr().out
    with np.load(tmp_path / "two.npz") as found:
        assert sorted(found) == ["curve", "file"]
        assert np.allclose(found["file"], arrays["x"] + 1)


def test_saved_programs_are_inspected(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = compile_to(tmp_path, f"{model}:step", "--format", "program", capsys=capsys)
    for command in (["inspect", row["path"]], ["explain", row["path"]], ["profile", row["path"], "--size", "N=4"]):
        assert main(command) == 0
        assert "model.py:" in capsys.readouterr().out or command[0] == "inspect"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["run", "{model}:both"], "missing inputs: 'x'"), (["run", "{model}:both", "--input", "{folder}/none.npy"], "none.npy"),
        (["run", "{model}:both", "--input", "{model}"], "no .npy file of numbers"), (["run", "{model}:both", "--output", "y.txt"], "written as .npy or .npz"),
        (["run", "{model}:both", "--input=x={folder}/both.npz"], "holds several arrays"), (["run", "{folder}/x.npy"], "write FILE.py:name"),
        (["run", "{model}:both", "--input={folder}/both.npz", "--output={folder}/one.npy"], "need a .npz file"),
        (["run", "{model}:both", "--input={folder}/both.npz", "--input={folder}/x.npy"], "no place for"),
        (["run", "{folder}/x.gdp"], "x.gdp"), (["compile", "{model}:both", "--target", "z80", "-o", "{folder}"], "no target 'z80'"),
        (["compile", "{model}:nothing"], "has no 'nothing'"), (["compile", "{folder}/none.onnx"], "there is no file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(model: Path, tmp_path: Path, arrays: dict[str, Any], given: list[str], message: str, capsys: Any) -> None:
    assert arrays
    assert main([part.format(model=model, folder=tmp_path) for part in given]) == 1
    told = capsys.readouterr().err
    assert told.startswith("graphdl: ")
    assert message in told


def test_names_are_c_identifiers() -> None:
    assert [name_of(source) for source in ("a/b-c.onnx", "2.onnx", "f.py:net", "x/_.gdp")] == ["b_c", "p2", "net", "p_"]

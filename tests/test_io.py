"""Saving and loading: what comes back, and what damaged, foreign and unfit files do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import FormatError, StateError, TypeRuleError
from graphdl.io import read, write
from graphdl.types import DTYPES, numpy_dtype


def test_every_dtype_comes_back(tmp_path: Path) -> None:
    arrays = {name: np.array([[0, 1, 2], [3, 1, 0]]).astype(numpy_dtype(name)) for name in DTYPES}
    arrays |= {"scalar": np.array(2.5), "empty": np.zeros((0, 3), "f"), "strided": np.arange(12.0).reshape(3, 4).T[::2], "big": np.arange(3, dtype=">i4")}
    write(arrays, tmp_path / "all", {"note": "ä"})
    found, text = read(tmp_path / "all")
    assert text == {"note": "ä"}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_a_module_comes_back(tmp_path: Path) -> None:
    net, other = (nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)) for _ in range(2))
    gd.save(net, tmp_path / "net.safetensors")
    gd.load(other, tmp_path / "net.safetensors")
    assert all(np.array_equal(array, other.state_dict()[name]) for name, array in net.state_dict().items())
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_a_mapping_of_parameters_is_saved(tmp_path: Path) -> None:
    gd.save({"w": gd.parameter(np.ones(2), "w")}, tmp_path / "w")
    assert read(tmp_path / "w")[0]["w"].tolist() == [1, 1]


def test_half_precision_is_widened(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    gd.save({"weight": np.eye(2).astype(numpy_dtype("bfloat16")), "bias": np.ones(2, "float16")}, tmp_path / "half")
    gd.load(layer, tmp_path / "half")
    assert layer.weight.value.dtype == np.float32
    assert layer.weight.value.tolist() == [[1, 0], [0, 1]]


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    gd.save({"weight": np.ones((2, 3), "f"), "other": np.ones(1)}, tmp_path / "bad")
    layer = nn.Linear(2, 2)
    with pytest.raises(StateError) as caught:
        gd.load(layer, tmp_path / "bad")
    assert all(fault in str(caught.value) for fault in ("misshapen: weight", "missing: bias", "unexpected: other"))
    gd.save({"bias": np.ones(2, "f"), "other": np.ones(1)}, tmp_path / "part")
    gd.load(layer, tmp_path / "part", strict=False)
    assert layer.state_dict()["bias"].tolist() == [1, 1]


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[:4], lambda d: d[:30], lambda d: d[:-1], lambda d: d + b"x", lambda d: b"\xff" * len(d)])
def test_a_damaged_file_is_told(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "file"
    write({"a": np.arange(5.0)}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FormatError, match="no intact safetensors file"):
        read(path)


def test_a_dtype_beyond_the_format_is_told(tmp_path: Path) -> None:
    with pytest.raises(TypeRuleError, match="z cannot be saved"):
        write({"z": np.ones(2, "complex128")}, tmp_path / "z")
    assert not os.listdir(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write({"a": np.ones(1)}, path)

    def fail(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write({"a": np.zeros(1)}, path)
    monkeypatch.undo()
    assert read(path)[0]["a"].tolist() == [1]
    assert os.listdir(tmp_path) == ["file"]

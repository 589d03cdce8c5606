"""The digits that ship with the package, and what is said when the file is damaged."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graphdl import data
from graphdl.errors import FormatError


def test_digits() -> None:
    images, labels = data.load_digits()
    assert images.shape == (1797, 8, 8)
    assert labels.shape == (1797,)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 1)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "huge", "wrong dtype", "wrong shape", "wrong value", "objects"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path(data.__file__).with_name("digits.npz").read_bytes()
    path = tmp_path / "digits.npz"
    images, labels = np.zeros((1797, 8, 8), np.uint8), np.zeros(1797, np.uint8)
    arrays: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
        "huge": (np.zeros((1797, 80, 8), np.uint8), labels),
        "wrong dtype": (images.astype(np.int32), labels),
        "wrong shape": (images[1:], labels),
        "wrong value": (images + np.uint8(17), labels),
        "objects": (np.array([object]), labels),
    }
    contents = {"empty": b"", "cut": whole[: len(whole) // 2], "flipped": whole[:5000] + b"\xff" * 100 + whole[5100:]}
    if damage in arrays:
        np.savez(path, images=arrays[damage][0], labels=arrays[damage][1])
    elif damage in contents:
        path.write_bytes(contents[damage])
    monkeypatch.setattr(importlib.resources, "files", lambda _package: tmp_path)
    with pytest.raises(FormatError, match="digits"):
        data.load_digits()

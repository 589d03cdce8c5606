"""Arrays that lie in one safetensors file or in several with an index, as Hugging Face's folders hold them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from .safetensors import read

Array = np.ndarray[Any, Any]
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST_INDEX = 1 << 25  # bytes
MOST_SHARDS = 4096


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file, of an index of several, or of a folder that has either. They are mapped, as by `read`.

    Raises FormatError for damaged files, an index that leads out of its folder, and arrays that are not where it says.
    """
    place = Path(path)
    if place.is_dir():
        place = _in_folder(place)
    return _gathered(place) if place.suffix == ".json" else read(place)[0]


def read_json(path: Path, largest: int) -> dict[str, Any]:
    """The object in a JSON file of at most `largest` bytes. Raises FormatError."""
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise FormatError(f"{path} has more than {largest} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path} is no JSON object")
    return found


def _in_folder(folder: Path) -> Path:
    for name in (INDEX, SINGLE):
        if (folder / name).is_file():
            return folder / name
    raise FormatError(f"{folder} has neither {SINGLE} nor {INDEX}: graphdl reads no other weights, as those could run code")


def _gathered(index: Path) -> dict[str, Array]:
    places = read_json(index, LARGEST_INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise FormatError(f"{index} has no weight_map of names to files")
    files = sorted(set(places.values()))
    if len(files) > MOST_SHARDS:
        raise FormatError(f"{index} names {len(files)} files, more than {MOST_SHARDS}")
    held = {file: read(_beside(index, file))[0] for file in files}
    lost = [name for name, file in places.items() if name not in held[file]]
    if lost:
        raise FormatError(f"{index}: {lost[0]} is not in {places[lost[0]]}" + (f", nor are {len(lost) - 1} others in their files" if lost[1:] else ""))
    return {name: held[file][name] for name, file in places.items()}


def _beside(index: Path, file: str) -> Path:
    """A file of the index's folder: a plain name, in which nothing leads elsewhere. Caches hold links there, which are followed."""
    if file in ("", ".", "..") or "\0" in file or any(mark in file for mark in "/\\:") or not file.endswith(".safetensors"):
        raise FormatError(f"{index} names the file {file!r}: only safetensors files beside it are read")
    if not (index.parent / file).is_file():
        raise FormatError(f"{index} names the file {file!r}, which is not there")
    return index.parent / file

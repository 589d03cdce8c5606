"""Checkpoints: all that training needs to go on as if it had never stopped, in one safetensors file.

Parameters and buffers stand under their own names, so that `gd.load(net, path, strict=False)` reads them; the optimiser's
state under `optimizer/`, the best epoch's parameters under `best/`. The text `graphdl` holds the epoch, the seed, the history
and what early stopping remembers, as JSON.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ..errors import FormatError
from ..io.safetensors import read, write
from ..nn.state import load_arrays
from .callbacks import EarlyStop
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

VERSION = 1


def save_checkpoint(trainer: Trainer, path: str | os.PathLike[str], *, epoch: int, seed: int, early_stop: EarlyStop | None) -> None:
    """Write a checkpoint after `epoch` epochs, whole or not at all."""
    arrays: dict[str, Any] = {name: tensor.value for name, tensor in trainer.state().items()}
    notes = {"version": VERSION, "epoch": epoch, "seed": seed, "stopped": trainer.stopped, "history": trainer.history}
    if early_stop is not None:
        arrays |= {f"best/{name}": array for name, array in early_stop.arrays.items()}
        notes |= {"best": early_stop.best, "waited": early_stop.waited}
    write(arrays, path, {"graphdl": json.dumps(notes)})


def load_checkpoint(trainer: Trainer, path: str | os.PathLike[str], *, seed: int, early_stop: EarlyStop | None) -> int:
    """Take a checkpoint up and return the number of epochs done.

    Raises FormatError for a file that is no checkpoint, ValueError for one of another seed, and StateError where its
    arrays do not fit the trainer's.
    """
    arrays, text = read(path)
    try:
        notes = json.loads(text["graphdl"])
        epoch, history, stopped = int(notes["epoch"]), History(notes["history"]), bool(notes["stopped"])
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"{os.fspath(path)} is no checkpoint of a trainer") from None
    if notes["seed"] != seed:
        raise ValueError(f"the checkpoint was trained with seed {notes['seed']}, not {seed}: give the same to go on")
    best = {name.removeprefix("best/"): array for name, array in arrays.items() if name.startswith("best/")}
    kept = {name: array for name, array in arrays.items() if not name.startswith("best/")}
    load_arrays(trainer.state(), kept, strict=True, owner="Trainer")
    trainer.history, trainer.stopped = history, stopped
    if early_stop is not None and "best" in notes:
        early_stop.best, early_stop.waited, early_stop.arrays = float(notes["best"]), int(notes["waited"]), best
    return epoch

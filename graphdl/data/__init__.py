"""Small real data that ships with the package; sources and licences are in this folder's README."""

from __future__ import annotations

import zipfile
import zlib
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from graphdl.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_digits"]

INK_LEVELS = 16  # a pixel counts the ink in a 4 x 4 block of the scan


def load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The UCI handwritten digits: 1,797 grey images of 8 x 8 pixels and which digit each one shows.

    Returns `images`, float32 in 0..1 of shape (1797, 8, 8), and `labels`, int64 in 0..9 of shape (1797,), in the
    order of the source: E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, doi 10.24432/C50P49 (CC BY 4.0).
    Raises FormatError if the installed file is damaged.
    """
    images = _read("images", (1797, 8, 8), INK_LEVELS)
    labels = _read("labels", (1797,), 9)
    return images.astype(np.float32) / np.float32(INK_LEVELS), labels.astype(np.int64)


def _read(name: str, shape: tuple[int, ...], largest: int) -> NDArray[np.uint8]:
    try:
        with resources.files(__name__).joinpath("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
            array: NDArray[np.uint8] = archive[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"digits.npz of the installed package cannot be read ({error}); install graphdl again") from error
    if array.dtype != np.uint8 or array.shape != shape or array.max() > largest:
        raise FormatError(f"digits.npz: `{name}` is {array.dtype} {array.shape}, not uint8 {shape} of at most {largest}; install graphdl again")
    return array

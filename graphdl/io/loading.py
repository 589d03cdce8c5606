"""State from files into models and optimisers."""

from __future__ import annotations

import os

from .layout import Layout
from .layouts import layout_of
from .safetensors import Stateful
from .shards import read_arrays


def load(target: Stateful, path: str | os.PathLike[str], strict: bool = True, layout: str | Layout | None = None) -> None:
    """Read a safetensors file, an index of several or a folder with either into a module (or an optimiser) by name.

    `layout` names the library whose names the file has, "bert", "gpt2", "llama", "nanogpt" or "resnet", or is an `io.Layout`: its
    rows turn them into the module's, and may leave out, transpose or cut arrays. Half precision is widened to the module's own.
    Raises FormatError for a damaged file, StateError that lists every entry that does not fit; nothing is changed then.
    With `strict=False`, missing and unexpected entries of a module are let pass.
    """
    arrays = read_arrays(path)
    if layout is not None:
        arrays = layout_of(layout).arrange(arrays, target.state_dict())
    if strict:
        target.load_state_dict(arrays)
    else:
        target.load_state_dict(arrays, strict=False)  # type: ignore[call-arg]

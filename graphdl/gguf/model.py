"""Models in GGUF files as modules: Llama's architecture, with weights packed as the file has them."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import FormatError
from ..nn.models.llama import Decoder, FeedForward, Layer, Llama, SelfAttention
from ..nn.normalization import RMSNorm
from ..nn.packed import PackedEmbedding, PackedLinear, PackedMatrix
from .blocks import BlockFormat, Planes
from .reader import GgufFile
from .tokenizer import Tokenizer

Array = np.ndarray[Any, Any]
ACTIVATIONS = ("float32", "q8")


class LanguageFile:
    """A language model and its tokenizer, from one file. `name` is what the file calls it."""

    def __init__(self, model: Llama, tokenizer: Tokenizer, name: str) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name


def load(path: str | os.PathLike[str], *, activations: str = "float32") -> LanguageFile:
    """Read a GGUF file. Its weights stay packed: the model takes about as much memory as the file has bytes.

    With `activations="q8"` what is multiplied by quantised weights is rounded to 8 bits in blocks of 32, as llama.cpp does.
    Raises ValueError for another word, and FormatError for files that are damaged, foreign, or hold what graphdl does not run, and names what that is.
    """
    if activations not in ACTIVATIONS:
        raise ValueError(f"activations={activations!r} is not one of {', '.join(ACTIVATIONS)}")
    file = GgufFile(path)
    tokenizer = Tokenizer(file.metadata)
    model = _Builder(file, rounds=activations == "q8").model()
    if model.vocabulary != len(tokenizer.pieces):
        raise FormatError(f"{file.path}: the embedding has {model.vocabulary} rows for {len(tokenizer.pieces)} tokens")
    return LanguageFile(model, tokenizer, str(file.metadata.get("general.name", "")))


class _Builder:
    """Makes the modules of one file."""

    def __init__(self, file: GgufFile, *, rounds: bool = False) -> None:
        self.file, self.rounds = file, rounds
        self.architecture = file.metadata.get("general.architecture")
        if self.architecture != "llama":
            raise self._error(f"the architecture is {self.architecture!r}; graphdl runs 'llama'")
        self.features = self._size("embedding_length")
        self.inner = self._size("feed_forward_length")
        self.heads = self._size("attention.head_count")
        self.groups = self._size("attention.head_count_kv", self.heads)
        if self.features % self.heads or self.heads % self.groups or (self.features // self.heads) % 2:
            raise self._error(f"{self.features} features, {self.heads} heads of queries and {self.groups} of keys do not divide in turn into even sizes")
        self.size = self.features // self.heads
        self.epsilon = self._number("attention.layer_norm_rms_epsilon", 1e-5)
        self.base = self._number("rope.freq_base", 10000.0)
        self._check_variants()
        self.used: set[str] = set()

    def _error(self, message: str) -> FormatError:
        return FormatError(f"{self.file.path}: {message}")

    def _check_variants(self) -> None:
        """Refuse what would be computed in another way."""
        for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
            if self._size(key, self.size) != self.size:
                raise self._error(f"llama.{key} is {self._size(key)} where heads have {self.size} features, which graphdl does not run")
        scaling = self.file.metadata.get("llama.rope.scaling.type", "none")
        if scaling != "none":
            raise self._error(f"positions are scaled by {scaling!r}, which graphdl does not run")

    def _size(self, key: str, otherwise: int | None = None) -> int:
        """A positive integer of the metadata."""
        found = self.file.metadata.get(f"llama.{key}", otherwise)
        if type(found) is not int or found < 1:
            raise self._error(f"llama.{key} is {_told(found)}, not a positive integer")
        return found

    def _number(self, key: str, otherwise: float) -> float:
        """A positive number of the metadata."""
        found = self.file.metadata.get(f"llama.{key}", otherwise)
        if type(found) not in (int, float) or not 0 < float(found) < math.inf:  # type: ignore[arg-type]
            raise self._error(f"llama.{key} is {_told(found)}, not a positive number")
        return float(found)  # type: ignore[arg-type]

    def model(self) -> Llama:
        """The model; every tensor of the file must be one of its own."""
        embedding = self._matrix("token_embd.weight", None, self.features)
        layers = [self._layer(f"blk.{number}") for number in range(self._size("block_count"))]
        head = self._matrix("output.weight", embedding.rows, self.features) if "output.weight" in self.file.tensors else embedding
        decoder = Decoder(PackedEmbedding(embedding), layers, self._norm("output_norm.weight"))
        if unknown := sorted(set(self.file.tensors) - self.used):
            raise self._error(f"{len(unknown)} tensors are no part of a model that graphdl runs: {', '.join(unknown[:5])} ...")
        return Llama(decoder, PackedLinear(head), embedding.rows, self._size("context_length"))

    def _layer(self, name: str) -> Layer:
        narrow = self.groups * self.size
        heads = {f"{name}.attn_q.weight": self.features, f"{name}.attn_k.weight": narrow, f"{name}.attn_v.weight": narrow}
        query, key, value = self._beside(heads, turned=tuple(heads)[:2])
        output = PackedLinear(self._matrix(f"{name}.attn_output.weight", self.features, self.features))
        gate, up = self._beside(dict.fromkeys((f"{name}.ffn_gate.weight", f"{name}.ffn_up.weight"), self.inner))
        down = PackedLinear(self._matrix(f"{name}.ffn_down.weight", self.features, self.inner))
        norms = self._norm(f"{name}.attn_norm.weight"), self._norm(f"{name}.ffn_norm.weight")
        return Layer(SelfAttention(self.size, self.base, query, key, value, output), FeedForward(gate, up, down), *norms)

    def _beside(self, names: dict[str, int], turned: Sequence[str] = ()) -> list[PackedLinear]:
        """Layers of so many rows that read one input. Their weights are one matrix where they have one format."""
        parts = [self._planes(name, rows, self.features, turned=name in turned) for name, rows in names.items()]
        formats = [self.file.tensors[name].format for name in names]
        if len(set(formats)) > 1:
            made = zip(names.values(), parts, formats, strict=True)
            return [PackedLinear(self._packed(rows, self.features, planes, found)) for rows, planes, found in made]
        joined = {plane: np.concatenate([part[plane] for part in parts]) for plane in parts[0]}
        matrix = self._packed(sum(names.values()), self.features, joined, formats[0])
        ends = list(itertools.accumulate(names.values()))
        return [PackedLinear(matrix, (end - rows, end)) for end, rows in zip(ends, names.values(), strict=True)]

    def _norm(self, name: str) -> RMSNorm:
        made = RMSNorm(self.features, self.epsilon)
        assert made.weight is not None
        made.weight.value = self._numbers(name)
        return made

    def _numbers(self, name: str) -> Array:
        """A tensor of one axis, of floats."""
        self._check(name, (self.features,))
        entry = self.file.tensors[name]
        if entry.format.name != "F32":
            raise self._error(f"{name} is {entry.format.name}; a norm is F32")
        return self.file.blocks(name)["number"]

    def _matrix(self, name: str, rows: int | None, columns: int) -> PackedMatrix:
        """A weight as the file has it."""
        planes = self._planes(name, rows, columns)
        entry = self.file.tensors[name]
        return self._packed(entry.shape[0], columns, planes, entry.format)

    def _packed(self, rows: int, columns: int, planes: Planes, format: BlockFormat) -> PackedMatrix:
        """A matrix of that format, whose products round activations if they shall; those with floats never do."""
        if self.rounds and format.rounding is None and format.elements > 1:
            raise self._error(f"activations cannot be rounded for weights of {format.name}: load it with activations='float32'")
        return PackedMatrix(rows, columns, planes, format.unpack, format.rounding if self.rounds else None)

    def _planes(self, name: str, rows: int | None, columns: int, *, turned: bool = False) -> Planes:
        """The planes of a weight; with `turned` the rows of every head in the order that `rotary` takes."""
        self._check(name, (rows, columns))
        entry = self.file.tensors[name]
        planes = entry.format.planes(self.file.blocks(name))
        return {part: _apart(plane, self.size) for part, plane in planes.items()} if turned else planes

    def _check(self, name: str, shape: tuple[int | None, ...]) -> None:
        entry = self.file.tensors.get(name)
        if entry is None:
            raise self._error(f"there is no tensor {name}")
        if len(entry.shape) != len(shape) or any(size is not None and size != own for size, own in zip(shape, entry.shape, strict=True)):
            raise self._error(f"{name} has shape {entry.shape}, not {tuple('any' if size is None else size for size in shape)}")
        self.used.add(name)


def _apart(plane: Array, size: int) -> Array:
    """Rows of heads of `size`, whose pairs that are turned lie side by side, with the first of all pairs before the second."""
    return plane.reshape(-1, size // 2, 2, *plane.shape[1:]).swapaxes(1, 2).reshape(plane.shape)


def _told(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]

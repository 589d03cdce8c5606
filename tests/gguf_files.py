"""Small GGUF files for tests: a writer, blocks of every format, and what numbers they hold, written from the format's text."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Random = np.random.Generator


@dataclass(frozen=True)
class Kind:
    """A tensor type: its number, its block's elements and bytes, the places of 16-bit floats in it, and the numbers of a block."""

    number: int
    elements: int
    bytes: int
    halves: tuple[int, ...]
    numbers: Callable[[Array], list[float]]

    def random(self, generator: Random, rows: int, columns: int) -> Array:
        """Bytes (rows, bytes of a row) with small scales and any codes."""
        made = generator.integers(0, 256, (rows, columns // self.elements, self.bytes), "uint8")
        for place in self.halves:
            scales = generator.normal(0, 0.01, made.shape[:2]).astype("<f2")
            made[..., place : place + 2] = scales[..., None].view("uint8")
        if self.elements == 1:
            made = _floats(generator.normal(0, 0.3, (rows, columns)).astype("<f4"), self)
        return np.ascontiguousarray(made).reshape(rows, -1)

    def matrix(self, raw: Array) -> Array:
        """The numbers of bytes (rows, bytes of a row), one by one."""
        return np.array([[x for start in range(0, len(row), self.bytes) for x in self.numbers(row[start : start + self.bytes])] for row in raw])


def _floats(numbers: Array, kind: Kind) -> Array:
    """The bytes of floats, of which bfloat16 has the two highest."""
    held = numbers.astype("<f2") if kind is KINDS["F16"] else numbers
    return held[..., None].view("uint8")[..., -kind.bytes :]


def _f16(block: Array, place: int) -> float:
    return float(struct.unpack("<e", bytes(block[place : place + 2]))[0])


def _nibbles(codes: Array) -> list[int]:
    return [int(byte) & 15 for byte in codes] + [int(byte) >> 4 for byte in codes]


def _fives(block: Array, place: int) -> list[int]:
    (word,) = struct.unpack("<I", bytes(block[place : place + 4]))
    return [code | (word >> n & 1) << 4 for n, code in enumerate(_nibbles(block[place + 4 : place + 20]))]


def _q4_k(block: Array) -> list[float]:
    scale, minimum, packed, found = _f16(block, 0), _f16(block, 2), [int(x) for x in block[4:16]], []
    for n in range(8):
        low = packed[n] & 63 if n < 4 else packed[n + 4] & 15 | packed[n - 4] >> 6 << 4
        least = packed[n + 4] & 63 if n < 4 else packed[n + 4] >> 4 | packed[n] >> 6 << 4
        codes = block[16 + n // 2 * 32 : 48 + n // 2 * 32]
        found += [scale * low * (int(byte) >> 4 * (n % 2) & 15) - minimum * least for byte in codes]
    return found


def _q6_k(block: Array) -> list[float]:
    low, high, scales, scale = block[:128], block[128:192], block[192:208].view("int8"), _f16(block, 208)
    found = []
    for n in range(256):
        half, quarter, place = n // 128, n % 128 // 32, n % 32
        four = int(low[half * 64 + quarter % 2 * 32 + place]) >> 4 * (quarter // 2) & 15
        two = int(high[half * 32 + place]) >> 2 * quarter & 3
        found.append(scale * int(scales[n // 16]) * ((four | two << 4) - 32))
    return found


KINDS = {
    "F32": Kind(0, 1, 4, (), lambda b: [float(b.view("<f4")[0])]),
    "F16": Kind(1, 1, 2, (), lambda b: [_f16(b, 0)]),
    "BF16": Kind(30, 1, 2, (), lambda b: [float(np.concatenate([np.zeros(2, "u1"), b]).view("<f4")[0])]),
    "Q4_0": Kind(2, 32, 18, (0,), lambda b: [_f16(b, 0) * (x - 8) for x in _nibbles(b[2:])]),
    "Q4_1": Kind(3, 32, 20, (0, 2), lambda b: [_f16(b, 0) * x + _f16(b, 2) for x in _nibbles(b[4:])]),
    "Q5_0": Kind(6, 32, 22, (0,), lambda b: [_f16(b, 0) * (x - 16) for x in _fives(b, 2)]),
    "Q5_1": Kind(7, 32, 24, (0, 2), lambda b: [_f16(b, 0) * x + _f16(b, 2) for x in _fives(b, 4)]),
    "Q8_0": Kind(8, 32, 34, (0,), lambda b: [_f16(b, 0) * int(x) for x in b[2:].view("int8")]),
    "Q4_K": Kind(12, 256, 144, (0, 2), _q4_k),
    "Q6_K": Kind(14, 256, 210, (208,), _q6_k),
}

_TYPES = {bool: (7, "?"), int: (4, "I"), float: (6, "f")}


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, list):
        if not value or isinstance(value[0], str):
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
        number, letter = _TYPES[type(value[0])]
        return struct.pack("<IIQ", 9, number, len(value)) + struct.pack(f"<{len(value)}{letter}", *value)
    number, letter = _TYPES[type(value)]
    return struct.pack("<I", number) + struct.pack(f"<{letter}", value)


def write(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, tuple[str, tuple[int, ...], Array]]) -> Path:
    """A GGUF file of version 3 with tensors of (kind, shape, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(_text(key) + _value(value) for key, value in metadata.items())
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], KINDS[kind].number, len(data))
        data += bytes(raw.tobytes()) + b"\0" * (-raw.nbytes % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


FEATURES, INNER, HEADS, GROUPS, LAYERS = 256, 512, 4, 2, 2
TOKENS = [chr(n) for n in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
PIECES = [*TOKENS, "th", "the", "Ġthe", "<|end|>", "éé", "in"]
METADATA: dict[str, Any] = {
    "general.architecture": "llama", "general.name": "small", "llama.block_count": LAYERS, "llama.context_length": 64,
    "llama.embedding_length": FEATURES, "llama.feed_forward_length": INNER, "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": GROUPS, "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": PIECES,
    "tokenizer.ggml.token_type": [3 if piece == "<|end|>" else 1 for piece in PIECES],
    "tokenizer.ggml.merges": ["t h", "th e", "Ġ the", "i n"], "tokenizer.ggml.eos_token_id": PIECES.index("<|end|>"),
}  # fmt: skip


def model_tensors(generator: Random, kinds: list[str]) -> dict[str, tuple[str, tuple[int, ...], Array]]:
    """The tensors of a small model, whose matrices take turns in being of these kinds."""
    narrow = FEATURES // HEADS * GROUPS
    shapes = {"token_embd": (len(PIECES), FEATURES), "output_norm": (FEATURES,)}
    for n in range(LAYERS):
        shapes |= {f"blk.{n}.attn_{part}": (rows, FEATURES) for part, rows in zip("qkv", (FEATURES, narrow, narrow), strict=True)}
        shapes |= {f"blk.{n}.attn_output": (FEATURES, FEATURES), f"blk.{n}.ffn_gate": (INNER, FEATURES), f"blk.{n}.ffn_up": (INNER, FEATURES)}
        shapes |= {f"blk.{n}.ffn_down": (FEATURES, INNER), f"blk.{n}.attn_norm": (FEATURES,), f"blk.{n}.ffn_norm": (FEATURES,)}
    made: dict[str, tuple[str, tuple[int, ...], Array]] = {}
    for k, (name, shape) in enumerate(shapes.items()):
        kind = "F32" if len(shape) == 1 else kinds[k % len(kinds)]
        raw = generator.normal(1, 0.1, shape).astype("<f4") if len(shape) == 1 else KINDS[kind].random(generator, *shape)
        made[f"{name}.weight"] = (kind, shape, raw)
    return made

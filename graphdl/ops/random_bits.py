"""Counter-based random bits: Philox4x32-10, the same numbers on every machine and for any number of threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from ..errors import TypeRuleError
from ..formula import Call, Formula
from ..ir import Node, Tensor
from ..kernel.expression import Expr, Index, apply, cast, compare, const, index_value
from ..op import Access, Array, Op, Sample
from ..record import record
from ..types import Shape, TensorType, as_shape
from .source import parameter

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
STATE_LABEL = "random.state"
Words = tuple[Any, ...]


@record
class RandomBits(Op):
    """Random uint32 numbers of `shape`, from the operand `state`: int64 (seed, step).

    Element i in row-major order is word i % 4 of Philox4x32-10 at counter (i // 4, i // 4 >> 32, step, stream ^ step >> 32 << 16)
    under key (seed, seed >> 32), all modulo 2**32: equal seed, step and stream give equal bits. Salmon, Moraes, Dror,
    Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """

    name: ClassVar[str] = "random_bits"
    pattern: ClassVar[str] = "injective"
    is_random: ClassVar[bool] = True
    shape: Shape
    stream: int

    def infer(self, *operands: TensorType) -> TensorType:
        (state,) = operands
        if state != TensorType("int64", (2,)):
            raise TypeRuleError(f"the state is int64[2], seed and step, not {state}")
        return TensorType("uint32", self.shape)

    def evaluate(self, *operands: Array) -> Array:
        seed, step = operands[0].astype("uint64")
        count = int(np.prod(self.shape, dtype="int64"))  # type: ignore[arg-type]
        block = np.arange(-(-count // 4), dtype="uint64")
        last = np.uint64(self.stream) ^ ((step >> np.uint64(32)) << np.uint64(16))
        words = philox(tuple(_low(word) for word in (block, block >> np.uint64(32), step, last)), (_low(seed), _low(seed >> np.uint64(32))))
        return np.stack(np.broadcast_arrays(*words), axis=-1).reshape(-1)[:count].reshape(self.shape)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        seed, step = operands[0]((0,)), operands[0]((1,))
        flat: Any = 0
        for i, size in zip(index, self.shape, strict=True):
            flat = flat * size + i
        block = index_value(flat // 4)
        last = apply("bit_xor", const(self.stream, "uint32"), apply("shift_left", _high_word(step), 16))
        counter = (cast(block, "uint32"), _high_word(block), cast(step, "uint32"), last)
        words = _rounds(counter, (cast(seed, "uint32"), _high_word(seed)))
        chosen = words[3]
        for k in (2, 1, 0):
            chosen = apply("select", compare("equal", flat % 4, k), words[k], chosen)
        return chosen

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return Call(self.name, operands, str(self.stream))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for shape in ((3, 5), (9,), (1,), (), (0, 2)):
            yield Sample(cls(shape, 3), (np.array([0x123456789ABCDEF, 7]),))
        yield Sample(cls((5,), 0), (np.array([-1, 2**40 + 1]),))


def philox(counter: Words, key: Words) -> Words:
    """Philox4x32-10 on NumPy's uint64 arrays that hold 32-bit words: four words of counter, two of key; four uint32 arrays out."""
    c, k = counter, key
    for _ in range(ROUNDS):
        first, second = c[0] * np.uint64(MULTIPLIERS[0]), c[2] * np.uint64(MULTIPLIERS[1])
        c = (second >> np.uint64(32) ^ c[1] ^ k[0], _low(second), first >> np.uint64(32) ^ c[3] ^ k[1], _low(first))
        k = tuple(_low(word + np.uint64(weyl)) for word, weyl in zip(k, WEYL, strict=True))
    return tuple(np.asarray(word).astype("uint32") for word in c)


def _low(word: Any) -> Any:
    return word & np.uint64(0xFFFFFFFF)


def _rounds(counter: tuple[Expr, ...], key: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """The same as expressions of uint32."""
    c, k = counter, key
    low, high = (const(multiplier, "uint32") for multiplier in MULTIPLIERS)
    for _ in range(ROUNDS):
        first, second = apply("multiply_high", low, c[0]), apply("multiply_high", high, c[2])
        mixed = [apply("bit_xor", apply("bit_xor", a, b), w) for a, b, w in ((second, c[1], k[0]), (first, c[3], k[1]))]
        c = (mixed[0], high * c[2], mixed[1], low * c[0])
        k = tuple(word + const(weyl, "uint32") for word, weyl in zip(k, WEYL, strict=True))
    return c


def _high_word(x: Expr) -> Expr:
    return cast(apply("shift_right", x, 32), "uint32")


class RandomState:
    """Where random numbers come from: a parameter (seed, step), and a stream number for every place that draws.

    Streams count from 0 in the order of declaration, so the same declarations in a fresh process give the same numbers.
    Programs in training add one to the step at every call.
    """

    def __init__(self) -> None:
        self.tensor = parameter(np.zeros(2, "int64"), STATE_LABEL)
        self.streams: Iterator[int] = itertools.count()

    def seed(self, number: int) -> None:
        """Start again from this seed, at step 0."""
        self.tensor.value = np.array([number, 0], "int64")

    def bits(self, shape: Any) -> Tensor:
        """uint32 numbers of `shape`, all values alike."""
        return RandomBits(as_shape(shape), next(self.streams))(self.tensor)


_default: list[RandomState] = []


def default_state() -> RandomState:
    """The state that everything draws from unless told; made when first asked for."""
    if not _default:
        _default.append(RandomState())
    return _default[0]

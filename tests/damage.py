"""Files as accidents and attackers leave them."""

from __future__ import annotations

from random import Random


def damaged(data: bytes, random: Random) -> bytes:
    """The file with a few bytes changed, cut out, put in twice, or with its end missing."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at, length = random.randrange(len(found) + 1), random.randrange(1, 9)
        kind = random.randrange(5)
        if kind == 0 and at < len(found):
            found[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            found[at : at + length] = random.randbytes(length)
        elif kind == 2:
            del found[at : at + length]
        elif kind == 3:
            found[at:at] = found[max(at - length, 0) : at]
        elif random.random() < 0.2:
            del found[at:]
    return bytes(found)

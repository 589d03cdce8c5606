"""How much memory a program may take, and at which sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import CompileError, FormatError, GraphdlError
from .record import record
from .signature import Signature

_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)


@record
class Budget:
    """At most `limit` bytes for inputs, results, parameters and all between, where the symbolic sizes are no larger than `sizes`."""

    limit: int
    sizes: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def of(limit: str | int, sizes: Mapping[str, int], signature: Signature) -> Budget:
        """The budget of a call. Raises CompileError for a limit that is none, and where sizes are missing or unknown."""
        try:
            amount = parse_bytes(limit)
        except GraphdlError as error:
            raise CompileError(f"memory_limit={limit!r}: {error}") from None
        wanted = signature.symbols
        if missing := [name for name in wanted if name not in sizes]:
            told = ", ".join(f'"{name}": ...' for name in missing)
            raise CompileError(f"memory_limit={limit!r}: the plan depends on sizes: give the largest that will be called with, as sizes={{{told}}}")
        return Budget(amount, tuple((name, sizes[name]) for name in wanted))

    @property
    def told(self) -> str:
        """The limit and the sizes, for messages."""
        sizes = ", ".join(f"{name} = {size}" for name, size in self.sizes)
        return f"{format_bytes(self.limit)}{f' at {sizes}' if sizes else ''}"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"limit": self.limit, "sizes": dict(self.sizes)}

    @staticmethod
    def from_json(found: Any) -> Budget:
        """What `to_json` gave. Raises FormatError for anything else."""
        if not isinstance(found, dict) or found.keys() != {"limit", "sizes"} or not isinstance(found["sizes"], dict):
            raise FormatError("its memory limit is none")
        amounts = [found["limit"], *found["sizes"].values()]
        if not all(type(amount) is int and amount >= 0 for amount in amounts):
            raise FormatError("its memory limit is none")
        return Budget(found["limit"], tuple(found["sizes"].items()))


def check_sizes(sizes: Mapping[str, int], signature: Signature) -> dict[str, int]:
    """The sizes, in the signature's order. Raises CompileError for those that it does not have, and for what are no natural numbers."""
    wanted = signature.symbols
    if unknown := [name for name in sizes if name not in wanted]:
        raise CompileError(f"sizes: the inputs have no size {', '.join(unknown)}; they have {', '.join(wanted) or 'none that is symbolic'}")
    if any(type(size) is not int or size < 0 for size in sizes.values()):
        raise CompileError(f"sizes={dict(sizes)}: sizes are natural numbers")
    return {name: sizes[name] for name in wanted if name in sizes}


def parse_bytes(text: str | int) -> int:
    """A number of bytes from "512 MiB", "2GB" or an int. Raises GraphdlError."""
    if isinstance(text, int):
        return text
    match = _BYTES.fullmatch(text)
    if match is None:
        raise GraphdlError(f"{text!r} is no amount of memory: write it as '2 GiB' or '500 MB'")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " "))


def format_bytes(size: float) -> str:
    """A size in bytes as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"

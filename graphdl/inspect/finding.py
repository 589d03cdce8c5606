"""What the linter tells."""

from __future__ import annotations

from ..ir import Node
from ..ir.provenance import Source
from ..record import record


@record
class Finding:
    """What is wrong, where the user wrote it, and what mends it. `node` is the forward node that is meant."""

    rule: str
    message: str
    remedy: str
    source: Source | None
    node: Node

    def __str__(self) -> str:
        place = f"{self.source.file}:{self.source.line}" if self.source else "?"
        return f"{place}: {self.rule}: {self.message}; {self.remedy}"

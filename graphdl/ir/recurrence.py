"""What an op that runs a body for every element of sequences tells those who explain it."""

from __future__ import annotations

from ..record import record
from ..sizes import Dim
from .graph import Graph


@record
class Recurrence:
    """The body's inputs are the carries, an element of each sequence, then what every step reads; its outputs are the next carries,
    then what is stacked. The op's operands and results are in the same order. With `reverse` the last element comes first."""

    body: Graph
    carries: int
    sequences: int
    length: Dim
    reverse: bool

"""How losses of single elements become one: mean, sum, or none."""

from __future__ import annotations

from ..ir import Tensor
from .module import Module

REDUCTIONS = ("mean", "sum", "none")


def checked_reduction(reduction: str, also: tuple[str, ...] = ()) -> str:
    """The reduction itself. Raises ValueError for an unknown one."""
    if reduction not in (*REDUCTIONS, *also):
        raise ValueError(f"reduction is one of {', '.join((*REDUCTIONS, *also))}, not {reduction!r}")
    return reduction


def reduced(losses: Tensor, reduction: str, total: Tensor | None = None) -> Tensor:
    """The losses, their sum, or their mean: the sum over `total`, which is their number unless given."""
    if checked_reduction(reduction) == "none":
        return losses
    if reduction == "mean" and total is None:
        return losses.mean()
    return losses.sum() if total is None or reduction == "sum" else losses.sum() / total


class Loss(Module):
    """The base of losses as modules. The argument order is `torch.nn`'s without its deprecated ones."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = checked_reduction(reduction, ("batchmean",))

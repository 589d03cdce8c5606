"""The numbers of letters: without gaps, and none for what is the only one of its letter."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable, Mapping, Sequence

from ..formula import Equation, Formula, Name
from .derivation import Step
from .readers import assigned_name


def numbered(steps: Sequence[Step], letters: Iterable[str]) -> dict[Formula, Name]:
    """New numbers for what has one of `letters` and stands outside of all loops, without the gaps that told layers leave."""
    plain = [x for step in steps if isinstance(x := defines(step), Name) and step.loop is None and x.text in letters and x.subscript.isdigit()]
    others = {x for step in steps for x in step.formula.walk() if isinstance(x, Name)} - set(plain)
    counts: dict[str, int] = {}
    numbers: dict[Formula, Name] = {}
    for name in plain:
        counts[name.text] = counts.get(name.text, 0) + 1
        numbers[name] = Name(name.text, str(counts[name.text]))
    return {} if others & set(numbers.values()) else numbers


def single(steps: Iterable[Step], numbers: Mapping[Formula, Name]) -> dict[Formula, Name]:
    """The letters, without their number, of what is the only one that has it."""
    known = {x for step in steps for formula in (step.formula, *(step.loop.starts if step.loop else ())) for x in formula.walk() if isinstance(x, Name)}
    named = {x: numbers.get(x, x) for x in known}
    counts = Counted(x.text for x in named.values())
    own = {x: step for step in steps if isinstance(x := defines(step), Name) and step.loop is None and x.text != "δ"}
    only = {x: step for x, step in own.items() if named[x].subscript == "1" and counts[x.text] == 1}
    return {x: Name(x.text) for x, step in only.items() if not (assigned_name(step.source) or "").endswith("1")}


def defines(step: Step) -> Name | None:
    """The name that the line gives to its value."""
    left = step.formula.parts[0] if isinstance(step.formula, Equation) else None
    return left if isinstance(left, Name) else None

"""Records behave as the frozen dataclasses that type checkers take them for."""

from __future__ import annotations

import copy
from dataclasses import field, fields, replace

import pytest

from graphdl.record import record


@record
class Point:
    x: float
    y: float = 2.0
    label: str = field(default="here", repr=False, compare=False)


@record
class Place(Point):
    floor: int = 0


@record(slots=True)
class One:
    value: float


@record(eq=False)
class Self:
    value: float


@record
class Nothing:
    pass


@record
class Own:
    value: int

    def __hash__(self) -> int:
        return 7


def test_equal_where_class_and_compared_fields_are() -> None:
    assert Point(1, 2) == Point(1.0, label="there")
    assert hash(Point(1, 2)) == hash(Point(1.0, label="there"))
    assert Point(1) != Point(2)
    assert Point(1) != Place(1)
    other: object = (1,)
    assert One(1) != other
    assert Nothing() == Nothing()
    assert Self(1) != Self(1)


def test_one_field_is_compared_as_in_a_tuple() -> None:
    nan = float("nan")
    assert One(nan) == One(nan)  # one object
    assert One(nan) != One(float("nan"))


def test_fields_are_those_of_a_dataclass() -> None:
    place = replace(Place(1.0), floor=3)
    assert [one.name for one in fields(place)] == ["x", "y", "label", "floor"]
    assert repr(place) == "Place(x=1.0, y=2.0, floor=3)"
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        One()  # type: ignore[call-arg]


def test_slots_hold_and_copy() -> None:
    one = copy.deepcopy(One(4))
    assert one == One(4)
    assert not hasattr(one, "__dict__")


def test_what_a_class_defines_stays() -> None:
    assert hash(Own(1)) == 7
    assert Own(1) == Own(1)

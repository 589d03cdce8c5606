"""Records: dataclasses that type checkers hold to be frozen, and that share their methods.

`dataclass(frozen=True)` compiles six functions for each class, which took a third of the time to import graphdl. Here it compiles `__init__`
alone; comparing, hashing and showing go over the fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(*, slots: bool = False, eq: bool = True, repr: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[Any] | None = None, /, *, slots: bool = False, eq: bool = True, repr: bool = True) -> Any:
    """The class with fields as those of a dataclass, which nobody changes once it is made.

    Records of one class are equal where their compared fields are; with `eq=False`, to themselves alone.
    """
    return (lambda cls: _made(cls, slots, eq, repr)) if cls is None else _made(cls, slots, eq, repr)


def _made(cls: type[Any], slots: bool, eq: bool, repr: bool) -> Any:
    made: Any = dataclass(repr=False, eq=False, slots=slots)(cls)
    if eq:
        made.compared_fields = _getter([one.name for one in fields(made) if one.compare])
        _offer(made, __eq__=_equal, __hash__=_hash)
    if repr:
        made.shown_fields = tuple(one.name for one in fields(made) if one.repr)
        _offer(made, __repr__=_show)
    return made


def _offer(cls: type[Any], **methods: Any) -> None:
    """Give the class those methods that it does not define itself."""
    for name, method in methods.items():
        if cls.__dict__.get(name) is None:
            setattr(cls, name, method)


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return staticmethod(lambda record: tuple(getattr(record, name) for name in names))


def _equal(self: Any, other: Any) -> Any:
    return self.compared_fields(self) == self.compared_fields(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(self.compared_fields(self))


def _show(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.shown_fields)})"

"""Translators: how each ONNX op is written with graphdl's ops. Defining one enters it here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import FormatError, ValueNeededError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..record import record
from ..sizes import Dim, Size
from .known import Array, Values, missing_inputs

if TYPE_CHECKING:
    from .scope import Body

Value = Any  # a Tensor, or a list of them where ONNX has a sequence
Translator = Callable[..., Any]
F = TypeVar("F", bound=Translator)

# By domain ("" is ONNX's own) and name of the op.
REGISTRY: dict[tuple[str, str], Translator] = {}


def translates(*names: str, domain: str = "") -> Callable[[F], F]:
    """Enter a translator for ops of these names. It takes the `Call` and its inputs (None where left out), and gives one result or several."""

    def enter(translator: F) -> F:
        REGISTRY.update({(domain, name): translator for name in names})
        return translator

    return enter


def load_translators() -> None:
    """Import every module of the folder `ops`, each of which enters its translators."""
    package = importlib.import_module(f"{__package__}.ops")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{info.name}")


@record
class Call:
    """One node of an ONNX graph, as translators see it."""

    op: str
    domain: str
    opset: int
    name: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[str, ...]  # "" where a result is not used
    attributes: Mapping[str, Any]
    values: Values
    weight: Callable[[Array], Tensor]  # the tensor of an array of the file: a parameter where it can be trained
    bodies: Mapping[str, Body] = field(default_factory=dict)

    def attribute(self, name: str, otherwise: Any = None) -> Any:
        """An attribute: a number, text, array or a tuple of numbers; `otherwise` if the node does not have it."""
        return self.attributes.get(name, otherwise)

    def required(self, name: str) -> Any:
        """An attribute that must be there. Raises FormatError."""
        if name not in self.attributes:
            raise FormatError(f"the attribute {name!r} is missing")
        return self.attributes[name]

    def __getitem__(self, position: int) -> Any:
        """The input at a position, None where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def has(self, position: int) -> bool:
        """Whether the input at a position is there."""
        return self[position] is not None

    def wants(self, position: int) -> bool:
        """Whether the result at a position is used."""
        return position < len(self.outputs) and bool(self.outputs[position])

    def known(self, tensor: Tensor) -> Array | None:
        """The elements of a tensor if they do not depend on inputs: numbers, or objects where symbolic sizes are among them."""
        return self.values.of(tensor)

    def needed(self, tensor: Tensor, what: str) -> Array:
        """The elements of a tensor. Raises ValueNeededError with the inputs that they depend on."""
        array = self.values.of(tensor)
        if array is None:
            names = missing_inputs(tensor)
            told = ", ".join(map(repr, names)) or "the elements of a tensor in a loop"
            raise ValueNeededError(f"{what} depends on {told}: give constants={{name: array}}", names)
        return array

    def sizes(self, tensor: Tensor, what: str) -> list[Dim]:
        """The elements of an integer tensor as sizes, which may be symbolic and, as they stand in the file, negative."""
        return [one if isinstance(one, Size) else int(one) for one in self.needed(tensor, what).reshape(-1)]

    def numbers(self, position: int, what: str) -> Array | None:
        """The elements of an optional input as numbers. Raises ValueNeededError if they depend on inputs or on sizes."""
        if not self.has(position):
            return None
        array = self.needed(self[position], what)
        if array.dtype == object:
            raise ValueNeededError(f"{what} depends on the symbolic sizes of {describe(self[position])}", missing_inputs(self[position]))
        return array

    def number(self, position: int, what: str, otherwise: Any) -> Any:
        """The one element of an optional input."""
        array = self.numbers(position, what)
        return otherwise if array is None else array.reshape(-1)[0].item()

    def ints(self, position: int, name: str) -> tuple[int, ...] | None:
        """Whole numbers that older opsets give as the attribute `name` and newer ones as an input."""
        if name in self.attributes:
            return tuple(self.attributes[name])
        array = self.numbers(position, name)
        return None if array is None else tuple(int(one) for one in array.reshape(-1))


def results(found: Any) -> Sequence[Value | None]:
    """What a translator gave, as results in order."""
    return found if isinstance(found, tuple) else (found,)


def translated_ops() -> Iterable[tuple[str, str]]:
    """Domain and name of every op that has a translator, in order."""
    load_translators()
    return sorted(REGISTRY)

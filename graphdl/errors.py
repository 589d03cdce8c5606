"""One error class per stage, all under `GraphdlError`. Messages name the op, its operands, the user's lines and the mend."""

from __future__ import annotations


class GraphdlError(Exception):
    """Base of every error that graphdl raises on purpose."""

    is_told: bool = False  # whether the op, its operands and the user's line stand in the message


class ShapeError(GraphdlError, ValueError):
    """Shapes or sizes do not agree, when declaring a graph or when calling a program."""


class TypeRuleError(GraphdlError, TypeError):
    """An op was given operands of a rank, dtype or attribute that its type rule refuses."""


class GradientError(GraphdlError, ValueError):
    """A derivative was asked for that does not exist: not scalar, not floating, not connected."""


class VerificationError(GraphdlError):
    """A graph breaks an invariant; raised by the verifier."""


class ParseError(GraphdlError, ValueError):
    """Text is not a printed graph."""


class CompileError(GraphdlError):
    """A program cannot be compiled as asked: unknown or repeated inputs, unknown passes, clashing names."""


class MemoryLimitError(CompileError):
    """A program cannot be planned within its memory limit, or was called with sizes at which it takes more. In bytes, `limit` is what was asked
    for and `least` what was reached; 0 if that is not known."""

    def __init__(self, message: str, limit: int = 0, least: int = 0) -> None:
        super().__init__(message)
        self.limit = limit
        self.least = least


class BackendError(GraphdlError):
    """A backend failed to make or load code."""


class CallError(GraphdlError, TypeError):
    """A compiled program was called with missing, repeated, unknown or unfit inputs."""


class IndexOutOfRangeError(GraphdlError, IndexError):
    """An index operand (gather, embedding, class target ...) points outside its axis."""


class NonFiniteError(GraphdlError, ArithmeticError):
    """A checked program computed a NaN or an infinity. `node` is the first bad one, `index` the first bad place in its result."""

    def __init__(self, message: str, node: object = None, index: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.node = node
        self.index = index


class FormatError(GraphdlError, ValueError):
    """A file is damaged, foreign or beyond its stated bounds."""


class UnsupportedOpError(FormatError):
    """A model uses ops that graphdl cannot translate; all are listed with their nodes and opsets."""


class ValueNeededError(GraphdlError, ValueError):
    """A size or option follows from the values of a model's inputs, which are known only at a call. `names` are those inputs."""

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


class StateError(GraphdlError, KeyError):
    """A state dictionary has missing, unexpected or misshapen entries; all are listed."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

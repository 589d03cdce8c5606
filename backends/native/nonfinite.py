"""Programs that raise at the first NaN or infinity they compute, before any parameter is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from graphdl.errors import NonFiniteError
from graphdl.kernel.program import Program
from graphdl.lowering import lower_graph

from .codegen.program import Emitted, emit_program
from .culprit import find_culprit
from .executable import NativeProgram
from .llvm import Module
from .making import Making
from .scan import ScanningEntry, launched_steps
from .status import NONFINITE

Array = np.ndarray[Any, Any]


class _BadStep(Exception):
    """Step `number` of a program wrote a value that is not finite."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Watched(Making):
    """Code that scans the results of every step; parameters are written after the last scan."""

    check = "nonfinite"

    @cached_property
    def program(self) -> Program:
        return lower_graph(self.compilation.compiled, updates_last=True)

    def emit(self, written: Callable[[Module], None]) -> Emitted:
        return emit_program(self.program, self.target, self.size_names, ScanningEntry, written, self.chooser)


class CheckedProgram(NativeProgram):
    """A native program whose steps' results are scanned as they are written."""

    making = Watched

    def bind(self, checked: Callable[..., Any]) -> Callable[..., Any]:
        """The native call. A call that found a bad value has written no parameter: it is made again where its arrays are known."""
        native = super().bind(checked)

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return native(*arguments, **named)
            except _BadStep:
                return checked(*arguments, **named)

        return call

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The visible results. Raises NonFiniteError that names the first bad node; parameters are as before then."""
        try:
            return super().run(arrays)
        except _BadStep as bad:
            number = bad.number
        self._explain(number, arrays)

    def _fail(self, status: int) -> None:
        if status >= NONFINITE:
            raise _BadStep(status - NONFINITE)
        super()._fail(status)

    def _explain(self, number: int, arrays: Sequence[Array]) -> NoReturn:
        sizes = self.compilation.signature.bind(arrays)
        steps = launched_steps(self.emitted.launches)
        culprit = find_culprit(self.compilation.compiled.graph, steps, number, arrays, sizes)
        raise NonFiniteError(culprit.message, culprit.node, culprit.index)

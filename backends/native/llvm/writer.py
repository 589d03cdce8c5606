"""A function's text: a tree of scopes, blocks, and loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .types import I1, Type, Value

if TYPE_CHECKING:
    from .module import Module


class Scope:
    """A straight stretch of code with nested loops; what is emitted here dominates what is emitted later and inside."""

    __slots__ = ("lines", "memo", "parent")

    def __init__(self, parent: Scope | None = None) -> None:
        self.lines: list[str | Scope] = []
        self.memo: dict[object, Value] = {}
        self.parent = parent

    def write(self, out: list[str]) -> None:
        for line in self.lines:
            if isinstance(line, str):
                out.append(line)
            else:
                line.write(out)


class Loop:
    """An open counted loop: `index`, the `carried` values of this iteration, and what the body sets as `next`."""

    __slots__ = ("carried", "index", "next")

    def __init__(self, index: Value, carried: list[Value]) -> None:
        self.index = index
        self.carried = carried
        self.next: list[Value] = list(carried)


class Writer:
    """The blocks of one function: lines are written into the open scope."""

    def __init__(self, module: Module, name: str, parameters: tuple[tuple[str, Type], ...], returns: Type | None, linkage: str, attributes: str) -> None:
        self.module = module
        self.name = name
        self.returns = returns
        self.linkage = linkage
        self.attributes = attributes
        self.parameters = [Value(f"%{parameter}", type) for parameter, type in parameters]
        self.root = Scope()
        self.scope = self.root
        self._names = 0

    def __str__(self) -> str:
        lines: list[str] = []
        self.root.write(lines)
        returns = self.returns.text if self.returns else "void"
        parameters = ", ".join(value.typed for value in self.parameters)
        linkage = f"{self.linkage} " if self.linkage else ""
        attributes = " ".join(part for part in (self.module.function_attributes, self.attributes) if part)
        return "\n".join([f"define {linkage}{returns} @{self.name}({parameters}) {attributes} {{", "entry:", *lines, "}"])

    def fresh(self, stem: str = "v") -> str:
        self._names += 1
        return f"{stem}{self._names}"

    def void(self, text: str) -> None:
        self.scope.lines.append("  " + text)

    def emit(self, type: Type, text: str) -> Value:
        name = "%" + self.fresh()
        self.scope.lines.append(f"  {name} = {text}")
        return Value(name, type)

    def label(self, name: str) -> None:
        """Begin the block `name`; the block before must have been ended by a branch."""
        self.scope.lines.append(f"{name}:")

    def branch(self, label: str) -> None:
        self.void(f"br label %{label}")

    def branch_if(self, condition: Value, then: str, otherwise: str) -> None:
        self.void(f"br i1 {condition.text}, label %{then}, label %{otherwise}")

    def ret(self, value: Value | None = None) -> None:
        self.void(f"ret {value.typed}" if value else "ret void")

    @contextmanager
    def at(self, scope: Scope) -> Iterator[None]:
        """Emit into an enclosing `scope` for a while: the code lands before the loop that is open there."""
        saved, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = saved

    @contextmanager
    def apart(self) -> Iterator[None]:
        """A scope of its own in the same block: expressions are computed here anew, as at another point than before.

        Nothing may be emitted into the scope around it meanwhile: that would come after it.
        """
        scope = Scope(self.scope)
        self.scope.lines.append(scope)
        with self.at(scope):
            yield

    @contextmanager
    def loop(self, begin: Value, end: Value, step: Value | int = 1, carried: Sequence[Value] = ()) -> Iterator[Loop]:
        """`for (index = begin; index < end; index += step)`, signed. After it, `Loop.carried` holds the final values."""
        name = self.fresh("L")
        step_value = begin.type.const(step) if isinstance(step, int) else step
        index = Value(f"%{name}.i", begin.type)
        phis = [Value(f"%{name}.c{k}", value.type) for k, value in enumerate(carried)]
        outer, inner = self.scope, Scope(self.scope)
        opened = Loop(index, phis)
        self.scope = inner
        try:
            yield opened
        finally:
            self.scope = outer
        self.branch(f"{name}.pre")
        self.label(f"{name}.pre")
        self.branch(f"{name}.head")
        self.label(f"{name}.head")
        self.void(f"{index.text} = phi {begin.type.text} [ {begin.text}, %{name}.pre ], [ %{name}.n, %{name}.latch ]")
        for phi, first, following in zip(phis, carried, opened.next, strict=True):
            self.void(f"{phi.text} = phi {phi.type.text} [ {first.text}, %{name}.pre ], [ {following.text}, %{name}.latch ]")
        self.void(f"%{name}.t = icmp slt {index.typed}, {end.text}")
        self.branch_if(Value(f"%{name}.t", I1), f"{name}.body", f"{name}.exit")
        self.label(f"{name}.body")
        outer.lines.append(inner)
        self.branch(f"{name}.latch")
        self.label(f"{name}.latch")
        self.void(f"%{name}.n = add nsw {index.typed}, {step_value.text}")
        self.branch(f"{name}.head")
        self.label(f"{name}.exit")

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Emit a body that runs only if the scalar i1 `condition` holds. Values made inside must not be used after it."""
        name = self.fresh("I")
        outer, inner = self.scope, Scope(self.scope)
        self.scope = inner
        try:
            yield
        finally:
            self.scope = outer
        self.branch_if(condition, f"{name}.then", f"{name}.end")
        self.label(f"{name}.then")
        outer.lines.append(inner)
        self.branch(f"{name}.end")
        self.label(f"{name}.end")

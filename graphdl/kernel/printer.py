"""Expressions and kernels as text."""

from __future__ import annotations

import textwrap

from .expression import Buffer, Const, Expr, Guard, Index, IndexValue, Load, Reduce, Scalar, Variable
from .program import Branch, Control, Kernel, Loop, Program, Scatter, Step


def format_expression(x: Expr) -> str:
    """An expression on one line, with everything spelled out."""
    if isinstance(x, Const):
        return str(x.value)
    if isinstance(x, Variable):
        return f"${x.position}"
    if isinstance(x, IndexValue):
        return f"[{x.index}]"
    if isinstance(x, Load):
        return format_place(x.buffer, x.index)
    if isinstance(x, Guard):
        return f"({format_expression(x.body)} if {format_expression(x.predicate)} else {format_expression(x.otherwise)})"
    if isinstance(x, Reduce):
        axes = ", ".join(f"{axis.key} < {axis.size}" for axis in x.reduced)
        return f"{x.kind}({axes}: {format_expression(x.body)})"
    assert isinstance(x, Scalar)
    name = x.dtype if x.function == "cast" else x.function
    return f"{name}({', '.join(map(format_expression, x.operands))})"


def format_place(buffer: Buffer, index: Index) -> str:
    """An element of a buffer; where that is a part of its storage, behind the place of the part."""
    shift = "" if buffer.offset == 0 else f"{buffer.offset}: "
    return f"{buffer.storage.name}[{shift}{', '.join(map(str, index))}]"


def format_control(step: Control) -> str:
    """A loop or a branch, with its parts indented."""
    first, *others = (textwrap.indent("\n".join(_lines(part)), "  ") for part in step.parts)
    if isinstance(step, Loop):
        return f"for {step.counter} < {step.length}:\n{first}"
    predicate = format_place(step.predicate, ())  # type: ignore[attr-defined]
    if isinstance(step, Branch):
        return f"if {predicate}:\n{first}\nelse:\n{others[0]}"
    return f"repeat\n{first}\nwhile {predicate}:\n{others[0]}"


def format_step(step: Step) -> str:
    """A step as loops and assignments."""
    if isinstance(step, Control):
        return format_control(step)
    head = f"{step.name}({', '.join(f'{axis.key} < {axis.size}' for axis in step.axes)})"
    if isinstance(step, Kernel):
        lines = [f"  {format_place(s.buffer, s.index)} := {format_expression(s.value)}" for s in step.stores]
        return "\n".join([head, *lines])
    target = format_place(step.buffer, step.index)
    if isinstance(step, Scatter):
        return f"{head}\n  {target} {step.kind}= {format_expression(step.value)}"
    how = "exclusive " if step.exclusive else ""
    factor = "" if step.factor is None else f"{format_expression(step.factor)} * before, "
    return f"{head}\n  {target} := {how}cumulative {step.kind} along {step.axes[1].key} of {factor}{format_expression(step.value)}"


def format_program(program: Program) -> str:
    """Every buffer and step."""
    return "\n".join(_lines(program))


def _lines(program: Program) -> list[str]:
    groups = ("inputs", "parameters", "constants", "temporaries", "outputs")
    buffers = [f"{buffer.storage.kind} {buffer}" for group in groups for buffer in getattr(program, group)]
    return [*buffers, *map(format_step, program.steps)]

"""Expressions and kernels as text."""

from __future__ import annotations

from .expression import Const, Expr, Guard, IndexValue, Load, Reduce, Scalar, Variable
from .program import Kernel, Program, Scatter, Step


def format_expression(x: Expr) -> str:
    """An expression on one line, with everything spelled out."""
    if isinstance(x, Const):
        return str(x.value)
    if isinstance(x, Variable):
        return f"${x.position}"
    if isinstance(x, IndexValue):
        return f"[{x.index}]"
    if isinstance(x, Load):
        return f"{x.buffer.name}[{', '.join(map(str, x.index))}]"
    if isinstance(x, Guard):
        return f"({format_expression(x.body)} if {format_expression(x.predicate)} else {format_expression(x.otherwise)})"
    if isinstance(x, Reduce):
        axes = ", ".join(f"{axis.key} < {axis.size}" for axis in x.reduced)
        return f"{x.kind}({axes}: {format_expression(x.body)})"
    assert isinstance(x, Scalar)
    name = x.dtype if x.function == "cast" else x.function
    return f"{name}({', '.join(map(format_expression, x.operands))})"


def format_step(step: Step) -> str:
    """A step as loops and assignments."""
    head = f"{step.name}({', '.join(f'{axis.key} < {axis.size}' for axis in step.axes)})"
    if isinstance(step, Kernel):
        lines = [f"  {s.buffer.name}[{', '.join(map(str, s.index))}] := {format_expression(s.value)}" for s in step.stores]
        return "\n".join([head, *lines])
    target = f"{step.buffer.name}[{', '.join(map(str, step.index))}]"
    if isinstance(step, Scatter):
        return f"{head}\n  {target} {step.kind}= {format_expression(step.value)}"
    how = "exclusive " if step.exclusive else ""
    factor = "" if step.factor is None else f"{format_expression(step.factor)} * before, "
    return f"{head}\n  {target} := {how}cumulative {step.kind} along {step.axes[1].key} of {factor}{format_expression(step.value)}"


def format_program(program: Program) -> str:
    """Every buffer and step."""
    groups = ("inputs", "parameters", "constants", "temporaries", "outputs")
    buffers = [f"{buffer.storage.kind} {buffer}" for group in groups for buffer in getattr(program, group)]
    return "\n".join([*buffers, *map(format_step, program.steps)])

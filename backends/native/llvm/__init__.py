"""A small writer of textual LLVM IR.

Text goes through LLVM's own parser, which is several times faster than building an object per instruction in Python,
and what is written here is what a person reads in `Executable.llvm_ir()`.

A `Function` holds a tree of scopes. A loop opens a child scope; while the child is open, code may still be emitted into
any enclosing scope, where it lands before the loop. Hoisting loop-invariant code is therefore a matter of choosing the scope.
"""

from .module import Function, Module
from .types import BF16, F16, F32, F64, I1, I8, I16, I32, I64, PTR, Type, Value
from .writer import Loop, Scope

__all__ = ["BF16", "F16", "F32", "F64", "I1", "I8", "I16", "I32", "I64", "PTR", "Function", "Loop", "Module", "Scope", "Type", "Value"]

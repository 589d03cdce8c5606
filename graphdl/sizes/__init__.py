"""Symbolic sizes: integer polynomials over named symbols, with floor division, modulo, minimum and maximum as atoms.

The same algebra serves tensor shapes and the index maps of the kernel language, where loop axes are atoms with a known
range. It is written here, not with sympy, because it stands on the path of every cold start: importing sympy alone takes
longer than declaring, differentiating and loading a cached program. `Size.sympy()` gives the sympy expression.

A size is a plain `int` where it is known; `Size` objects always hold at least one atom. Every symbol is a natural number.
"""

from .conversion import from_sympy, to_sympy
from .division import Combined, ceildiv, divide, divides, floordiv, is_nonnegative, maximum, minimum, mod, upper_bound
from .polynomial import (
    Atom,
    Dim,
    Monomial,
    Size,
    Substitution,
    SymbolAtom,
    as_size,
    atoms_of,
    bind,
    content,
    evaluate,
    linear_in,
    product,
    substitute,
    symbol,
    symbols_of,
    terms_of,
)

__all__ = [
    "Atom", "Combined", "Dim", "Monomial", "Size", "Substitution", "SymbolAtom", "as_size", "atoms_of", "bind", "ceildiv", "content", "divide", "divides",
    "evaluate", "floordiv", "from_sympy", "is_nonnegative", "linear_in", "maximum", "minimum", "mod", "product", "substitute", "symbol", "symbols_of",
    "terms_of", "to_sympy", "upper_bound",
]  # fmt: skip

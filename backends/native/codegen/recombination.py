"""Indices that were taken apart and put together again: 9 * (k // 9) + 3 * (k // 3 % 3) + k % 3 is k."""

from __future__ import annotations

from graphdl.kernel.expression import Expr, Load, load, transform
from graphdl.sizes import Combined, Dim, as_size, floordiv, product, terms_of


def recombined_loads(root: Expr) -> Expr:
    """The expression with the offsets of its loads recombined."""

    def leaf(x: Expr) -> Expr | None:
        return load(x.buffer, tuple(recombined(part) for part in x.index)) if isinstance(x, Load) else None

    return transform(root, leaf)


def recombined(index: Dim) -> Dim:
    """`index` with every c * (x % b) + c * b * (x // b) written as c * x."""
    for monomial, factor in terms_of(index):
        for k, atom in enumerate(monomial):
            if not isinstance(atom, Combined) or atom.function != "mod":
                continue
            others = product(map(as_size, monomial[:k] + monomial[k + 1 :])) * factor
            quotient = floordiv(atom.left, atom.right) * atom.right * others
            if set(terms_of(quotient)) <= set(terms_of(index)):
                return recombined(index - quotient + others * (atom.left - as_size(atom)))
    return index

"""Integer polynomials over atoms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    import sympy

Dim = Union[int, "Size"]
Monomial = tuple["Atom", ...]


class Atom:
    """Something that stands for one integer in a polynomial. Atoms are equal when their keys are."""

    __slots__ = ("_hash", "key")
    closed = True  # whether `atoms` names all that it depends on

    def __init__(self, key: str) -> None:
        self.key = key
        self._hash = hash(key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Atom) and self.key == other.key)

    def __repr__(self) -> str:
        return self.key

    def upper(self) -> Dim | None:
        """The largest value that can be stated, or None."""
        return None

    def is_nonnegative(self) -> bool:
        """Whether it is known not to be negative; symbols and axes never are."""
        return True

    def substitute(self, values: Substitution) -> Dim:
        found = values.get(self)
        return as_size(self) if found is None else found

    def atoms(self) -> Iterable[Atom]:
        yield self

    def sympy(self) -> sympy.Expr:
        raise NotImplementedError


class SymbolAtom(Atom):
    """A named size that a call will bind."""

    __slots__ = ()

    def sympy(self) -> sympy.Expr:
        import sympy

        return sympy.Symbol(self.key, integer=True, positive=True)


class Size:
    """An integer polynomial with at least one atom. Immutable; equal when the polynomials are."""

    __slots__ = ("_atoms", "_hash", "nonnegative", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash: int | None = None  # found when it is asked for: most sizes are steps on the way to others
        self._atoms: tuple[Atom, ...] | None = None
        self.nonnegative: bool | None = None  # what `is_nonnegative` found

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """Every atom, those inside divisions and moduli too, in order of appearance."""
        if self._atoms is None:
            self._atoms = tuple(inner for monomial, _ in self.terms for atom in monomial for inner in atom.atoms())
        return self._atoms

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.terms)
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Size) and len(self.terms) == len(other.terms) and self.terms == other.terms)

    def __add__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return self if other == 0 else self._plus(other)
        if not isinstance(other, Size):
            return NotImplemented
        return _combine(self.terms, other.terms)

    __radd__ = __add__

    def _plus(self, number: int) -> Size:
        """With a number added to the last term, which is the one without atoms if there is one."""
        monomial, constant = self.terms[-1]
        kept, total = (self.terms, number) if monomial else (self.terms[:-1], constant + number)
        return Size((*kept, ((), total)) if total else kept)

    def __neg__(self) -> Size:
        return Size(tuple((monomial, -coefficient) for monomial, coefficient in self.terms))

    def __sub__(self, other: Dim) -> Dim:
        return self + (-other)

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            if other == 0:
                return 0
            return self if other == 1 else Size(tuple((m, c * other) for m, c in self.terms))
        if not isinstance(other, Size):
            return NotImplemented
        products = [(_sorted(m1 + m2), c1 * c2) for m1, c1 in self.terms for m2, c2 in other.terms]
        return collect(products)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return division.floordiv(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return division.floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return division.mod(self, other)

    def __rmod__(self, other: Dim) -> Dim:
        return division.mod(other, self)

    def __index__(self) -> int:
        raise TypeError(f"size {self} is symbolic: its value is known only when the program is called")

    def __repr__(self) -> str:
        parts: list[str] = []
        for monomial, coefficient in self.terms:
            body = "*".join(atom.key for atom in monomial)
            sign = "-" if coefficient < 0 else "+"
            size = abs(coefficient)
            text = (body if size == 1 else f"{size}*{body}") if body else str(size)
            parts.append((sign if parts else "-" if sign == "-" else "") + text)
        return "".join(parts)

    def sympy(self) -> sympy.Expr:
        """The same polynomial as a sympy expression over positive integer symbols."""
        from .conversion import to_sympy

        return to_sympy(self)


def symbol(name: str) -> Size:
    """The symbolic size `name`; the same name is the same size everywhere."""
    return Size((((SymbolAtom(name),), 1),))


def as_size(atom: Atom) -> Size:
    """The polynomial that is one atom."""
    return Size((((atom,), 1),))


def _sorted(monomial: Monomial) -> Monomial:
    return tuple(sorted(monomial, key=lambda atom: atom.key)) if len(monomial) > 1 else monomial


def _order(term: tuple[Monomial, int]) -> tuple[int, list[str]]:
    return (-len(term[0]), [atom.key for atom in term[0]])


def collect(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    """The sum of terms: equal monomials added up, an int if no atom is left."""
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    kept = [(monomial, coefficient) for monomial, coefficient in total.items() if coefficient]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Size(tuple(sorted(kept, key=_order) if len(kept) > 1 else kept))


def _combine(left: tuple[tuple[Monomial, int], ...], right: tuple[tuple[Monomial, int], ...]) -> Dim:
    return collect(left + right)


def terms_of(size: Dim) -> tuple[tuple[Monomial, int], ...]:
    """The terms of a size: (monomial, coefficient) pairs; none for 0."""
    return size.terms if isinstance(size, Size) else (((), size),) if size else ()


def content(size: Dim) -> int:
    """The largest number that divides every coefficient; 0 for 0."""
    return math.gcd(*(coefficient for _, coefficient in terms_of(size)))


def linear_in(size: Dim, atom: Atom) -> tuple[Dim, Dim] | None:
    """(coefficient, rest) with size == coefficient * atom + rest, in the terms of which it stands; None if it does so twice."""
    coefficient: list[tuple[Monomial, int]] = []
    rest: list[tuple[Monomial, int]] = []
    for monomial, factor in terms_of(size):
        others = tuple([one for one in monomial if one is not atom and one != atom])
        if len(others) < len(monomial) - 1:
            return None
        (coefficient if len(others) < len(monomial) else rest).append((others, factor))
    return collect(coefficient), size if not coefficient else collect(rest)


def atoms_of(size: Dim) -> tuple[Atom, ...]:
    """Every atom in `size`, those inside divisions and moduli too, in order of appearance."""
    return size.atoms if isinstance(size, Size) else ()


def symbols_of(size: Dim) -> set[str]:
    """The names of all symbols in a size."""
    return {atom.key for atom in atoms_of(size) if isinstance(atom, SymbolAtom)}


class Substitution(dict[Atom, Dim]):
    """What takes the place of atoms. Divisions and the like enter what became of them, as the same ones stand in many indices."""

    def touches(self, size: Size) -> bool:
        """Whether anything in `size` is replaced."""
        return any(atom in self or not atom.closed for atom in size.atoms)


def substitute(size: Dim, values: Mapping[Atom, Dim]) -> Dim:
    """`size` with atoms replaced, simplified again. Give a `Substitution` where many sizes get the same."""
    known = values if isinstance(values, Substitution) else Substitution(values)
    if isinstance(size, int) or not known.touches(size):
        return size
    total: Dim = 0
    for monomial, coefficient in size.terms:
        term: Dim = coefficient
        for atom in monomial:
            term = term * atom.substitute(known)
        total = total + term
    return total


def bind(size: Dim, sizes: Mapping[str, int]) -> Dim:
    """`size` with symbols given by name replaced by numbers."""
    return size if isinstance(size, int) else substitute(size, {SymbolAtom(name): value for name, value in sizes.items()})


def evaluate(size: Dim, sizes: Mapping[str, int]) -> int:
    """The number that `size` is for these symbols. Raises KeyError naming a symbol that is missing."""
    value = bind(size, sizes)
    if isinstance(value, int):
        return value
    raise KeyError(", ".join(sorted(symbols_of(value))))


def product(sizes: Iterable[Dim]) -> Dim:
    """The product of sizes; 1 of none."""
    total: Dim = 1
    for size in sizes:
        total = total * size
    return total


from . import division  # noqa: E402  (polynomials and division are one algebra in two files)

"""Symbolic sizes: integer polynomials over named symbols, with floor division, modulo, minimum and maximum as atoms.

The same algebra serves tensor shapes and the index maps of the kernel language, where loop axes are atoms with a known
range. It is written here, not with sympy, because it stands on the path of every cold start: importing sympy alone takes
longer than declaring, differentiating and loading a cached program. `Size.sympy()` gives the sympy expression.

A size is a plain `int` where it is known; `Size` objects always hold at least one atom. Every symbol is a natural number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import sympy

Dim = Union[int, "Size"]
Monomial = tuple["Atom", ...]


class Atom:
    """Something that stands for one integer in a polynomial. Atoms are equal when their keys are."""

    __slots__ = ("_hash", "key")

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

    def substitute(self, values: Mapping[Atom, Dim]) -> Dim:
        return values.get(self, as_size(self))

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


class Combined(Atom):
    """A function of two sizes that is no polynomial: floor division, modulo, minimum or maximum."""

    __slots__ = ("function", "left", "right")

    def __init__(self, function: str, left: Dim, right: Dim) -> None:
        super().__init__(_FORMATS[function].format(_bracketed(left), _bracketed(right)))
        self.function = function
        self.left = left
        self.right = right

    def upper(self) -> Dim | None:
        if self.function == "mod":
            return self.right - 1
        if self.function == "min":
            return upper_bound(self.left)
        above = upper_bound(self.left)
        if self.function == "floordiv":
            return None if above is None else above // self.right
        return None

    def is_nonnegative(self) -> bool:
        if self.function == "mod":
            return True
        if self.function == "max":
            return is_nonnegative(self.left) or is_nonnegative(self.right)
        return is_nonnegative(self.left) and (self.function == "floordiv" or is_nonnegative(self.right))

    def substitute(self, values: Mapping[Atom, Dim]) -> Dim:
        return _FUNCTIONS[self.function](substitute(self.left, values), substitute(self.right, values))

    def atoms(self) -> Iterable[Atom]:
        yield self
        for side in (self.left, self.right):
            yield from atoms_of(side)

    def sympy(self) -> sympy.Expr:
        import sympy

        left, right = to_sympy(self.left), to_sympy(self.right)
        if self.function == "floordiv":
            return sympy.floor(left / right)
        return {"mod": sympy.Mod, "min": sympy.Min, "max": sympy.Max}[self.function](left, right)


class Size:
    """An integer polynomial with at least one atom. Immutable; equal when the polynomials are."""

    __slots__ = ("_hash", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Size) and self._hash == other._hash and self.terms == other.terms)

    def __add__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return self if other == 0 else _combine(self.terms, (((), other),))
        return _combine(self.terms, other.terms)

    __radd__ = __add__

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
        products = [(_sorted(m1 + m2), c1 * c2) for m1, c1 in self.terms for m2, c2 in other.terms]
        return _collect(products)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return mod(self, other)

    def __rmod__(self, other: Dim) -> Dim:
        return mod(other, self)

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


def _collect(terms: Iterable[tuple[Monomial, int]]) -> Dim:
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
    return _collect(left + right)


def terms_of(size: Dim) -> tuple[tuple[Monomial, int], ...]:
    """The terms of a size: (monomial, coefficient) pairs; none for 0."""
    return size.terms if isinstance(size, Size) else (((), size),) if size else ()


def atoms_of(size: Dim) -> Iterable[Atom]:
    """Every atom in `size`, those inside divisions and moduli too, in order of appearance."""
    for monomial, _ in terms_of(size):
        for atom in monomial:
            yield from atom.atoms()


def symbols_of(size: Dim) -> set[str]:
    """The names of all symbols in a size."""
    return {atom.key for atom in atoms_of(size) if isinstance(atom, SymbolAtom)}


def upper_bound(size: Dim) -> Dim | None:
    """`size` with every ranged atom at its end, or None where no bound can be stated."""
    if isinstance(size, int):
        return size
    total: Dim = 0
    for monomial, coefficient in size.terms:
        if coefficient < 0 and any(not isinstance(atom, SymbolAtom) for atom in monomial):
            if not _is_natural(monomial):
                return None
            continue  # at most zero
        above = _upper(monomial)
        if above is None:
            return None
        total = total + above * coefficient
    return total


def is_nonnegative(size: Dim) -> bool:
    """Whether `size >= 0` for every value of its atoms, as far as can be proved by signs and bounds of the terms."""
    if isinstance(size, int):
        return size >= 0
    if _has_natural_terms(size):
        return True
    below: Dim = 0
    for monomial, coefficient in size.terms:
        if coefficient > 0:
            if not _is_natural(monomial):
                return False
            if all(isinstance(atom, SymbolAtom) for atom in monomial):
                below = below + _collect([(monomial, coefficient)])
            continue
        above = _upper(monomial)
        if above is None:
            return False
        below = below + above * coefficient
    return _has_natural_terms(below)


def _has_natural_terms(size: Dim) -> bool:
    return all(coefficient >= 0 and _is_natural(monomial) for monomial, coefficient in terms_of(size))


def _is_natural(monomial: Monomial) -> bool:
    return all(atom.is_nonnegative() for atom in monomial)


def _upper(monomial: Monomial) -> Dim | None:
    """A bound of a product: of the atoms' bounds, if none of several can be negative."""
    if len(monomial) > 1 and not _is_natural(monomial):
        return None
    total: Dim = 1
    for atom in monomial:
        above = as_size(atom) if isinstance(atom, SymbolAtom) else atom.upper()
        if above is None:
            return None
        total = total * above
    return total


def floordiv(left: Dim, right: Dim) -> Dim:
    """`left // right`, taken apart as far as ranges allow. `right` is positive."""
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    if right == 1:
        return left
    if left == right:
        return 1
    quotient, rest = divide(left, right)
    if rest == 0 or (is_nonnegative(rest) and _is_below(rest, right)):
        return quotient
    if isinstance(rest, Size) and len(rest.terms) == 1 and len(rest.terms[0][0]) == 1 and isinstance(right, int):
        atom = rest.terms[0][0][0]
        if isinstance(atom, Combined) and atom.function == "floordiv" and rest.terms[0][1] == 1 and isinstance(atom.right, int):
            return quotient + floordiv(atom.left, atom.right * right)
    return quotient + as_size(Combined("floordiv", rest, right))


def mod(left: Dim, right: Dim) -> Dim:
    """`left % right`, taken apart as far as ranges allow. `right` is positive."""
    if isinstance(left, int) and isinstance(right, int):
        return left % right
    if right == 1 or left == right:
        return 0
    _, rest = divide(left, right)
    if rest == 0 or (is_nonnegative(rest) and _is_below(rest, right)):
        return rest
    return as_size(Combined("mod", rest, right))


def minimum(left: Dim, right: Dim) -> Dim:
    """The smaller of two sizes, decided now if signs of coefficients tell."""
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    if is_nonnegative(right - left):
        return left
    if is_nonnegative(left - right):
        return right
    return as_size(Combined("min", left, right))


def maximum(left: Dim, right: Dim) -> Dim:
    """The larger of two sizes, decided now if signs of coefficients tell."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    if is_nonnegative(left - right):
        return left
    if is_nonnegative(right - left):
        return right
    return as_size(Combined("max", left, right))


def ceildiv(left: Dim, right: Dim) -> Dim:
    """`left / right`, rounded up."""
    return floordiv(left + right - 1, right)


def divide(left: Dim, right: Dim) -> tuple[Dim, Dim]:
    """Quotient and rest of polynomial division by a monomial `right`: left == quotient * right + rest."""
    divisor = terms_of(right)
    if len(divisor) != 1:
        return (1, 0) if left == right else _divide_polynomial(left, right)
    ((monomial, coefficient),) = divisor
    quotient: list[tuple[Monomial, int]] = []
    rest: list[tuple[Monomial, int]] = []
    for m, c in terms_of(left):
        remaining = _without(m, monomial)
        if remaining is None:
            rest.append((m, c))
        elif c % coefficient == 0:
            quotient.append((remaining, c // coefficient))
        else:
            whole = c // coefficient
            if whole:
                quotient.append((remaining, whole))
            rest.append((m, c - whole * coefficient))
    return _collect(quotient), _collect(rest)


def divides(right: Dim, left: Dim) -> Dim | None:
    """The quotient when `right` divides `left` exactly for every value of the symbols, else None."""
    quotient, rest = divide(left, right)
    return quotient if rest == 0 else None


def _divide_polynomial(left: Dim, right: Dim) -> tuple[Dim, Dim]:
    """Division by a sum: by its leading term, as long as that takes the rest down."""
    quotient: Dim = 0
    rest = left
    lead_monomial, lead = terms_of(right)[0]
    for _ in range(8):
        head = terms_of(rest)
        if not head:
            break
        remaining = _without(head[0][0], lead_monomial)
        if remaining is None or head[0][1] % lead:
            break
        factor = _collect([(remaining, head[0][1] // lead)])
        quotient = quotient + factor
        rest = rest - factor * right
    return (quotient, rest) if rest == 0 else (0, left)


def _without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    left = list(monomial)
    for atom in divisor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _is_below(size: Dim, bound: Dim) -> bool:
    above = upper_bound(size)
    return above is not None and is_nonnegative(bound - 1 - above)


def substitute(size: Dim, values: Mapping[Atom, Dim]) -> Dim:
    """`size` with atoms replaced, simplified again."""
    if isinstance(size, int):
        return size
    total: Dim = 0
    for monomial, coefficient in size.terms:
        term: Dim = coefficient
        for atom in monomial:
            term = term * atom.substitute(values)
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


def to_sympy(size: Dim) -> sympy.Expr:
    """A size as a sympy expression over positive integer symbols."""
    import sympy

    total: Any = sympy.Integer(0)
    for monomial, coefficient in terms_of(size):
        total += coefficient * sympy.Mul(*(atom.sympy() for atom in monomial))
    return total


def from_sympy(expression: Any) -> Dim:
    """A size from a sympy integer expression made of symbols, sums, products, natural powers, floor, Mod, Min and Max."""
    import sympy

    if expression.is_Integer:
        return int(expression)
    if expression.is_Symbol:
        return symbol(expression.name)
    arguments = expression.args
    if expression.is_Add:
        return sum((from_sympy(a) for a in arguments), 0)
    if expression.is_Mul:
        return product(from_sympy(a) for a in arguments)
    if expression.is_Pow and arguments[1].is_Integer and arguments[1] > 0:
        return product([from_sympy(arguments[0])] * int(arguments[1]))
    if isinstance(expression, sympy.floor):
        numerator, denominator = sympy.fraction(sympy.together(arguments[0]))
        return floordiv(from_sympy(numerator), from_sympy(denominator))
    for kind, function in ((sympy.Mod, mod), (sympy.Min, minimum), (sympy.Max, maximum)):
        if isinstance(expression, kind) and len(arguments) == 2:
            return function(from_sympy(arguments[0]), from_sympy(arguments[1]))
    raise ValueError(f"{expression} is not a size: only sums, products, floor, Mod, Min and Max of integer symbols are")


def _bracketed(size: Dim) -> str:
    text = str(size)
    return text if text.isidentifier() or text.isdigit() else f"({text})"


_FORMATS = {"floordiv": "({}//{})", "mod": "({}%{})", "min": "min({},{})", "max": "max({},{})"}
_FUNCTIONS: dict[str, Callable[[Dim, Dim], Dim]] = {"floordiv": floordiv, "mod": mod, "min": minimum, "max": maximum}

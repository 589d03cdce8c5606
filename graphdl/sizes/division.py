"""Floor division, modulo, minimum and maximum of sizes, taken apart as far as the ranges of atoms allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .polynomial import Atom, Dim, Monomial, Size, Substitution, SymbolAtom, as_size, atoms_of, collect, substitute, terms_of

if TYPE_CHECKING:
    import sympy


class Combined(Atom):
    """A function of two sizes that is no polynomial: floor division, modulo, minimum or maximum."""

    __slots__ = ("_above", "_natural", "function", "left", "right")

    def __init__(self, function: str, left: Dim, right: Dim) -> None:
        super().__init__(_FORMATS[function].format(_bracketed(left), _bracketed(right)))
        self.function = function
        self.left = left
        self.right = right
        # Bounds of nested divisions ask for those inside again and again, so each is found once. Not by key: an axis' range is no part of it.
        self._above: Dim | bool | None = False
        self._natural: bool | None = None

    def upper(self) -> Dim | None:
        if self._above is False:
            self._above = self._upper()
        return self._above

    def _upper(self) -> Dim | None:
        if self.function == "mod":
            return self.right - 1
        if self.function == "min":
            return upper_bound(self.left)
        above = upper_bound(self.left)
        if self.function == "floordiv":
            return None if above is None else above // self.right
        return None

    def is_nonnegative(self) -> bool:
        if self._natural is None:
            self._natural = self._is_nonnegative()
        return self._natural

    def _is_nonnegative(self) -> bool:
        if self.function == "mod":
            return True
        if self.function == "max":
            return is_nonnegative(self.left) or is_nonnegative(self.right)
        return is_nonnegative(self.left) and (self.function == "floordiv" or is_nonnegative(self.right))

    def substitute(self, values: Substitution) -> Dim:
        if self not in values:
            left, right = substitute(self.left, values), substitute(self.right, values)
            same = left is self.left and right is self.right
            values[self] = as_size(self) if same else _FUNCTIONS[self.function](left, right)
        return values[self]

    def atoms(self) -> Iterable[Atom]:
        yield self
        for side in (self.left, self.right):
            yield from atoms_of(side)

    def sympy(self) -> sympy.Expr:
        import sympy

        from .conversion import to_sympy

        left, right = to_sympy(self.left), to_sympy(self.right)
        if self.function == "floordiv":
            return sympy.floor(left / right)
        return {"mod": sympy.Mod, "min": sympy.Min, "max": sympy.Max}[self.function](left, right)


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
    if size.nonnegative is None:
        size.nonnegative = _is_nonnegative(size)
    return size.nonnegative


def _is_nonnegative(size: Size) -> bool:
    if _has_natural_terms(size):
        return True
    below: Dim = 0
    for monomial, coefficient in size.terms:
        if coefficient > 0:
            if not _is_natural(monomial):
                return False
            if all(isinstance(atom, SymbolAtom) for atom in monomial):
                below = below + collect([(monomial, coefficient)])
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
    return collect(quotient), collect(rest)


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
        factor = collect([(remaining, head[0][1] // lead)])
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


def _bracketed(size: Dim) -> str:
    text = str(size)
    return text if text.isidentifier() or text.isdigit() else f"({text})"


_FORMATS = {"floordiv": "({}//{})", "mod": "({}%{})", "min": "min({},{})", "max": "max({},{})"}
_FUNCTIONS: dict[str, Callable[[Dim, Dim], Dim]] = {"floordiv": floordiv, "mod": mod, "min": minimum, "max": maximum}

"""Building formulas in a readable form: signs and divisors stand outside, sums lead with a positive term, ones and double
transposes vanish. The laws are those of real numbers, for reading, not for running."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Sequence

from .sequence import TIME, Stack, at
from .tree import Call, Counter, Fenced, Formula, Fraction, Indexed, MatrixProduct, Name, Negative, Number, OneHot, Over, Product, Relation, Sum, Superscript

ONE = Number("1")
ZERO = Number("0")
_T = Name("T")
_Factors = tuple[bool, list[Formula], list[Formula]]  # whether negative, what is multiplied, what divides


def number(value: object) -> Formula:
    """A number or size, its sign outside."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    whole = isinstance(value, (int, float)) or text[1:].isalnum()
    return Negative(Number(text[1:])) if whole and text.startswith("-") else Number(text)


def call(function: str, *arguments: Formula) -> Formula:
    """A named function of formulas."""
    return Call(function, arguments)


def negate(x: Formula) -> Formula:
    """−x, the sign drawn into a sum that has a term to lead it."""
    if isinstance(x, Negative):
        return x.body
    if isinstance(x, Sum) and any(isinstance(term, Negative) for term in x.terms):
        return add(*map(negate, x.terms))
    return x if x == ZERO else Negative(x)


def add(*terms: Formula) -> Formula:
    """A sum, flat; a divisor that all terms share is taken out."""
    flat = [part for term in terms for part in (term.terms if isinstance(term, Sum) else (term,)) if part != ZERO]
    if len(flat) < 2:
        return flat[0] if flat else ZERO
    times = Counted(flat)
    if len(times) < len(flat):
        return add(*(multiply(Number(str(count)), term) if count > 1 else term for term, count in times.items()))
    split = [_split(term) for term in flat]
    shared = split[0][2]
    if shared and all(bottom == shared for _, _, bottom in split):
        return divide(add(*(_join((sign, top, [])) for sign, top, _ in split)), _join((False, shared, [])))
    lead = next((k for k, term in enumerate(flat) if not isinstance(term, Negative)), 0)
    return Sum((flat[lead], *flat[:lead], *flat[lead + 1 :]))


def subtract(x: Formula, y: Formula) -> Formula:
    """x − y"""
    return add(x, negate(y))


def multiply(x: Formula, y: Formula) -> Formula:
    """x ⊙ y"""
    (left, a, b), (right, c, d) = _split(x), _split(y)
    return ZERO if ZERO in (x, y) else _join((left != right, a + c, b + d))


def divide(x: Formula, y: Formula) -> Formula:
    """x / y"""
    (left, a, b), (right, c, d) = _split(x), _split(y)
    return ZERO if x == ZERO else _join((left != right, a + d, b + c))


def _split(x: Formula) -> _Factors:
    if isinstance(x, Negative):
        sign, top, bottom = _split(x.body)
        return not sign, top, bottom
    if isinstance(x, Fraction):
        (left, a, b), (right, c, d) = _split(x.top), _split(x.bottom)
        return left != right, a + d, b + c
    return False, list(x.factors) if isinstance(x, Product) else [] if x == ONE else [x], []


def _join(factors: _Factors) -> Formula:
    negative, top, bottom = factors
    for common in [x for x in top if isinstance(x, Number) and x in bottom]:
        if common in bottom:
            top.remove(common)
            bottom.remove(common)
    body = _product(top) if not bottom else Fraction(_product(top), _product(bottom))
    return negate(body) if negative else body


def _product(factors: Sequence[Formula]) -> Formula:
    ordered = sorted(factors, key=lambda x: not isinstance(x, Number))
    return ONE if not ordered else ordered[0] if len(ordered) == 1 else Product(tuple(ordered))


def matmul(x: Formula, y: Formula) -> Formula:
    """Matrices side by side; the product is associative, so it is flat. Over the rows of stacks it is a sum over steps."""
    (left, a), (right, b) = _unsigned(x), _unsigned(y)
    rows = a.base if isinstance(a, Superscript) and a.above == _T else None
    if rows is not None and (isinstance(rows, Stack) or isinstance(b, Stack)):
        body = Over("Σ", TIME, MatrixProduct((transposed(at(rows)), at(b))))
        return negate(body) if left != right else body
    factors = tuple(part for side in (a, b) for part in (side.factors if isinstance(side, MatrixProduct) else (side,)))
    return negate(MatrixProduct(factors)) if left != right else MatrixProduct(factors)


def contraction(inputs: Sequence[str], summed: str, output: str, factors: Sequence[Formula]) -> Formula:
    """A sum of products by labels; with an axis t that all factors lead with, matrices are multiplied step by step."""
    if len(factors) == 2 and TIME in summed and all(labels[:1] == TIME for labels in inputs):
        inner = "".join(label for label in summed if label != TIME)
        for turn in (1, -1) if len(inner) == 1 and len(output) == 2 else ():
            wanted = (output[0] + inner, inner + output[1])
            sides = [_oriented(labels[1:], order, at(x)) for labels, order, x in zip(inputs[::turn], wanted, factors[::turn], strict=True)]
            if None not in sides:
                return Over("Σ", TIME, MatrixProduct(tuple(side for side in sides if side is not None)))
    indexed = MatrixProduct(tuple(Indexed(x, tuple(map(Name, labels))) for x, labels in zip(factors, inputs, strict=True)))
    return Over("Σ", summed, indexed) if summed else indexed


def _oriented(labels: str, wanted: str, x: Formula) -> Formula | None:
    return x if labels == wanted else transposed(x) if labels[::-1] == wanted else None


def _unsigned(x: Formula) -> tuple[bool, Formula]:
    return (True, x.body) if isinstance(x, Negative) else (False, x)


def transposed(x: Formula) -> Formula:
    """xᵀ; of a matrix product, the product of the transposes turned round."""
    if isinstance(x, Superscript) and x.above == _T:
        return x.base
    if isinstance(x, Negative):
        return negate(transposed(x.body))
    if isinstance(x, MatrixProduct):
        return MatrixProduct(tuple(transposed(factor) for factor in reversed(x.factors)))
    return x if isinstance(x, Number) else Superscript(x, _T)


def power(x: Formula, y: Formula) -> Formula:
    """x to the power y."""
    return x if y == ONE else Superscript(x, y)


def equal(x: Formula, y: Formula) -> Formula:
    """[x = y]; a comparison with the place along an axis is an indicator vector."""
    if isinstance(x, Counter):
        x, y = y, x
    if isinstance(y, Counter) and not isinstance(x, Counter):
        return OneHot("onehot", (x,), axis=y.axis)
    return related(x, "=", y)


def related(x: Formula, sign: str, y: Formula) -> Formula:
    """[x sign y]: 1 where that holds, else 0."""
    return Fenced("[", Relation(x, sign, y), "]")


def total(axes: Sequence[int], sizes: Sequence[object], index: str, x: Formula) -> Formula:
    """Σ over axes (counted from the last) of these sizes; what is the same along them stands in front."""
    negative, top, bottom = _split(x)
    inner = [part for part in top if not isinstance(part, Number)]
    under = [part for part in bottom if not isinstance(part, Number)]
    front: _Factors = (negative, [part for part in top if isinstance(part, Number)], [part for part in bottom if isinstance(part, Number)])
    if not inner and not under:
        return multiply(_join(front), _product([Number(str(size)) for size in sizes if size != 1]))
    body = _join((False, inner, under))
    if isinstance(body, OneHot) and list(axes) == [body.axis]:
        return _join(front)
    if isinstance(body, Over) and body.sign == "Σ" and not index:  # a sum of sums over all that is left
        body = body.body
    return multiply(_join(front), Over("Σ", index, body))


def reshaped(x: Formula) -> Formula:
    """`x` after its axes moved: what counts places along an axis no longer knows which."""
    if isinstance(x, Counter):
        return Counter(None)
    return OneHot(x.function, x.arguments) if isinstance(x, OneHot) else x


def magnitude(x: Formula) -> Formula:
    """|x|"""
    return Fenced("|", x, "|")


_LETTERS = {"weight": "W", "bias": "b"}


def label_name(label: str) -> Name:
    """The letter for a label: `W1` is W with subscript 1, `encoder.0.weight` W with subscript encoder.0."""
    path, _, last = label.rpartition(".")
    letter = last.rstrip("0123456789")
    if path or not letter or letter.endswith("_"):
        return Name(_LETTERS.get(last, last), path)
    return Name(_LETTERS.get(letter, letter), last[len(letter) :])

"""Building formulas in a readable form: signs and divisors stand outside, sums lead with a positive term, ones and double
transposes vanish. The laws are those of real numbers, for reading, not for running."""

from __future__ import annotations

import functools
import re
from collections import Counter as Counted
from collections.abc import Callable, Sequence

from .arithmetic import Fraction, MatrixProduct, Negative, Over, Product, Sum, Superscript, is_number
from .factors import ONE, ZERO, Factors, joined, product, split
from .sequence import TIME, Stack, at, rewritten
from .tree import Call, Counter, Fenced, Formula, Indexed, Name, Number, OneHot, Relation

TRANSPOSE = Name("T")
CONSTANT = Name("C")  # an array that is no input and no state
_NONE: Formula = ONE  # of a product without factors
_MONOMIAL = re.compile(r"\w+(\*\*?\w+)+")


def number(value: object) -> Formula:
    """A number or size, its sign outside, and a product of sizes as one."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if _MONOMIAL.fullmatch(text):
        return product(power(*map(Number, part.split("^"))) for part in text.replace("**", "^").split("*"))
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
    found = [split(term) for term in flat]
    shared = found[0][2]
    if shared and all(bottom == shared for _, _, bottom in found):
        return divide(add(*(_join((sign, top, [])) for sign, top, _ in found)), _join((False, shared, [])))
    lead = next((k for k, term in enumerate(flat) if not isinstance(term, Negative)), 0)
    return Sum((flat[lead], *flat[:lead], *flat[lead + 1 :]))


def subtract(x: Formula, y: Formula) -> Formula:
    """x − y"""
    return add(x, negate(y))


def multiply(x: Formula, y: Formula) -> Formula:
    """x ⊙ y"""
    (left, a, b), (right, c, d) = split(x), split(y)
    return ZERO if ZERO in (x, y) else _join((left != right, a + c, b + d))


def divide(x: Formula, y: Formula) -> Formula:
    """x / y"""
    (left, a, b), (right, c, d) = split(x), split(y)
    return ZERO if x == ZERO else _join((left != right, a + d, b + c))


def _join(factors: Factors) -> Formula:
    negative, body = joined(factors)
    return negate(body) if negative else body


def matmul(x: Formula, y: Formula) -> Formula:
    """Matrices side by side; the product is associative, so it is flat. Over the rows of stacks it is a sum over steps."""
    if ZERO in (x, y):
        return ZERO
    (left, a), (right, b) = _unsigned(x), _unsigned(y)
    rows = a.base if isinstance(a, Superscript) and a.above == TRANSPOSE else None
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
    if isinstance(x, Superscript) and x.above == TRANSPOSE:
        return x.base
    if isinstance(x, Negative):
        return negate(transposed(x.body))
    if isinstance(x, MatrixProduct):
        return MatrixProduct(tuple(transposed(factor) for factor in reversed(x.factors)))
    if isinstance(x, Over) and x.index == TIME and isinstance(x.body, MatrixProduct):
        return Over(x.sign, x.index, transposed(x.body))
    return x if isinstance(x, Number) else Superscript(x, TRANSPOSE)


def power(x: Formula, y: Formula = ONE) -> Formula:
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
    negative, top, bottom = split(x)
    inner = [part for part in top if not is_number(part)]
    under = [part for part in bottom if not is_number(part)]
    front: Factors = (negative, list(filter(is_number, top)), list(filter(is_number, bottom)))
    if not inner and not under:
        return multiply(_join(front), functools.reduce(multiply, map(number, sizes), _NONE))
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
    """The letter for a label: `W1` is W with subscript 1, `encoder.0.weight` W with subscript encoder.0, `weight_hh_l0` W with subscript hh_l0."""
    path, _, last = label.rpartition(".")
    word, _, rest = last.partition("_")
    if rest and word in _LETTERS:
        return Name(_LETTERS[word], f"{path}.{rest}" if path else rest)
    letter = last.rstrip("0123456789")
    if path or not letter or letter.endswith("_"):
        return Name(_LETTERS.get(last, last), path)
    return Name(_LETTERS.get(letter, letter), last[len(letter) :])


def simplified(x: Formula) -> Formula:
    """`x` built once more, for what was put into it."""
    make = _MAKERS.get(type(x))
    if make is None:
        return rewritten(x, lambda part: None if part is x else simplified(part))
    return make(*map(simplified, x.parts))


_MAKERS: dict[type[Formula], Callable[..., Formula]] = {
    Negative: negate,
    Sum: add,
    Product: lambda *factors: functools.reduce(multiply, factors),
    Fraction: divide,
    MatrixProduct: lambda *factors: functools.reduce(matmul, factors),
    Superscript: lambda base, above: transposed(base) if above == TRANSPOSE else power(base, above),
}

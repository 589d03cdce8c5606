"""Minimax polynomials of the native elementary functions.

`python benchmarks/minimax.py > backends/native/math/coefficients.py` makes the table the backend reads. Each fit is least squares
on Chebyshev points, reweighted until it is nearly minimax (Lawson 1961; Muller, *Elementary Functions*, 3rd ed., chapter 3), with
the coefficients rounded to the format one at a time and the others fitted again (Brisebarre & Chevillard, "Efficient polynomial
L-infinity approximations", ARITH 2007, in its greedy form). The shortest polynomial within the error is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from mpmath import mp, mpf

mp.prec = 400
Function = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Fit:
    """p(x) close to `target` on [`low`, `high`], where `weight` * (p - target) is the error to be kept below 2**-`bits`."""

    name: str
    scalar: str
    low: mpf
    high: mpf
    target: Function
    weight: Function
    bits: float


def fit(wanted: Fit) -> tuple[list[float], mpf]:
    """The shortest rounded polynomial within `wanted`, lowest coefficient first, and its error."""
    for count in range(2, 40):
        grid = chebyshev(wanted.low, wanted.high, 6 * (count + 1))
        values, weights = [wanted.target(x) for x in grid], [wanted.weight(x) for x in grid]
        emphasis, worst = lawson(grid, values, weights, count)
        if worst < mpf(2) ** -wanted.bits:
            kept, left = rounded(grid, values, emphasis, count, wanted.scalar)
            return kept, max(abs(value * weight) for value, weight in zip(left, weights, strict=True))
    raise ValueError(f"{wanted.name}: no polynomial of 40 coefficients reaches 2**-{wanted.bits}")


def lawson(grid: list[mpf], values: list[mpf], weights: list[mpf], count: int) -> tuple[list[mpf], mpf]:
    """Squared weights under which least squares is nearly minimax, and the largest error it leaves."""
    emphasis, worst = [weight**2 for weight in weights], mpf(0)
    for _ in range(8):
        solution = least_squares(grid, values, emphasis, range(count))
        errors = [abs(weight * (value - mp.polyval(solution[::-1], x))) for x, value, weight in zip(grid, values, weights, strict=True)]
        worst = max(errors)
        emphasis = [w * (error / worst + mpf("0.01")) for w, error in zip(emphasis, errors, strict=True)]
    return emphasis, worst


def rounded(grid: list[mpf], values: list[mpf], emphasis: list[mpf], count: int, scalar: str) -> tuple[list[float], list[mpf]]:
    """Coefficients rounded one at a time, the lowest first, the others fitted again; and what is left of the values."""
    kept: list[float] = []
    for power in range(count):
        first = least_squares(grid, values, emphasis, range(power, count))[0]
        kept.append(float(np.float32(first)) if scalar == "float" else float(first))
        values = [value - kept[-1] * x**power for x, value in zip(grid, values, strict=True)]
    return kept, values


def least_squares(grid: list[mpf], values: list[mpf], emphasis: list[mpf], powers: range) -> list[mpf]:
    """Coefficients of `powers` that minimise the sum of emphasis * error**2, by the normal equations (400 bits carry them)."""
    top = 2 * powers.stop
    moments = [mp.fdot((w, x**k) for x, w in zip(grid, emphasis, strict=True)) for k in range(top)]
    right = [mp.fdot((w * value, x**k) for x, value, w in zip(grid, values, emphasis, strict=True)) for k in powers]
    return list(mp.lu_solve(mp.matrix([[moments[i + j] for j in powers] for i in powers]), mp.matrix(right)))


def chebyshev(low: mpf, high: mpf, count: int) -> list[mpf]:
    """Chebyshev points of the interval, kept off its ends by a hair: a target may be 0/0 there."""
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * mp.cos(mp.pi * (k + mpf("0.01")) / (count - mpf("0.98"))) for k in range(count)]


def series(name: str, function: Function, high: mpf, bits: float, scalar: str) -> Fit:
    """An odd function as x + x**3 * P(x**2)."""
    return Fit(name, scalar, mpf(0), high**2, lambda z: (function(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, lambda z: z * mp.sqrt(z) / function(mp.sqrt(z)), bits)


def fits() -> Iterator[Fit]:
    half_log2, root = mp.log(2) / 2, mp.sqrt(2)
    for scalar, bits in (("float", 27.5), ("double", 57.0)):
        single = scalar == "float"
        yield Fit("EXP", scalar, -half_log2, half_log2, lambda r: (mp.expm1(r) - r) / r**2, lambda r: r**2 / mp.exp(r), bits)
        yield Fit("EXP2", scalar, mpf(-0.5), mpf(0.5), lambda r: mp.expm1(r * mp.log(2)) / r, lambda r: r / mpf(2) ** r, bits)
        yield series("SIN", mp.sin, mp.pi / 2, bits, scalar)
        yield Fit("COS", scalar, mpf(0), (mp.pi / 4) ** 2, lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, lambda z: z**2, bits)
        yield series("SINH", mp.sinh, mpf(1), bits, scalar)
        yield series("TANH", mp.tanh, mpf("0.55"), bits, scalar)
        yield series("ASIN", mp.asin, mpf(0.5), bits, scalar)
        yield series("ATAN", mp.atan, mpf(1), bits, scalar)
        yield Fit("ERF", scalar, mpf(0), mpf(1), lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, lambda z: mpf(1), bits)
        yield Fit("LOG_ERFC", scalar, mpf(1), mpf(3.95 if single else 5.95), lambda a: -mp.log(mp.erfc(a)), mp.erfc, bits)
        end = mpf("0.68" if single else "0.87")
        yield Fit("ERFCX", scalar, mpf(-1), end, scaled_erfc, lambda t: 1 / scaled_erfc(t), bits)
    yield Fit("LOG", "float", 1 / root - 1, root - 1, lambda r: (mp.log1p(r) - r + r**2 / 2) / r**3, lambda r: r**3 / mp.log1p(r), 27.0)
    edge = ((root - 1) / (root + 1)) ** 2
    yield Fit("LOG", "double", mpf(0), edge, lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z, lambda z: z, 58.0)
    yield Fit("POW_LOG2", "double", 1 / root - 1, root - 1, lambda r: mp.log1p(r) / r / mp.log(2), lambda r: r / mp.log1p(r), 35.0)
    yield Fit("POW_LOG", "double", mpf(0), edge, lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2 - 2 * z / 3) / z**2, lambda z: z**2, 68.0)


def scaled_erfc(t: mpf) -> mpf:
    """(1 + 2a) exp(a**2) erfc(a) at a = 2 (1 + t) / (1 - t) (Shepherd & Laframboise, Math. Comp. 36, 1981)."""
    a = 2 * (1 + t) / (1 - t)
    return (1 + 2 * a) * mp.exp(a * a) * mp.erfc(a)


def main() -> None:
    print('"""Minimax coefficients, lowest power first, per LLVM scalar type. Made by benchmarks/minimax.py."""\n')
    tables: dict[str, dict[str, tuple[list[float], mpf]]] = {}
    for wanted in fits():
        tables.setdefault(wanted.name, {})[wanted.scalar] = fit(wanted)
    for name, rows in tables.items():
        print(f"{name}: dict[str, tuple[float, ...]] = {{")
        for scalar, (coefficients, error) in rows.items():
            print(f'    "{scalar}": (  # error 2**{float(mp.log(error, 2)):.1f}')
            print("".join(f"        {value!r},\n" for value in coefficients) + "    ),")
        print("}")


if __name__ == "__main__":
    main()

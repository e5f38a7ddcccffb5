"""Real numbers too large or too small for float64: C(2048, 1024), or products of a thousand
ratios of exp(50) or exp(-50)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LARGEST_LOGARITHM = 1e12
"""Of the numbers that `Scaled.exp` takes; exponents of their products fit an int64."""

_ZERO = -(2**60)
"""The exponent of zero: below all others, so that zero never sets the scale of a sum."""

_LN2_HIGH = 6.93147180369123816490e-01  # ends in 20 zero bits: exact times integers to 2^20
_LN2_LOW = 1.90821492927058770002e-10


@dataclass(frozen=True, slots=True)
class Scaled:
    """An array of real numbers mantissa * 2**exponent, which can't overflow.

    Args:
        mantissa: float64, 1/2 <= |mantissa| < 1, or 0.
        exponent: int64 of the same shape, `_ZERO` where the mantissa is 0.
    """

    mantissa: np.ndarray
    exponent: np.ndarray

    @classmethod
    def of(cls, values: Any) -> Scaled:
        """Finite numbers."""
        values = np.asarray(values, dtype=np.float64)
        return _normal(values, np.zeros(values.shape, dtype=np.int64))

    @classmethod
    def of_integer(cls, value: int) -> Scaled:
        """A positive integer of any size, rounded."""
        shift = max(value.bit_length() - 64, 0)
        return _normal(np.asarray(float(value >> shift)), np.asarray(shift))

    @classmethod
    def exp(cls, logarithms: np.ndarray) -> Scaled:
        """exp(logarithms), for |logarithms| <= LARGEST_LOGARITHM or -inf, which gives 0."""
        zero = np.isneginf(logarithms)
        logarithms = np.where(zero, 0.0, logarithms)
        twos = np.rint(logarithms / np.log(2.0))
        rest = (logarithms - twos * _LN2_HIGH) - twos * _LN2_LOW
        return _normal(np.where(zero, 0.0, np.exp(rest)), twos.astype(np.int64))

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Scaled:
        return cls(np.zeros(shape), np.full(shape, _ZERO))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mantissa.shape

    def floats(self) -> np.ndarray:
        """float64, infinite where the number is too large and 0 where it is too small."""
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(self.mantissa, np.clip(self.exponent, -3000, 3000).astype(np.int32))

    def sum(self, axis: int) -> Scaled:
        top = self.exponent.max(axis=axis, keepdims=True)
        return _normal(_shifted(self, top).sum(axis=axis), top.squeeze(axis))

    def __add__(self, other: Scaled) -> Scaled:
        top = np.maximum(self.exponent, other.exponent)
        return _normal(_shifted(self, top) + _shifted(other, top), top)

    def __sub__(self, other: Scaled) -> Scaled:
        return self + -other

    def __neg__(self) -> Scaled:
        return Scaled(-self.mantissa, self.exponent)

    def __mul__(self, other: Scaled) -> Scaled:
        return _normal(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def __truediv__(self, other: Scaled) -> Scaled:
        return _normal(self.mantissa / other.mantissa, self.exponent - other.exponent)

    def __getitem__(self, key: Any) -> Scaled:
        return Scaled(self.mantissa[key], self.exponent[key])

    def __setitem__(self, key: Any, value: Scaled) -> None:
        self.mantissa[key] = value.mantissa
        self.exponent[key] = value.exponent


def _shifted(values: Scaled, exponent: np.ndarray) -> np.ndarray:
    """Mantissas that go with `exponent`, which is nowhere below that of `values`."""
    shift = np.maximum(values.exponent - exponent, -1100).astype(np.int32)
    with np.errstate(under="ignore"):
        return np.ldexp(values.mantissa, shift)


def _normal(mantissa: np.ndarray, exponent: np.ndarray) -> Scaled:
    mantissa, shift = np.frexp(mantissa)
    return Scaled(mantissa, np.where(mantissa == 0.0, _ZERO, exponent + shift))


def add_product(start: Scaled, left: Scaled, right: Scaled) -> Scaled:
    """start + left * right."""
    product = Scaled(left.mantissa * right.mantissa, left.exponent + right.exponent)
    top = np.maximum(start.exponent, product.exponent)
    return _normal(_shifted(start, top) + _shifted(product, top), top)


def quotient(part: Scaled, whole: Scaled, otherwise: np.ndarray | float) -> Scaled:
    """part / whole, and `otherwise` where whole is 0."""
    zero = whole.mantissa == 0.0
    found = part / Scaled(np.where(zero, 0.5, whole.mantissa), np.where(zero, 0, whole.exponent))
    other = Scaled.of(np.where(zero, otherwise, 0.0))
    return Scaled(
        np.where(zero, other.mantissa, found.mantissa),
        np.where(zero, other.exponent, found.exponent),
    )


def cumulative_sum(values: Scaled) -> Scaled:
    """Along the first axis, with a leading zero: (n, ...) -> (n+1, ...)."""
    sums = Scaled.zeros((values.shape[0] + 1, *values.shape[1:]))
    for i in range(values.shape[0]):
        sums[i + 1] = sums[i] + values[i]
    return sums

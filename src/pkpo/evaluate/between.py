"""Sampling error over problems: the variance of the mean if problems are drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pkpo.evaluate.intervals import Moments
from pkpo.evaluate.support import skewness_doubt


def between_problems(
    estimates: np.ndarray,
    bounds: tuple[float, float] | None,
    clusters: Sequence[str] | None = None,
) -> tuple[Moments, float]:
    """Moments of the mean over new problems, and how many independent units there are.

    The variance between problems holds that within them. With clusters, deviations are
    summed within each, and the clusters are the units (the sandwich estimator, each sum over
    sqrt(1 - its share of the problems)). The variance's degrees of freedom are those that
    remain once its dependence on the mean, which skewness measures, is taken out:
    2 M / (kurtosis - 1 - skewness^2).
    """
    mean, shape = float(estimates.mean()), _shape(estimates, clusters)
    size, second = shape.units, shape.second
    if second == 0:
        return Moments(mean, 0.0, 0.0, np.inf, bounds), shape.effective
    rest = shape.kurtosis - 1.0 - shape.skewness**2
    df = 2.0 * size / rest if rest > 1e-9 else np.inf
    if size < 20 or clusters is not None:
        df = min(df, shape.most_df)
    share = 0.0
    if bounds is not None:
        low, high = bounds
        share = min(1.0, second / max((mean - low) * (high - mean), 1e-300))
    skewness = shape.skewness / np.sqrt(size)
    doubt = skewness_doubt(size) if bounds is None else 0.0
    moments = Moments(mean, second / (size - 1), skewness, df, bounds, share, doubt)
    return moments, shape.effective


def between_differences(
    differences: np.ndarray, clusters: Sequence[str] | None = None
) -> tuple[Moments, float, float]:
    """Moments of the mean of paired differences over new problems, the number of independent
    units, and the skewness that the moments leave out.

    As `between_problems`, but for Student's interval: differences have little skewness, and
    an estimate of it does more harm than good. The variance's degrees of freedom are
    2 M / (kurtosis - 1), at most the M - 1 of a normal law.
    """
    mean, shape = float(differences.mean()), _shape(differences, clusters)
    if shape.second == 0:
        return Moments(mean, 0.0, 0.0, np.inf), shape.effective, 0.0
    size = shape.units
    df = min(2.0 * size / max(shape.kurtosis - 1.0, 1e-9), shape.most_df)
    moments = Moments(mean, shape.second / (size - 1), 0.0, df)
    return moments, shape.effective, shape.skewness / np.sqrt(size)


@dataclass(frozen=True)
class _Shape:
    """How independent units vary: their number, mean square, and scale-free third and fourth
    moments; zeros where they don't vary by more than rounding. For clusters of unequal size,
    how many equal ones would be as good, for the mean and for its variance."""

    units: int
    effective: float
    most_df: float
    second: float = 0.0
    skewness: float = 0.0
    kurtosis: float = 0.0


def _shape(values: np.ndarray, clusters: Sequence[str] | None) -> _Shape:
    units = values - values.mean()
    effective, most_df = float(len(values)), len(values) - 1.0
    if clusters is not None:
        _, codes = np.unique(np.asarray(clusters), return_inverse=True)
        shares = np.bincount(codes) / len(values)
        number = len(shares)
        scale = np.sqrt((number - 1) * number / np.maximum(1.0 - shares, 1e-300))
        units = np.bincount(codes, units) * scale / len(values)
        effective = float(1.0 / (shares**2).sum())
        most_df = min(float((shares**2).sum() ** 2 / (shares**4).sum()), number) - 1.0
    second = float((units**2).mean())
    rounding = (1e-12 * float(np.abs(values).max())) ** 2
    if len(units) < 2 or second <= rounding:
        return _Shape(len(units), effective, most_df)
    skewness = float((units**3).mean() / second**1.5)
    kurtosis = float((units**4).mean() / second**2)
    return _Shape(len(units), effective, most_df, second, skewness, kurtosis)

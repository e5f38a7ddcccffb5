"""pass@k for k > n: what a model of the solve rates says. Not an estimate from the samples alone.

From n samples a problem nothing is known of pass@k for k > n without assumptions (there is no
unbiased estimate). What is assumed here is how the problems' solve rates are distributed.
`evaluate` never does this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import betaln

from pkpo.core.objectives import checked_k
from pkpo.errors import InvalidInputError
from pkpo.evaluate.formats import Numbers, Record, plain
from pkpo.evaluate.samples import Samples
from pkpo.evaluate.solve_rates import fit_solve_rates
from pkpo.tables import Table

Model = Literal["beta", "mixture"]
_ASSUMPTIONS = {
    "beta": (
        "the problems' solve rates follow a beta distribution, fitted to the counts; no problem "
        "is impossible"
    ),
    "mixture": (
        "the problems' solve rates follow a histogram fitted to the counts with a prior worth "
        "two problems; rates well below 1/n are told from 0 by the prior alone"
    ),
}


@dataclass(frozen=True)
class Extrapolation:
    """Modelled pass@k of problems like these.

    Args:
        ks: as asked for.
        values: modelled pass@k for each.
        lower, upper: percentile bootstrap over problems, within the model: how well the data
            determine its parameters, not whether the model is right.
        model: its name.
        assumptions: what has to hold for the values to mean anything.
        confidence: of the limits.
        largest_n: the largest number of samples that a problem has.
    """

    ks: tuple[int, ...]
    values: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    model: Model
    assumptions: str
    confidence: float
    largest_n: int

    def _rows(self) -> list[tuple[int, float, float, float]]:
        return list(zip(self.ks, self.values, self.lower, self.upper))

    def record(self) -> Record:
        """Everything, ready for JSON."""
        names = ("model", "assumptions", "confidence", "largest_n")
        rows = [dict(zip(("k", "value", "lower", "upper"), plain(row))) for row in self._rows()]
        return {name: getattr(self, name) for name in names} | {"values": rows}

    def table(self) -> Table:
        """One row a k; the title says that it is a model, and what it assumes."""
        text = Numbers(percent=True, decimals=1).text
        body = tuple(
            (f"pass@{k}", f"{text(value)} %", f"{text(low)} to {text(high)} %")
            for k, value, low, high in self._rows()
        )
        headers = ("", "modelled", f"{100 * self.confidence:g} %, if the model holds")
        title = f"A model, not an estimate: it assumes that {self.assumptions}"
        return Table(headers, body, (), title)

    def __str__(self) -> str:
        rows = (f"pass@{k}  {v:.4f}  [{low:.4f}, {high:.4f}]" for k, v, low, high in self._rows())
        return "\n".join([f"MODELLED pass@k, assuming that {self.assumptions}:", *rows])

    __repr__ = __str__


def extrapolate_pass_at_k(
    samples: Samples,
    ks: list[int],
    *,
    model: Model = "beta",
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> Extrapolation:
    """pass@k for problems like these under a model of their solve rates, for any k.

    Assumes that a problem's samples are independent with a solve rate p of its own, that the
    problems are independent draws, and that p has the model's distribution. Beyond k = n the
    result depends on how many problems have rates near 0, which n samples show only down to
    about 1/n. Run both models: where they differ, the samples don't say. Neither the limits
    nor anything else here covers a wrong model.

    Args:
        samples: 0/1 rewards.
        ks: integers >= 1, of any size.
        model: "beta", or "mixture" (a smoothed histogram).
        confidence: of the limits.
        resamples: of the problems, for the limits.
        seed: of the resampling.

    Raises:
        InvalidInputError: rewards other than 0 and 1, fewer than two problems, k < 1, or an
            unknown model.

    >>> samples = Samples.from_counts(16, [0, 1, 3, 16, 8, 2, 0, 5, 1, 12, 0, 2])
    >>> print([round(v, 2) for v in extrapolate_pass_at_k(samples, [16, 256]).values])
    [0.7, 0.89]
    >>> mixture = extrapolate_pass_at_k(samples, [16, 256], model="mixture")
    >>> print([round(v, 2) for v in mixture.values])
    [0.76, 0.94]
    """
    if model not in get_args(Model):
        raise InvalidInputError(f"model must be one of {get_args(Model)}, got {model!r}")
    if not samples.binary:
        raise InvalidInputError("extrapolation needs rewards of 0 and 1")
    if len(samples.problems) < 2:
        raise InvalidInputError("extrapolation needs at least two problems")
    wanted = np.array([checked_k(k) for k in ks])
    fit = _beta_pass if model == "beta" else _mixture_pass
    sizes, correct = samples.sizes_P, samples.correct_P
    values = fit(sizes, correct, wanted)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(sizes), size=(resamples, len(sizes)))
    resampled = np.array([fit(sizes[draw], correct[draw], wanted) for draw in draws])
    tail = (1.0 - confidence) / 2
    limits = np.quantile(resampled, (tail, 1.0 - tail), axis=0)
    return Extrapolation(
        tuple(wanted.tolist()),
        tuple(values.tolist()),
        tuple(limits[0].tolist()),
        tuple(limits[1].tolist()),
        model,
        _ASSUMPTIONS[model],
        confidence,
        int(sizes.max()),
    )


def _mixture_pass(sizes: np.ndarray, correct: np.ndarray, ks: np.ndarray) -> np.ndarray:
    rates = fit_solve_rates(sizes, correct)
    return np.array([rates.mean(1.0 - (1.0 - rates.grid_G) ** k) for k in ks])


def _beta_pass(sizes: np.ndarray, correct: np.ndarray, ks: np.ndarray) -> np.ndarray:
    """1 - B(a, b + k) / B(a, b) at the maximum of the beta-binomial likelihood, a and b
    within e^-7 and e^7."""
    from scipy.optimize import minimize  # slow to import

    pairs, counts = np.unique(np.stack([sizes, correct], axis=-1), axis=0, return_counts=True)
    n, c = pairs.T

    def loss(logs: np.ndarray) -> float:
        a, b = np.exp(logs)
        return -float(counts @ (betaln(c + a, n - c + b) - betaln(a, b)))

    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-7.0, 7.0)] * 2)
    a, b = np.exp(found.x)
    return -np.expm1(betaln(a, b + ks) - betaln(a, b))

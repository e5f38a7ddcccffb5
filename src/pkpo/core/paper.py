"""The functions of the paper's Listing 1, by their names and signatures.

Equal to Listing 1 without its traps: integer rewards are not truncated, K > N raises instead
of giving zeros, and K = 1 gives the leave-one-out mean that the paper trains its K = 1 baseline
with. `g` may have leading axes; the last one is the group. `pkpo.core.weights` is
where they are computed, equation by equation.
"""

from __future__ import annotations

from typing import Any

from pkpo.core.backends import Array
from pkpo.core.objectives import max_at
from pkpo.core.transforms import advantages, estimate


def rho(g: Any, K: int) -> Array:
    """Unbiased max@K, the paper's rho^(g), eq. (12). See `pkpo.estimate`.

    >>> float(rho([0.0, 0.0, 1.0, 0.0], 2))
    0.5
    """
    return estimate(g, max_at(K))


def s(g: Any, K: int) -> Array:
    """Transformed rewards without a baseline, s_i, eq. (19). See `pkpo.advantages`."""
    return advantages(g, max_at(K), baseline="none")


def sloo(g: Any, K: int) -> Array:
    """Transformed rewards with the leave-one-out baseline, s_i^(loo), eq. (29); K < N.

    `pkpo.advantages(g, K, baseline="loo")` is unbiased too, does not change when the
    rewards are shifted, and its variance vanishes where nearly all samples are good.
    """
    return advantages(g, max_at(K), baseline="paper_loo")


def sloo_minus_one(g: Any, K: int) -> Array:
    """Transformed rewards with the max@(K-1) baseline, s_i^(loo-1), eq. (33); RLOO over N
    for K = 1.

    >>> sloo_minus_one([0.0, 0.0, 1.0, 0.0], 2)
    array([0. , 0. , 0.5, 0. ])
    """
    return advantages(g, max_at(K), baseline="loo_minus_one")

"""verl's trainers for pass@k, max@k and their relatives.

`import verl` finds this package by its entry point in `verl.plugins`, and knows
`algorithm.adv_estimator=pkpo` from then on.
"""

from pkpo.errors import needing

with needing("pkpo.engines.verl", "verl"):
    from pkpo.engines.verl.estimator import pkpo_advantages

__all__ = ["pkpo_advantages"]

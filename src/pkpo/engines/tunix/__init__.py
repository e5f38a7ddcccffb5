"""Tunix's GRPO learners for pass@k, max@k and their relatives: `register` before the learner."""

from pkpo.errors import needing

with needing("pkpo.engines.tunix", "tunix"):
    from pkpo.engines.tunix.estimator import register

__all__ = ["register"]

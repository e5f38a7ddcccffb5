"""SkyRL's trainers for pass@k, max@k and their relatives: `register` in the entry script."""

from pkpo.errors import needing

with needing("pkpo.engines.skyrl", "skyrl"):
    from pkpo.engines.skyrl.estimator import register

__all__ = ["register"]

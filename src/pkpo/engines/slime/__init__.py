"""slime's training for pass@k, max@k and their relatives:
`--custom-reward-post-process-path pkpo.engines.slime.post_process`."""

from pkpo.engines.slime.rewards import post_process

__all__ = ["post_process"]

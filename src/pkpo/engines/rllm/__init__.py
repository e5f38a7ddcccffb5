"""rLLM's trainers for pass@k, max@k and their relatives: `register` for `AgentTrainer`."""

from pkpo.errors import needing

with needing("pkpo.engines.rllm", "rllm"):
    from pkpo.engines.rllm.estimator import register

__all__ = ["register"]

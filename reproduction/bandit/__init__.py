"""A bandit on which pass@1 training is stuck."""

"""The variance of the pass@k estimator."""

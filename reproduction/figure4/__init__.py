"""The variance of the gradient estimators."""

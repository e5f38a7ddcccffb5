"""Trained for k, measured at k."""

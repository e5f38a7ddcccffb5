"""Solve rate and entropy over a run."""

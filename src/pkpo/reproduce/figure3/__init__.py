"""Annealing k."""

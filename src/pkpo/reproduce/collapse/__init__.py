"""Exploration along a run."""

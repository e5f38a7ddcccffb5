"""Runs named pieces of work in processes or on Ray, ends them cleanly, and guards folders."""

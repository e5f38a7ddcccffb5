"""A hard set."""

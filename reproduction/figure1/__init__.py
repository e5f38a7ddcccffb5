"""The best policy for each k."""

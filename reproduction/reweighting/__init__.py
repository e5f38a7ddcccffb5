"""What the pass@k gradient is."""

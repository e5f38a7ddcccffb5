"""pass@k and its kin from anyone's sample logs, with intervals."""

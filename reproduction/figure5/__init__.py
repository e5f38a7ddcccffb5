"""What the baselines do to rewards."""

"""What to train for at a step: schedules, plateaus, choices per prompt, and their credit."""

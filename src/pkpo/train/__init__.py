"""One job for every engine: settings, run directory, what each step leaves, progress, sweeps."""

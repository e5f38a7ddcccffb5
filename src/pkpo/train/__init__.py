"""The training job on the embedded engine: settings, run directory, loop, progress."""

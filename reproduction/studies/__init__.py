"""The training studies: settings, runs, controls, and how they are shown."""

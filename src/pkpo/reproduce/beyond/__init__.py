"""Beyond the papers."""

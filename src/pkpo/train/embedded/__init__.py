"""Jobs of the embedded engine: warm starts, then arms in worker processes."""

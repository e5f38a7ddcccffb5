"""One module for each form of log."""

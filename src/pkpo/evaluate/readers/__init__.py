"""One module for each tool that writes logs, one for tables; the others are what these share."""

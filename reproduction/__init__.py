"""The figures, tables and claims of the papers, made again: one module per figure or table."""

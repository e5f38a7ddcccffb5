"""ARC-AGI-1: from pairs of grids that show a change, make the output of another input.

Read in this order: `puzzles`, `grids`, `operations`, `language`, `programs`.
"""

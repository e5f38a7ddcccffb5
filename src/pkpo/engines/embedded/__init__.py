"""A small policy-gradient engine in plain PyTorch: model, sampler, learner, export.

Made for groups: the n completions of a prompt share one pass over it, in sampling and in
training, so a step costs what its short answers cost. Read in this order: `model`,
`sampling`, `learning`, `warm_start`, `export`.

Axis suffixes: P prompts, G completions of a prompt, T prompt tokens, S completion tokens,
V vocabulary, H heads, D head dimension.
"""

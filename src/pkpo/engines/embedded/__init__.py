"""A small policy-gradient engine in plain PyTorch: model, sampler, learner, export.

Made for groups: the n completions of a prompt share one pass over it, those that begin alike
share one over their common tokens, and those that are the same count once, in sampling and in
training, so a step costs what its short answers cost. Read in this order: `model`,
`sampling`, `learning`, `export`.

Axis suffixes: P prompts, G completions of a prompt, R rows (different completions, or
beginnings of some, of any prompts in their order), T prompt tokens, S completion tokens, V
vocabulary, E and H heads of D dimensions of the residual stream.
"""

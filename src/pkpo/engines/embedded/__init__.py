"""A small policy-gradient engine in plain PyTorch: model, sampler, learner, export.

Made for groups: the n completions of a prompt share one pass over it, those that begin alike
share one over their common tokens, and those that are the same count once, in sampling and in
training, so a step costs what its short answers cost. Read in this order: `config`,
`attention`, `model`; `sampling`; `batches`, `losses`, `masters`, `learning`; `lora`, `export`.

Axis suffixes: P prompts, of which Q have completions that are trained on and B stand in one part
of a batch; G completions of a prompt, N of all; R rows (different completions, or beginnings of
some, of any prompts in their order); T prompt tokens, S completion tokens; V vocabulary; E the
residual stream, H heads of D dimensions.
"""

"""Jobs on TRL: a transformers model, on one or several processes."""

"""The mathematics: no trainer, no file, no torch or jax import."""

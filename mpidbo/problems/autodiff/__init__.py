"""Losses in PyTorch and JAX, and what they are computed from."""

"""A run: plan, loop, observers and `solve`."""

"""The columns of history.h5."""

COUNTS = ("iteration", "floats", "messages", "rounds", "calls_", "seconds_")
"""How the names in a history begin that are no metrics."""

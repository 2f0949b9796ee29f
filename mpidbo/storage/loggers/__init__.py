"""Loggers, which take the history of a run to other tools."""

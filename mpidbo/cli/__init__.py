"""The command `mpidbo`, one file or folder for each command."""

from .program import main, parser, world

__all__ = ["main", "parser", "world"]

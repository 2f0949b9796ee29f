"""Warnings that point at the line of the user's own code."""

import sys
import warnings
from types import FrameType

INSIDE = (__name__.partition(".")[0], "contextlib")
"""Modules whose lines say nothing to a user."""


def warn(message: str) -> None:
    """Issue a UserWarning at the caller's own line, however deep in the package this is."""
    frame: FrameType | None = sys._getframe()
    level = 1
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)

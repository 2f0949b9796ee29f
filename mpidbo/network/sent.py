"""Counts of what agents send."""

from collections.abc import Iterable
from typing import NamedTuple


class Sent(NamedTuple):
    """What all agents together sent: floats, messages and bytes over edges, and rounds."""

    floats: int
    messages: int
    rounds: int
    bytes: int

    @classmethod
    def total(cls, counts: "Iterable[Sent]") -> "Sent":
        """Return the sums of counts."""
        return cls(*map(sum, zip(cls(0, 0, 0, 0), *counts, strict=True)))

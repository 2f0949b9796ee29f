"""Strategies as they are where nothing is compressed and nothing is damped."""

from dataclasses import replace

from mpidbo.algorithms import Compression
from mpidbo.network import Full


def exact(row):
    """A strategy with C = identity and g = a = 1, where it has a C."""
    if row.compression is None:
        return row
    a = None if row.compression.a is None else 1.0
    return replace(row, compression=Compression(Full(), gamma=1.0, a=a))

"""Memory that is kept and used again: a page fault every 4 KiB costs more than the arithmetic."""

import ctypes
import math
import mmap
from contextlib import suppress
from sys import getrefcount

import numpy as np
from numpy.typing import DTypeLike

from .._types import Array

MIN_HUGE_BYTES = 1 << 22
"""Size from which huge pages are asked for, as numpy does."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""
MAX_MMAP_THRESHOLD_BYTES = 1 << 25
MAX_KEPT_BYTES = 1 << 30


def keep_freed() -> None:
    """Have glibc keep up to 1 GiB of what numpy frees, for the next array.

    Otherwise the system may map, zero and unmap the memory of each temporary array of 128 KiB to
    32 MiB. Other C libraries ignore the request.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, MAX_KEPT_BYTES)


class Pool:
    """Arrays of one shape that are used again once nobody holds them.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, dtype
        self.kept: list[Array] = []

    def take(self) -> Array:
        """Return an array that nobody else holds, nor any view of it; its numbers are arbitrary."""
        for i in range(len(self.kept)):
            if _references(self.kept, i) == UNUSED:
                return self.kept[i]
        fresh = aligned(self.shape, self.dtype)
        if fresh.base is not None:  # without mmap there is no base whose views could be counted
            self.kept.append(fresh)
        return fresh


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return zeros that begin at a page, on huge pages if they are large.

    Copies between buffers whose distance is not a multiple of a page by a few bytes are slow.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not hasattr(mmap, "MAP_ANONYMOUS") or size == 0:
        return np.zeros(shape, dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= MIN_HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def _references(arrays: list[Array], i: int) -> tuple[int, int]:
    """Return the numbers of references to an array and to its base, which its views hold, too."""
    return getrefcount(arrays[i]), getrefcount(arrays[i].base)


UNUSED = _references([aligned((1,), np.uint8)], 0)
"""References to an array that nobody holds; versions of Python count differently."""

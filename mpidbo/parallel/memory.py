"""Memory for long rows: kept, not asked for anew. A page fault every 4 KiB costs more than the arithmetic."""

import ctypes
import math
import mmap
from contextlib import suppress
from sys import getrefcount
from typing import Any

import numpy as np

Array = Any

HUGE = 1 << 22
"""Bytes from which huge pages are asked for, as numpy does."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed() -> None:
    """Have glibc keep what numpy frees, up to 1 GiB, for the next array; elsewhere nothing is done.

    Without this each temporary of 128 KiB to 32 MiB may be mapped, zeroed and unmapped again by the system.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


class Pool:
    """Arrays of one shape, used again once nobody holds them: fresh memory costs a page fault every 4 KiB."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self.kept: list[Array] = []

    def take(self) -> Array:
        """An array that nobody else holds, nor any view of it."""
        for i in range(len(self.kept)):
            if _holders(self.kept, i) == ALONE:
                return self.kept[i]
        fresh = aligned(self.shape, self.dtype)
        if fresh.base is not None:
            self.kept.append(fresh)
        return fresh


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros that begin at a page, on huge pages where they are large: copies between oddly distant buffers are slow."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not hasattr(mmap, "MAP_ANONYMOUS") or size == 0:
        return np.zeros(shape, dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def _holders(arrays: list[Array], i: int) -> tuple[int, int]:
    """How many hold the array, and how many what it is a view of, as its own views do."""
    return getrefcount(arrays[i]), getrefcount(arrays[i].base)


ALONE = _holders([aligned((1,), np.uint8)], 0)
"""Counted, as a call holds its arguments in some versions of Python and not in others."""

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
        for array in self.kept:
            # `array` is held by `kept` and this loop; what it and its views hold, by `array` alone
            if getrefcount(array) <= 3 and getrefcount(array.base) <= 2:
                return array
        self.kept.append(aligned(self.shape, self.dtype))
        return self.kept[-1]


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

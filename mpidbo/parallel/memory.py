"""Memory that is kept and used again: a page fault every 4 KiB costs more than the arithmetic."""

import ctypes
import math
import mmap
from contextlib import suppress
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._types import Array

MIN_HUGE_BYTES = 1 << 22
"""Size from which huge pages are asked for, as numpy does."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt."""
MAX_KEPT_BYTES = 1 << 30


def keep_freed() -> None:
    """Have glibc keep what numpy frees for the next array, up to 1 GiB at the end of its heap.

    Otherwise the system maps, zeroes and unmaps the memory of each large temporary array. The
    setting is one of the process. Other C libraries ignore it.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, MAX_KEPT_BYTES)


def return_freed() -> None:
    """Have glibc return to the system what was freed, where it can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def references(array: Array) -> int:
    """Return the number of references to an array that its caller has in a local variable."""
    return getrefcount(array)


def _references_of_new() -> int:
    new = np.empty(1)
    return references(new)


NOT_SHARED = _references_of_new()
"""`references` to an array that nobody else holds; versions of Python count differently."""


def owns_numbers(array: Any) -> bool:
    """Return whether this is an array of numpy that is no view of another object's numbers."""
    return type(array) is np.ndarray and array.base is None and array.flags.c_contiguous


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

"""Memory of the device, and page-locked memory of the host; both begin as NaN, as uninitialised
memory may."""

import ctypes
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from .streams import get_current_stream

POISON = 0xFF
"""A byte of NaN, of -1, or of true."""
TOTAL = 1 << 32


class OutOfMemoryError(MemoryError):
    pass


class MemoryPool:
    """The account of what arrays hold; `free_all_blocks` has nothing to free."""

    def __init__(self) -> None:
        self._used, self._limit = 0, 0

    def take(self, size: int) -> None:
        if self._used + size > min(self._limit or TOTAL, TOTAL):
            raise OutOfMemoryError(
                f"Out of memory allocating {size:,} bytes (allocated so far: {self._used:,} bytes)."
            )
        self._used += size

    def give(self, size: int) -> None:
        self._used -= size

    def used_bytes(self) -> int:
        return self._used

    total_bytes = used_bytes

    def free_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        pass

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if (size is None) == (fraction is None):
            raise ValueError("size and fraction cannot be specified at one time")
        self._limit = int(TOTAL * fraction) if fraction is not None else int(size or 0)

    def get_limit(self) -> int:
        return self._limit


POOL = MemoryPool()
PINNED_POOL = SimpleNamespace(free_all_blocks=lambda: None, n_free_blocks=lambda: 0)


class Memory:
    """One allocation.

    When nobody holds it any more its stream may write over it, however many streams have still to
    read it.
    """

    def __init__(self, size: int) -> None:
        self.size = -(-max(size, 1) // 512) * 512
        POOL.take(self.size)
        self.bytes, self.stream = np.full(max(size, 1), POISON, np.uint8), get_current_stream()

    def __del__(self, give: Any = POOL.give, poison: int = POISON) -> None:
        if hasattr(self, "bytes"):
            give(self.size)
            self.stream.issue(lambda bytes=self.bytes: bytes.fill(poison))

    @property
    def ptr(self) -> int:
        return int(self.bytes.ctypes.data)


class MemoryPointer:
    """A place in an allocation."""

    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, 0

    def __add__(self, offset: int) -> "MemoryPointer":
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)


def alloc(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size), 0)


class PinnedMemoryPointer(bytearray):
    """Page-locked memory of the host, which `np.frombuffer` takes."""

    @property
    def ptr(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self))

    @property
    def mem(self) -> "PinnedMemoryPointer":
        return self

    def size(self) -> int:
        return len(self)


_PINNED: WeakValueDictionary[int, PinnedMemoryPointer] = WeakValueDictionary()


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    found = PinnedMemoryPointer(bytes([POISON]) * max(size, 1))
    _PINNED[found.ptr] = found
    return found


def is_pinned(array: np.ndarray) -> bool:
    address = array.ctypes.data
    return any(first <= address < first + len(held) for first, held in list(_PINNED.items()))


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    return np.ndarray(shape, dtype=dtype, buffer=alloc_pinned_memory(size), order=order)  # type: ignore[call-overload]


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    found = empty_pinned(shape, dtype, order)
    found[...] = 0
    return found

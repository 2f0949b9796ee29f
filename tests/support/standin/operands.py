"""What an operation of the device is given: arrays of the device, numbers, and nothing of the
host."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .memory import Memory
from .streams import COUNTS, get_current_stream

SCALARS = {bool, int, float, complex, *(np.dtype(char).type for char in "?bhilqBHILQefdFD")}
KINDS = "?bhilqBHILQefdFD"


class Flags:
    def __init__(self, array: np.ndarray, owndata: bool) -> None:
        self.c_contiguous, self.f_contiguous, self.owndata = (
            array.flags.c_contiguous,
            array.flags.f_contiguous,
            owndata,
        )
        self.forc, self.fnc = array.flags.forc, array.flags.fnc

    def __getitem__(self, name: str) -> bool:
        return {
            "C_CONTIGUOUS": self.c_contiguous,
            "F_CONTIGUOUS": self.f_contiguous,
            "OWNDATA": self.owndata,
        }[name]


class Held:
    """What an array of the device holds: `_a` is its memory seen by numpy, which holds what was
    done, not what was asked for."""

    __slots__ = ("__weakref__", "_a", "_memory", "base")
    _a: np.ndarray
    _memory: Memory


def is_device(x: Any) -> bool:
    return isinstance(x, Held) or hasattr(x, "__cupy_get_ndarray__")


def device(x: Any) -> Any:
    return x if isinstance(x, Held) else x.__cupy_get_ndarray__()


def operand(x: Any) -> Any:
    """What numpy is to work with, also within lists; TypeError for an array of numpy."""
    if is_device(x):
        return device(x)._a
    if isinstance(x, (list, tuple)):
        return type(x)(operand(part) for part in x)
    if isinstance(x, np.ndarray) or (isinstance(x, np.generic) and type(x) not in SCALARS):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def blank(x: Any) -> Any:
    """Zeros in the place of an array, with its strides; also within lists."""
    if isinstance(x, (list, tuple)):
        return type(x)(blank(part) for part in x)
    if not isinstance(x, np.ndarray):
        return x
    spans = (
        [(n - 1) * stride for n, stride in zip(x.shape, x.strides, strict=True)] if x.size else []
    )
    first = -sum(span for span in spans if span < 0)
    size = first + sum(span for span in spans if span > 0) + x.itemsize
    return (
        np.ndarray(x.shape, x.dtype, np.zeros(size, np.uint8), first, x.strides)
        if x.size
        else np.empty(x.shape, x.dtype)
    )  # type: ignore[call-overload]


def issue(work: Callable[..., Any], *given: Any) -> None:
    def run() -> None:
        with np.errstate(all="ignore"):
            work(*given)

    COUNTS["launch"] += 1
    get_current_stream().issue(run)

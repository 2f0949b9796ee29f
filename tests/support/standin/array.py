"""`ndarray`: an array of the device, which never becomes one of numpy unasked; what is done to
it is only queued.

Shapes and types of results are found by running numpy on zeros of the same strides, and the results
lie in memory as numpy's would, so that every number is numpy's to the bit.
"""

from collections.abc import Callable
from functools import reduce
from types import SimpleNamespace
from typing import Any

import numpy as np

from .memory import POISON, Memory, MemoryPointer, is_pinned
from .operands import KINDS, SCALARS, Flags, Held, blank, device, is_device, issue, operand
from .streams import COUNTS, Stream, get_current_stream


class ndarray(Held):
    """An array of the device."""

    __slots__ = ()
    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        shape: Any,
        dtype: Any = float,
        memptr: MemoryPointer | None = None,
        strides: Any = None,
        order: str = "C",
    ) -> None:
        dtype = np.dtype(dtype)
        if dtype.char not in KINDS:
            raise ValueError(f"Unsupported dtype {dtype}")
        shape = (
            (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(d) for d in shape)
        )
        size = int(np.prod(shape, dtype=int)) * dtype.itemsize
        pointer = MemoryPointer(Memory(size), 0) if memptr is None else memptr
        self._memory, self.base = pointer.mem, None
        self._a = np.ndarray(
            shape, dtype, self._memory.bytes, pointer.ptr - self._memory.ptr, strides, order
        )  # type: ignore[call-overload]

    @classmethod
    def _view(cls, array: np.ndarray, of: "ndarray") -> "ndarray":
        made = cls.__new__(cls)
        made._a, made._memory, made.base = array, of._memory, of if of.base is None else of.base
        return made

    @classmethod
    def _like(cls, array: Any) -> "ndarray":
        """Room for a result like this one."""
        order = np.empty_like(array) if isinstance(array, np.ndarray) else np.asarray(array)
        return cls(order.shape, order.dtype, MemoryPointer(Memory(order.nbytes), 0), order.strides)

    # What it is
    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self._a, self.base is None))
    data = property(
        lambda self: MemoryPointer(self._memory, self._a.ctypes.data - self._memory.ptr)
    )
    device = property(lambda self: SimpleNamespace(id=0))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "data": (self._a.ctypes.data, False),
            "strides": None if self._a.flags.c_contiguous else self.strides,
            "version": 3,
            "stream": get_current_stream().ptr or 1,
        }

    # To the host and back
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def get(
        self,
        stream: Stream | None = None,
        order: str = "C",
        out: np.ndarray | None = None,
        blocking: bool = True,
    ) -> np.ndarray:
        stream = get_current_stream() if stream is None else stream
        if out is None:
            out = np.empty(self.shape, self.dtype, order="F" if order == "F" else "C")
            out.view(np.uint8).fill(POISON) if out.ndim else out.reshape(1).view(np.uint8).fill(
                POISON
            )
        elif not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained fromcupy.ndarray")
        elif self.dtype != out.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        elif self.shape != out.shape:
            raise ValueError(
                f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}"
            )
        elif not (out.flags.c_contiguous or out.flags.f_contiguous):
            raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
        COUNTS["download"] += 1
        stream.issue(lambda a=self._a: np.copyto(out, a))
        if blocking:
            stream.synchronize()
        return out

    def set(self, arr: np.ndarray, stream: Stream | None = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self._a.flags.c_contiguous or self._a.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        self._upload(arr, get_current_stream() if stream is None else stream)

    def _upload(self, arr: np.ndarray, stream: Stream) -> None:
        COUNTS["upload"] += 1
        stream.issue(lambda a=self._a: np.copyto(a, arr))

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        return self.get().tobytes(order)

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use "
                "a.any() or a.all()"
            )
        return bool(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __reduce__(self) -> Any:
        return array, (self.get(),)

    def __deepcopy__(self, memo: Any) -> "ndarray":
        return self.copy()

    # Dispatch from numpy
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        import cupy

        found = getattr(cupy, ufunc.__name__, None)
        if method != "__call__" or found is None:
            return NotImplemented
        for x in (*inputs, *kwargs.get("out", ())):
            if not (is_device(x) or type(x) in SCALARS or isinstance(x, np.ndarray)):
                return NotImplemented
        if ufunc.__name__ in (
            "greater",
            "greater_equal",
            "less",
            "less_equal",
            "equal",
            "not_equal",
        ):
            inputs = tuple(
                x.item() if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in inputs
            )
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return found(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        import cupy

        try:
            found = getattr(reduce(getattr, func.__module__.split(".")[1:], cupy), func.__name__)
        except AttributeError:
            return NotImplemented
        if not all(issubclass(t, (ndarray, np.ndarray)) for t in types):
            return NotImplemented
        return found(*args, **kwargs)

    # Parts
    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> "ndarray":
        places = _places(key)
        if not any(isinstance(part, ndarray) for part in places):
            if Ellipsis not in places:
                places = (*places, Ellipsis)  # else numpy would give a number
            return ndarray._view(self._a[places], self)
        if any(isinstance(part, ndarray) and part.dtype == bool for part in places):
            return at_once(
                lambda a, *parts: a[parts], self, *places
            )  # the mask decides on the shape
        return launch(lambda a, *parts: a[parts], self, *places)

    def __setitem__(self, key: Any, value: Any) -> None:
        places = _places(key)
        if not any(isinstance(part, ndarray) for part in places):
            target = self[places]
            if is_device(value):
                launch(
                    np.positive if value.dtype != bool else np.logical_or,
                    value,
                    *([False] if value.dtype == bool else []),
                    out=target,
                    casting="unsafe",
                )
            else:
                target.fill(value)
            return
        operand(value)

        def put(a: np.ndarray, value: Any, *parts: Any) -> None:
            a[parts] = value

        if any(isinstance(part, ndarray) and part.dtype == bool for part in places):
            get_current_stream().synchronize()
        else:
            put(
                np.zeros(self.shape, self.dtype),
                blank(operand(value)),
                *(blank(operand(part)) for part in places),
            )
        issue(
            lambda a, v, parts: put(a, v, *parts),
            self._a,
            operand(value),
            [operand(part) for part in places],
        )

    def fill(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.shape != ():
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = value.item()
        if type(value) not in SCALARS:
            raise TypeError(f"Unsupported type {type(value)}")
        issue(np.ndarray.fill, self._a, value)

    def _reshaped(self, change: Callable[[np.ndarray], np.ndarray]) -> "ndarray":
        """A view where numpy has one, else a copy."""
        found = change(self._a)
        return (
            ndarray._view(found, self)
            if np.may_share_memory(found, self._a)
            else launch(change, self)
        )

    def reshape(self, *shape: Any, order: str = "C") -> "ndarray":
        return self._reshaped(lambda a: a.reshape(*shape, order=order))

    def ravel(self, order: str = "C") -> "ndarray":
        return self._reshaped(lambda a: a.ravel(order))

    def transpose(self, *axes: Any) -> "ndarray":
        return self._reshaped(lambda a: a.transpose(*axes))

    def swapaxes(self, one: int, other: int) -> "ndarray":
        return self._reshaped(lambda a: a.swapaxes(one, other))

    def squeeze(self, axis: Any = None) -> "ndarray":
        return self._reshaped(lambda a: a.squeeze(axis))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> "ndarray":
        found = self._reshaped(lambda a: a.diagonal(offset, axis1, axis2))
        found._a.flags.writeable = True  # as CuPy's is
        return found

    def view(self, dtype: Any = None) -> "ndarray":
        return ndarray._view(self._a.view() if dtype is None else self._a.view(dtype), self)

    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))
    real = property(lambda self: self._reshaped(lambda a: a.real))

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: Any = None,
        subok: Any = None,
        copy: bool = True,
    ) -> "ndarray":
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return launch(lambda a: a.astype(dtype, order), self)

    def copy(self, order: str = "C") -> "ndarray":
        return launch(lambda a: a.copy(order), self)

    __copy__ = copy

    def flatten(self, order: str = "C") -> "ndarray":
        return launch(lambda a: a.flatten(order), self)

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        issue(lambda a: a.sort(axis, "stable"), self._a)


def _places(key: Any) -> tuple[Any, ...]:
    """An index as CuPy takes it: host arrays and lists are brought to the device."""
    return tuple(
        array(part)
        if isinstance(part, (list, np.ndarray))
        else device(part)
        if is_device(part)
        else part
        for part in (key if isinstance(key, tuple) else (key,))
    )


def launch(function: Callable[..., Any], *args: Any, out: Any = None, **kwargs: Any) -> Any:
    """Queue function(*args, **kwargs); its result, or a tuple of them, of known shape and as yet
    unknown content."""
    given, options = (
        [operand(x) for x in args],
        {key: operand(value) for key, value in kwargs.items()},
    )
    target = None if out is None else operand(out)
    if out is not None and not is_device(out):
        raise TypeError("return arrays must be of cupy.ndarray")
    blanks: dict[str, Any] = {key: blank(value) for key, value in options.items()}
    try:
        with np.errstate(all="ignore"):
            like = function(
                *map(blank, given), **blanks, **({} if target is None else {"out": blank(target)})
            )
    except np.linalg.LinAlgError:  # zeros are singular
        return at_once(function, *args, **kwargs)
    if target is not None:
        issue(lambda: function(*given, out=target, **options))
        return device(out)
    made = (
        [ndarray._like(part) for part in like] if isinstance(like, tuple) else ndarray._like(like)
    )
    room = [part._a for part in made] if isinstance(made, list) else made._a

    def work() -> None:
        found = function(*given, **options)
        for place, part in (
            zip(room, found, strict=True) if isinstance(room, list) else [(room, found)]
        ):
            place[...] = part

    issue(work)
    return tuple(made) if isinstance(made, list) else made


def at_once(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The same where the shape of the result depends on numbers: the host waits for them."""
    COUNTS["launch"] += 1
    given, options = (
        [operand(x) for x in args],
        {key: operand(value) for key, value in kwargs.items()},
    )
    get_current_stream().synchronize()
    with np.errstate(all="ignore"):
        found = function(*given, **options)
    return tuple(_sent(part) for part in found) if isinstance(found, tuple) else _sent(found)


def _sent(found: Any) -> ndarray:
    made = ndarray._like(found)
    made._a[...] = found
    return made


def array(
    obj: Any,
    dtype: Any = None,
    copy: Any = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """A copy on the device; what lies in page-locked memory is read later, anything else now."""
    if is_device(obj):
        obj = device(obj)
        same = dtype is None or np.dtype(dtype) == obj.dtype
        return (
            obj if same and not copy else obj.astype(obj.dtype if dtype is None else dtype, order)
        )
    if isinstance(obj, (list, tuple)) and obj and all(is_device(part) for part in obj):
        return launch(lambda *parts: np.stack(parts).astype(dtype), *obj)
    host = np.array(obj, dtype=dtype, copy=None, order="K" if order is None else order, ndmin=ndmin)  # type: ignore[call-overload]
    if host.dtype.char not in KINDS:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    made = ndarray._like(host)
    made._upload(host if is_pinned(host) else host.copy("K"), get_current_stream())
    if blocking:
        get_current_stream().synchronize()
    return made

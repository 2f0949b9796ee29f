"""Lazy rows: what a method writes as `2 * s - m.s - (u - m.u)` becomes one kernel.

`Rows` represent an array of a device in the code of a method. Sums, products, quotients and square
roots are only noted. Code that needs the array, such as an exchange or an oracle, computes what was
noted in one pass over memory (`fusion`). Any other operation is done at once by the array's own
library, and gives `Rows` again.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .._types import Array
from .fusion import CALL, CALLS, CLOCK, Expression, compute

MAX_DEPTH = 24
"""Operations on top of each other that are noted; a deeper expression is computed at once."""
OPERATIONS = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.divide: "/",
    np.sqrt: "sqrt",
    np.negative: "neg",
}
"""The functions of numpy that are noted."""
UFUNCS = {op: ufunc for ufunc, op in OPERATIONS.items()}
Operator: TypeAlias = Callable[["Rows", Any], Any]


def _operators(op: str) -> tuple[Operator, Operator, Operator]:
    """Return the methods of an operation: rows first, rows second, and "in place"."""

    def rows_first(self: "Rows", other: Any) -> Any:
        return noted(op, self, other)

    def rows_second(self: "Rows", other: Any) -> Any:
        return noted(op, other, self)

    return rows_first, rows_second, rows_first


class Rows(Expression, NDArrayOperatorsMixin):
    """An array, or an operation on `Rows` and numbers that is still to be done.

    Parameters
    ----------
    array : array of shape (m, d)
        Of CuPy, or of numpy.
    """

    __slots__ = ()

    def __init__(self, array: Array) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype
        self._op, self._operands, self._depth, self._recipe = "", (), 0, None
        self.born = CLOCK.time

    @classmethod
    def of_operation(
        cls, op: str, operands: tuple[Any, ...], shape: tuple[int, ...], dtype: Any
    ) -> "Rows":
        """Return rows that are still to be computed from `Rows` and numbers."""
        rows = cls.__new__(cls)
        rows._array, rows.shape, rows.dtype = None, shape, dtype
        rows._op, rows._operands, rows._recipe = op, operands, None
        depth = 0
        for part in operands:
            if type(part) is Rows and part._depth > depth:
                depth = part._depth
        rows._depth = depth + 1
        return rows

    @classmethod
    def of_call(cls, call: Callable[[], Array], shape: tuple[int, ...], dtype: Any) -> "Rows":
        """Return the rows of the array that a call will return; it is put off until it is needed.

        The array has this shape and type.
        """
        rows = cls.__new__(cls)
        rows._array, rows.shape, rows.dtype = None, shape, dtype
        rows._op, rows._operands, rows._depth, rows._recipe = CALL, (), 0, None
        CALLS.append((rows, lambda: real(call())))
        return rows

    @property
    def array(self) -> Array:
        """The array itself, computed if it is not known."""
        if self._array is None:
            compute([self])
        return self._array

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    # Not by numpy's dispatch, which takes longer than noting. `x += y` makes new rows, because
    # noted operations still have to be computed from the old ones.
    __add__, __radd__, __iadd__ = _operators("+")
    __sub__, __rsub__, __isub__ = _operators("-")
    __mul__, __rmul__, __imul__ = _operators("*")
    __truediv__, __rtruediv__, __itruediv__ = _operators("/")

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        if "out" in options:
            raise TypeError(
                "rows of a device are not changed in place; take what the function returns"
            )
        if method == "__call__" and ufunc in OPERATIONS and not options:
            return noted(OPERATIONS[ufunc], *operands)
        return done(getattr(ufunc, method), *operands, **options)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, arguments: Any, options: Any
    ) -> Any:
        return done(function, *arguments, **options)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "rows of a device do not become a numpy array implicitly: see mpidbo.parallel.host"
        )

    def __getattr__(self, name: str) -> Any:
        # Else numpy and copy would find protocols of the array itself.
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.array, name)
        if not callable(found):
            return wrapped(found)
        return lambda *operands, **options: done(found, *operands, **options)

    def __getitem__(self, key: Any) -> Any:
        return wrapped(self.array[real(key)])

    def __matmul__(self, other: Any) -> Any:  # CuPy's arrays do not take matmul as a ufunc
        return wrapped(self.array @ real(other))

    def __rmatmul__(self, other: Any) -> Any:
        return wrapped(real(other) @ self.array)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return (wrapped(part) for part in self.array)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)


def real(what: Any) -> Any:
    """Return the array behind rows, also within tuples and lists; anything else as it is."""
    if type(what) is Rows:
        return what.array
    if type(what) in (tuple, list):
        return type(what)(real(part) for part in what)
    return what


def wrapped(what: Any) -> Any:
    """Return rows of an array; anything else as it is."""
    is_array = hasattr(what, "dtype") and hasattr(what, "shape")
    return Rows(what) if is_array and not isinstance(what, np.generic) else what


def done(function: Callable[..., Any], *operands: Any, **options: Any) -> Any:
    """Call a function with the arrays behind rows, and return its arrays as rows."""
    found = function(*real(operands), **{key: real(value) for key, value in options.items()})
    if type(found) in (tuple, list):
        return type(found)(map(wrapped, found))
    return wrapped(found)


def noted(op: str, *operands: Any) -> Any:
    """Return the rows of an operation, which is done when they are asked for."""
    # A loop: this runs for each operation that a method writes.
    shape: Any = None
    dtype: Any = None
    for part in operands:
        if type(part) is Rows:
            if dtype is None:
                shape, dtype = part.shape, part.dtype
            elif part.dtype != dtype:
                return done(UFUNCS[op], *operands)  # with the type that numpy gives to the result
            elif part.shape != shape:
                shape = np.broadcast_shapes(shape, part.shape)
        elif not isinstance(part, (int, float)):
            if type(wrapped(part)) is not Rows:
                return NotImplemented
            return noted(op, *map(_operand, operands))
    if dtype.kind != "f":
        return done(UFUNCS[op], *operands)
    made = Rows.of_operation(op, operands, shape, dtype)
    # What was noted of the operands is of a time at which fewer of them were known.
    if made._depth > MAX_DEPTH and made.depth() > MAX_DEPTH:
        compute([made])
    return made


def _operand(part: Any) -> Any:
    """Return rows of an array; rows and numbers as they are."""
    if type(part) is Rows or isinstance(part, (int, float)):
        return part
    return wrapped(part)

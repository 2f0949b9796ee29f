"""Rows that are computed when somebody asks for them: what a method writes as `2 * s - m.s - (u - m.u)` is one kernel.

`Rows` stand for an array in the text of a method. Sums, products, quotients and roots are only noted; the message of an exchange or
the arguments of an oracle are then computed from what was noted, in one pass over memory. Anything else is done at once,
by the array's own library, and gives `Rows` again. Every number is rounded as if each operation were done by itself (no fused
multiply-add), so that the order in which things are asked for changes no bit.
"""

from collections.abc import Callable, Sequence
from sys import modules
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Array = Any
DEEP = 24
"""So many operations on top of each other are computed without waiting for anybody to ask."""
UFUNCS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.sqrt: "sqrt", np.negative: "neg"}
C = {"+": "{} + {}", "-": "{} - {}", "*": "{} * {}", "/": "{} / {}", "sqrt": "sqrt({})", "neg": "-{}"}


class Clock:
    """Arrays know when they were made; a backend that cares advances the clock."""

    now = 0


TIME = Clock()


class Rows(NDArrayOperatorsMixin):
    """An array, or an operation on `Rows` and numbers that is still to be done; `array` is the array itself."""

    __slots__ = ("_array", "_depth", "_op", "_operands", "_recipe", "born", "dtype", "shape")
    _operands: tuple[Any, ...]
    _recipe: "tuple[Kept, int] | None"

    def __init__(self, array: Array) -> None:
        self._array, self.shape, self.dtype, self._depth = array, array.shape, array.dtype, 0
        self._op, self._operands, self._recipe, self.born = "", (), None, TIME.now

    @property
    def array(self) -> Array:
        if self._array is None:
            compute([self])
        return self._array

    @property
    def known(self) -> bool:
        """Whether there is nothing left to do."""
        return self._array is not None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def made(self) -> int:
        """The time at which the youngest array that is needed to compute this one was made; now, if one must be made first."""
        if self.known:
            return self.born
        return max(part.made() if part.known or part.shape == self.shape else TIME.now for part in self._operands if type(part) is Rows)

    # `x += y` makes new rows: what was noted of the old ones is still to be computed from them
    __iadd__, __isub__ = NDArrayOperatorsMixin.__add__, NDArrayOperatorsMixin.__sub__
    __imul__, __itruediv__ = NDArrayOperatorsMixin.__mul__, NDArrayOperatorsMixin.__truediv__

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        if "out" in options:
            raise TypeError("rows of a device are not changed in place; take what the function returns")
        if method == "__call__" and ufunc in UFUNCS and not options:
            return noted(UFUNCS[ufunc], *operands)
        return done(getattr(ufunc, method), *operands, **options)

    def __array_function__(self, function: Callable[..., Any], types: Any, arguments: Any, options: Any) -> Any:
        return done(function, *arguments, **options)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("rows of a device do not become a numpy array unasked: see mpidbo.parallel.backend.host")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.array, name)
        return (lambda *operands, **options: done(found, *operands, **options)) if callable(found) else wrapped(found)

    def __getitem__(self, key: Any) -> Any:
        return wrapped(self.array[real(key)])

    def __matmul__(self, other: Any) -> Any:             # CuPy's arrays take no generalised ufunc
        return wrapped(self.array @ real(other))

    def __rmatmul__(self, other: Any) -> Any:
        return wrapped(real(other) @ self.array)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Any:
        return (wrapped(part) for part in self.array)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)


def real(what: Any) -> Any:
    """The array behind rows, also within tuples and lists; anything else as it is."""
    if type(what) is Rows:
        return what.array
    return type(what)(real(part) for part in what) if type(what) in (tuple, list) else what


def wrapped(what: Any) -> Any:
    """Rows of an array; anything else as it is."""
    return Rows(what) if hasattr(what, "dtype") and hasattr(what, "shape") and not isinstance(what, np.generic) else what


def done(function: Callable[..., Any], *operands: Any, **options: Any) -> Any:
    """What a function makes of the arrays themselves."""
    found = function(*real(operands), **{key: real(value) for key, value in options.items()})
    return type(found)(map(wrapped, found)) if type(found) in (tuple, list) else wrapped(found)


def noted(op: str, *operands: Any) -> Any:
    """The rows of an operation, to be done when they are asked for."""
    rows = [part if type(part) is Rows else part if isinstance(part, (int, float)) else wrapped(part) for part in operands]
    found = [part for part in rows if type(part) is Rows]
    first = found[0]
    if len(found) < sum(not isinstance(part, (int, float)) for part in rows):
        return NotImplemented
    if first.dtype.kind != "f" or any(part.dtype != first.dtype for part in found):
        return done(next(ufunc for ufunc, name in UFUNCS.items() if name == op), *rows)
    made = Rows.__new__(Rows)
    made._array, made.dtype, made._recipe, made._op, made._operands = None, first.dtype, None, op, tuple(rows)
    same = all(part.shape == first.shape for part in found)
    made.shape = first.shape if same else np.broadcast_shapes(*(part.shape for part in found))
    made._depth = 1 + max(part._depth for part in found)
    if made._depth > DEEP:
        compute([made])
    return made


Recipe = tuple[tuple[str, ...], ...]
"""Operations in their order: each a name of `C` and its operands, a0, a1, ... arrays, c0, ... numbers, t0, ... earlier results."""


class Kept:
    """Of a recipe: the `places` of results that were asked for once more after it and are therefore kept from then on; its kernels."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.places = dtype, set[int]()
        self._kernels: dict[tuple[int, ...], Any] = {}

    def kernel(self, found: "Traced", places: list[int]) -> Any:
        """An elementwise kernel, to be called with arrays, numbers and what the results of these places are to fill."""
        if (key := tuple(places)) not in self._kernels:
            self._kernels[key] = _kernel(found.recipe, places, len(found.arrays), len(found.numbers), self.dtype)
        return self._kernels[key]


RECIPES: dict[Any, Kept] = {}


def compute(wanted: Sequence[Rows]) -> bool:
    """Fill in the arrays of these rows, a kernel for those of one shape; whether there was anything to do."""
    waiting = [rows for rows in wanted if rows._array is None]
    did = bool(waiting)
    while waiting:
        shape, dtype = waiting[0].shape, waiting[0].dtype
        together = [rows for rows in waiting if rows.shape == shape and rows.dtype == dtype]
        waiting = [rows for rows in waiting if not (rows.shape == shape and rows.dtype == dtype)]
        _compute(together, shape, dtype)
    return did


def written(rows: Rows, target: Array) -> Array:
    """The target, filled with the numbers of rows that are still to be computed, and stay so."""
    found = Traced([rows], rows.shape)
    found.kept.kernel(found, [len(found.nodes) - 1])(*found.arrays, *found.numbers, target)
    return target


def _compute(wanted: list[Rows], shape: tuple[int, ...], dtype: Any) -> None:
    found = Traced(wanted, shape)
    for rows in found.again:                             # computed before, by the way, and now once more: from now on it is kept
        assert rows._recipe is not None
        kept, place = rows._recipe
        kept.places.add(place)
    places = sorted({found.place[id(rows)] for rows in (*wanted, *found.again)} | found.kept.places)
    out = [modules["cupy"].empty(shape, dtype) for _ in places]
    found.kept.kernel(found, places)(*found.arrays, *found.numbers, *out)
    for place, node in enumerate(found.nodes):
        if place not in places and not _scaled(node):
            node._recipe = found.kept, place
    for place, array in zip(places, out, strict=True):
        node = found.nodes[place]
        node._array, node._operands, node._recipe, node._depth, node.born = array, (), None, 0, TIME.now


class Traced:
    """What is to be done for the wanted rows: `nodes` in their order, at the `place` of their id, by a recipe from `arrays` and `numbers`.

    `again` are those that an earlier kernel computed without anybody keeping them.
    """

    def __init__(self, wanted: list[Rows], shape: tuple[int, ...]) -> None:
        self.shape, self.nodes, self.again = shape, list[Rows](), list[Rows]()
        self.arrays, self.numbers = list[Array](), list[float]()
        self._steps, self._names, self.place = list[tuple[str, ...]](), dict[int, str](), dict[int, int]()
        for rows in wanted:
            self._name(rows, needed=True)
        self.recipe = tuple(self._steps)
        self.kept = RECIPES.setdefault((self.recipe, wanted[0].dtype), Kept(wanted[0].dtype))

    def _name(self, part: Any, needed: bool) -> str:
        if type(part) is not Rows:
            self.numbers.append(float(part))
            return f"c{len(self.numbers) - 1}"
        if (name := self._names.get(id(part))) is not None:
            return name
        if not part.known and part.shape != self.shape:
            compute([part])
        if part.known:
            self.arrays.append(part.array)
            name = f"a{len(self.arrays) - 1}"
        else:
            if part._recipe is not None and needed:
                self.again.append(part)
                needed = False                           # what lies below would not be, had it been kept
            self._steps.append((part._op, *[self._name(operand, needed) for operand in part._operands]))
            self.place[id(part)] = len(self.nodes)
            name = f"t{len(self.nodes)}"
            self.nodes.append(part)
        self._names[id(part)] = name
        return name


def _scaled(rows: Rows) -> bool:
    """Whether these are an array times a number: as quickly computed as read."""
    return sum(type(part) is Rows for part in rows._operands) == 1 and all(
        part._array is not None for part in rows._operands if type(part) is Rows)


def _kernel(recipe: Recipe, places: list[int], arrays: int, numbers: int, dtype: Any) -> Any:
    real_type = {"float64": "double", "float32": "float"}[dtype.name]
    lines = [f"const {real_type} t{i} = {C[op].format(*operands)};" for i, (op, *operands) in enumerate(recipe)]
    lines += [f"o{i} = t{place};" for i, place in enumerate(places)]
    given = [f"{dtype.name} a{i}" for i in range(arrays)] + [f"{dtype.name} c{i}" for i in range(numbers)]
    filled = [f"{dtype.name} o{i}" for i in range(len(places))]
    return modules["cupy"].ElementwiseKernel(", ".join(given), ", ".join(filled), "\n".join(lines), "mpidbo_update",
                                             options=("--fmad=false",), no_return=True)

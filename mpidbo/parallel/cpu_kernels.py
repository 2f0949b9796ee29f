"""Elementwise kernels for arrays of numpy; for long ones compiled by numba."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from math import sqrt
from typing import Any

import numpy as np

from .._types import Array
from .recipes import Form
from .workers import ALONE, Workers

MIN_COMPILED = 5_000
"""Entries of an array from which a compiled kernel is faster than numpy."""
SCRATCH_BYTES = 1 << 18
"""Size of the results that are computed at a time, to be mixed while they are in the cache."""

MIN_PART = 100_000
"""Entries of an array that a thread is to have, so that dividing them gains more than it costs."""
WORKERS = ContextVar("WORKERS", default=ALONE)
"""The threads that compute long arrays."""


@contextmanager
def divided(workers: Workers) -> Iterator[None]:
    """Divide long arrays among threads within a context; each computes entries of its own."""
    token = WORKERS.set(workers)
    try:
        yield
    finally:
        WORKERS.reset(token)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array for what a kernel computes."""
    return np.empty(shape, dtype)


def compiled(form: Form) -> Any:
    """Return a function of arrays, numbers and arrays that it fills, all of one shape.

    An array of another shape is repeated to that of the result. The bits are those of numpy.
    """
    arrays, numbers, _ = form.arguments()
    n_inputs, scalar = len(arrays) + len(numbers), form.dtype.type
    by_numpy = _by_numpy(form)
    kernels: list[Any] = []

    def call(*operands: Any) -> None:
        constants = [scalar(value) for value in operands[len(arrays) : n_inputs]]
        given, out = operands[: len(arrays)], operands[n_inputs:]
        if out[0].size < MIN_COMPILED:
            by_numpy(*given, *constants, *out)
            return
        if not kernels:
            kernels.append(_by_numba(form))
        flat = [_flat(array, out[0].shape) for array in given]
        targets = [target.reshape(-1) for target in out]

        def work(part: range) -> None:
            some = slice(part.start, part.stop)
            kernels[0](
                *[array[some] for array in flat], *constants, *[target[some] for target in targets]
            )

        _divide(out[0].size, 1, work)

    return call


def mixing(form: Form) -> Any:
    """Return a function of arrays, numbers, arrays that it fills, and W of shape (m, m).

    Of the arrays that it fills, all of shape (m, d), the last are for the mixed results. These are
    computed for some columns at a time, and mixed while they are in the cache.
    """
    arrays, numbers, _ = form.arguments()
    n_inputs, scalar = len(arrays) + len(numbers), form.dtype.type
    kernels: list[Any] = []

    def call(*operands: Any) -> None:
        if not kernels:
            kernels.append(_mixing_by_numba(form))
        constants = [scalar(value) for value in operands[len(arrays) : n_inputs]]
        *out, W = operands[n_inputs:]
        shape = out[0].shape
        given = [_whole(array, shape) for array in operands[: len(arrays)]]
        columns = SCRATCH_BYTES // (len(form.mixed) * shape[0] * form.dtype.itemsize)
        matrix = [part.astype(np.int32, copy=False) for part in (W.indptr, W.indices)] + [W.data]

        def work(part: range) -> None:
            scratch = np.empty((len(form.mixed), shape[0], max(columns, 64)), form.dtype)
            kernels[0](*given, *constants, *out, *scratch, *matrix, part.start, part.stop)

        _divide(shape[1], shape[0], work)

    return call


def _divide(length: int, m: int, work: Callable[[range], None]) -> None:
    """Call `work` for 0, ..., length - 1, in parts for threads if `m` rows of that are long."""
    workers = WORKERS.get()
    if workers.count == 1 or m * length < workers.count * MIN_PART:
        work(range(length))
    else:
        workers.divide(length, work)


def _by_numba(form: Form) -> Any:
    arrays, numbers, out = form.arguments()
    number = getattr(import_module("numba").types, form.dtype.name)
    types = [number[::1]] * len(arrays) + [number] * len(numbers) + [number[::1]] * len(out)
    return _jit(types, _python(form))


def _mixing_by_numba(form: Form) -> Any:
    """Return the function of arrays, numbers, arrays that it fills and scratch, W, and columns."""
    arrays, numbers, out = form.arguments()
    types = import_module("numba").types
    number, integers = getattr(types, form.dtype.name), types.int32[::1]
    return _jit(
        [number[:, ::1]] * len(arrays)
        + [number] * len(numbers)
        + [number[:, ::1]] * (len(out) + len(form.mixed))
        + [integers, integers, number[::1], types.int64, types.int64],
        _mixing_python(form),
    )


def _jit(types: list[Any], function: Callable[..., None]) -> Any:
    numba = import_module("numba")
    # Of a division by zero numba raises an error, as Python does, unless it is to do as numpy.
    return numba.njit([numba.void(*types)], error_model="numpy", nogil=True)(function)


@cache
def _sum_by_numba(dtype: Any) -> Any:
    """Return the function that sums the weighted rows of which row i of a matrix is, in order."""
    types = import_module("numba").types
    number, integers = getattr(types, dtype.name), types.int32[::1]
    matrix = [integers, integers, number[::1]]
    return _jit([*matrix, types.int64, number[:, ::1], number[::1]], _sum)


def _sum(indptr: Any, indices: Any, weights: Any, i: int, rows: Any, target: Any) -> None:
    term = indptr[i]
    row, weight = rows[indices[term]], weights[term]
    for k in range(target.size):
        target[k] = row[k] * weight
    for term in range(indptr[i] + 1, indptr[i + 1]):
        row, weight = rows[indices[term]], weights[term]
        for k in range(target.size):
            target[k] += row[k] * weight


def _by_numpy(form: Form) -> Any:
    """Return the function of whole arrays."""
    arrays, numbers, out = form.arguments()
    lines = [f"{result} = {value}" for result, value in form.assignments()]
    lines += [f"{target}[...] = {result}" for target, result in form.results(out)]
    scope: dict[str, Any] = {"sqrt": np.sqrt}
    exec(f"def kernel({', '.join([*arrays, *numbers, *out])}):\n    " + "\n    ".join(lines), scope)
    return scope["kernel"]


def _python(form: Form) -> Any:
    """Return the function that is compiled, of one-dimensional arrays."""
    arrays, numbers, out = form.arguments()
    lines = [f"{name} = all_{name}[i]" for name in arrays]
    lines += [f"{result} = {value}" for result, value in form.assignments()]
    lines += [f"{target}[i] = {result}" for target, result in form.results(out)]
    parameters = ", ".join([*[f"all_{name}" for name in arrays], *numbers, *out])
    body = "\n        ".join(lines)
    scope: dict[str, Any] = {"sqrt": sqrt}
    exec(f"def kernel({parameters}):\n    for i in range(o0.size):\n        {body}", scope)
    return scope["kernel"]


def _mixing_python(form: Form) -> Any:
    """Return the function that is compiled, of arrays of shape (m, d) and a range of columns."""
    arrays, numbers, out = form.arguments()
    mixed = out[len(form.places) :]
    scratch = [f"s{i}" for i in range(len(mixed))]
    columns = [f"{name}[i, start:end]" for name in [*arrays, *out[: len(form.places)]]]
    some = [f"{name}[i, : end - start]" for name in scratch]
    given = [*columns[: len(arrays)], *numbers, *columns[len(arrays) :], *some]
    sums = [
        f"sum(indptr, indices, weights, i, {rows}, {target}[i, start:end])"
        for rows, target in zip(scratch, mixed, strict=True)
    ]
    text = f"""
def kernel({", ".join([*arrays, *numbers, *out, *scratch])}, indptr, indices, weights, first, last):
    m = {mixed[0]}.shape[0]
    for start in range(first, last, s0.shape[1]):
        end = min(start + s0.shape[1], last)
        for i in range(m):
            update({", ".join(given)})
        for i in range(m):
            {"; ".join(sums)}
"""
    scope: dict[str, Any] = {"update": _by_numba(form), "sum": _sum_by_numba(form.dtype)}
    exec(text, scope)
    return scope["kernel"]


def _flat(array: Array, shape: tuple[int, ...]) -> Array:
    return _whole(array, shape).reshape(-1)


def _whole(array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    return np.ascontiguousarray(array)

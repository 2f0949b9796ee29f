"""Elementwise kernels for arrays of numpy; for long ones compiled by numba, for one thread."""

from importlib import import_module
from math import sqrt
from typing import Any

import numpy as np

from .._types import Array
from .recipes import Form

MIN_COMPILED = 100_000
"""Entries of an array from which a compiled kernel is faster than numpy."""


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
        kernels[0](*flat, *constants, *[target.reshape(-1) for target in out])

    return call


def _by_numba(form: Form) -> Any:
    numba = import_module("numba")
    arrays, numbers, out = form.arguments()
    number = getattr(numba.types, form.dtype.name)
    types = [number[::1]] * len(arrays) + [number] * len(numbers) + [number[::1]] * len(out)
    # Of a division by zero numba raises an error, as Python does, unless it is to do as numpy.
    return numba.njit([numba.void(*types)], error_model="numpy")(_python(form))


def _by_numpy(form: Form) -> Any:
    """Return the function of whole arrays."""
    arrays, numbers, out = form.arguments()
    lines = [f"{result} = {value}" for result, value in form.assignments()]
    lines += [f"{target}[...] = t{place}" for target, place in zip(out, form.places, strict=True)]
    scope: dict[str, Any] = {"sqrt": np.sqrt}
    exec(f"def kernel({', '.join([*arrays, *numbers, *out])}):\n    " + "\n    ".join(lines), scope)
    return scope["kernel"]


def _python(form: Form) -> Any:
    """Return the function that is compiled, of one-dimensional arrays."""
    arrays, numbers, out = form.arguments()
    lines = [f"{name} = all_{name}[i]" for name in arrays]
    lines += [f"{result} = {value}" for result, value in form.assignments()]
    lines += [f"{target}[i] = t{place}" for target, place in zip(out, form.places, strict=True)]
    parameters = ", ".join([*[f"all_{name}" for name in arrays], *numbers, *out])
    body = "\n        ".join(lines)
    scope: dict[str, Any] = {"sqrt": sqrt}
    exec(f"def kernel({parameters}):\n    for i in range(o0.size):\n        {body}", scope)
    return scope["kernel"]


def _flat(array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    return np.ascontiguousarray(array).reshape(-1)

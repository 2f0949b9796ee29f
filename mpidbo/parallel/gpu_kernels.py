"""Elementwise kernels for arrays of CuPy."""

from sys import modules
from typing import Any

from .._types import Array
from .recipes import Form

C_TYPES = {"float64": "double", "float32": "float"}


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array for what a kernel computes."""
    return modules["cupy"].empty(shape, dtype)


def compiled(form: Form) -> Any:
    """Return a function of arrays, numbers and arrays that it fills, all of one shape."""
    c_type, name = C_TYPES[form.dtype.name], form.dtype.name
    arrays, numbers, out = form.arguments()
    lines = [f"const {c_type} {result} = {value};" for result, value in form.assignments()]
    lines += [f"{target} = {result};" for target, result in form.results(out)]
    return modules["cupy"].ElementwiseKernel(
        ", ".join([f"{name} {argument}" for argument in arrays + numbers]),
        ", ".join([f"{name} {target}" for target in out]),
        "\n".join(lines),
        "mpidbo_update",
        options=("--fmad=false",),
        no_return=True,
    )

"""The functions of CuPy, with CuPy's parameters, computed by numpy; and the operators and
methods of arrays made of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .array import array, at_once, launch, ndarray
from .operands import SCALARS, device, is_device, operand

UFUNCS = """
    abs absolute add arccos arcsin arctan arctan2 bitwise_and bitwise_or bitwise_xor cbrt ceil
    copysign cos cosh divide divmod equal exp exp2 expm1 fabs float_power floor floor_divide fmax
    fmin fmod greater greater_equal heaviside hypot invert isfinite isinf isnan left_shift less
    less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul
    maximum minimum mod modf multiply negative nextafter not_equal positive pow power reciprocal
    remainder right_shift rint sign signbit sin sinh sqrt square subtract tan tanh true_divide trunc
""".split()
REDUCED = "axis dtype out keepdims"
FUNCTIONS = {
    **dict.fromkeys(("sum", "mean", "prod", "argmax", "argmin"), f"a {REDUCED}"),
    **dict.fromkeys(("max", "min", "amax", "amin", "all", "any"), "a axis out keepdims"),
    **dict.fromkeys(("std", "var"), "a axis dtype out ddof keepdims"),
    **dict.fromkeys(("cumsum", "cumprod"), "a axis dtype out"),
    **dict.fromkeys(("zeros_like", "ones_like"), "a dtype order subok shape"),
    **dict.fromkeys(("tril", "triu"), "m k"),
    **dict.fromkeys(("allclose", "isclose"), "a b rtol atol equal_nan"),
    **dict.fromkeys(("hstack", "vstack"), "tup dtype casting"),
    "argsort": "a axis",
    "array_equal": "a1 a2 equal_nan",
    "average": "a axis weights",
    "clip": "a a_min a_max out",
    "concatenate": "tup axis out dtype casting",
    "count_nonzero": "a axis",
    "diag": "v k",
    "dot": "a b out",
    "einsum": "*",
    "empty_like": "prototype dtype order subok shape",
    "full_like": "a fill_value dtype order subok shape",
    "inner": "a b",
    "kron": "a b",
    "outer": "a b out",
    "repeat": "a repeats axis",
    "roll": "a shift axis",
    "round": "a decimals out",
    "searchsorted": "a v side sorter",
    "sort": "a axis",
    "stack": "tup axis out dtype casting",
    "take": "a indices axis out",
    "tensordot": "a b axes",
    "tile": "A reps",
    "trace": "a offset axis1 axis2 dtype out",
    "vdot": "a b",
}
WAITING = {
    "bincount": "x weights minlength",
    "flatnonzero": "a",
    "nonzero": "a",
    "unique": "ar return_index return_inverse return_counts axis equal_nan",
}
LINALG = {
    "norm": "x ord axis keepdims",
    "qr": "a mode",
    "solve": "a b",
    "inv": "a",
    "det": "a",
    "eigh": "a UPLO",
    "eigvalsh": "a UPLO",
    "svd": "a full_matrices compute_uv",
    "cholesky": "a",
    "pinv": "a rcond",
    "slogdet": "a",
    "matrix_power": "M n",
}
METHODS = """
    all any argmax argmin argsort cumprod cumsum dot max mean min nonzero prod repeat round
    searchsorted std sum take trace var
""".split()
OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
    "divmod": "divmod",
}
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


def _function(
    name: str, parameters: str, compute: Callable[..., Any], run: Callable[..., Any] = launch
) -> Callable[..., Any]:
    known = parameters.split()

    def called(*args: Any, **kwargs: Any) -> Any:
        if known != ["*"] and (len(args) > len(known) or not kwargs.keys() <= set(known)):
            raise TypeError(
                f"{name}() takes {', '.join(known)}; given {len(args)} and {', '.join(kwargs)}"
            )
        if not any(is_device(x) for x in _flat((args, kwargs))):
            raise TypeError(f"Unsupported type {type(next(iter(args), None))}")
        return run(compute, *args, **kwargs)

    called.__name__ = name
    return called


def _flat(x: Any) -> Any:
    if isinstance(x, (list, tuple, dict)):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _flat(part)
    else:
        yield x


def _ufunc(name: str) -> Callable[..., Any]:
    compute = getattr(np, name)

    def called(*args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
        for x in args:
            if not is_device(x) and type(x) not in SCALARS:
                raise TypeError(f"Unsupported type {type(x)}")
        *args, out = args if len(args) > compute.nin else (*args, out)  # type: ignore[assignment]
        return launch(
            compute, *args, out=out, casting=casting, **({} if dtype is None else {"dtype": dtype})
        )

    called.__name__ = name
    return called


UFUNC = {name: _ufunc(name) for name in UFUNCS}
COMPUTED = {
    name: _function(name, parameters, getattr(np, name)) for name, parameters in FUNCTIONS.items()
} | {
    name: _function(name, parameters, getattr(np, name), at_once)
    for name, parameters in WAITING.items()
}
LINEAR = {
    name: _function(name, parameters, getattr(np.linalg, name))
    for name, parameters in LINALG.items()
}


def _created(name: str, parameters: str) -> Callable[..., Any]:
    known = parameters.split()

    def called(*args: Any, **kwargs: Any) -> ndarray:
        if len(args) > len(known) or not kwargs.keys() <= set(known):
            raise TypeError(
                f"{name}() takes {', '.join(known)}; given {len(args)} and {', '.join(kwargs)}"
            )
        operand([args, *kwargs.values()])
        return launch(lambda: getattr(np, name)(*args, **kwargs))

    called.__name__ = name
    return called


CREATED = {
    name: _created(name, parameters)
    for name, parameters in {
        "zeros": "shape dtype order",
        "ones": "shape dtype order",
        "full": "shape fill_value dtype order",
        "eye": "N M k dtype order",
        "identity": "n dtype",
        "arange": "start stop step dtype",
        "linspace": "start stop num endpoint retstep dtype axis",
    }.items()
}


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    return ndarray._like(np.empty_like(operand(_known(prototype)), dtype, order, shape=shape))  # type: ignore[call-overload]


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    return array(a, dtype, copy, order or "K", blocking=blocking)


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    if is_device(a):
        return device(a).get(stream, order, out, blocking)
    found = np.asarray(a, order=order)  # type: ignore[call-overload]
    if out is not None:
        out[...] = found
    return found if out is None else out


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    made = _known(a).astype(a.dtype if dtype is None else dtype, copy=False)
    return (made if made.flags.c_contiguous else made.copy()).reshape(made.shape or (1,))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return at_once(np.nonzero, _known(condition))
    return launch(np.where, _known(condition), x, y)


def copyto(dst: ndarray, src: Any) -> None:
    _known(dst)[...] = src


def _known(a: Any) -> Any:
    if not is_device(a):
        raise TypeError(f"Unsupported type {type(a)}")
    return device(a)


def shape(a: Any) -> tuple[int, ...]:
    return a.shape if is_device(a) else np.shape(a)


def ndim(a: Any) -> int:
    return a.ndim if is_device(a) else np.ndim(a)


def size(a: Any, axis: int | None = None) -> int:
    return int(shape(a)[axis] if axis is not None else np.prod(shape(a), dtype=int))


def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(a, ndarray) for a in args) else np


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return bool(np.may_share_memory(_known(a)._a, _known(b)._a))


VIEWS: dict[str, Callable[..., Any]] = {
    "reshape": lambda a, newshape, order="C": _known(a).reshape(newshape, order=order),
    "ravel": lambda a, order="C": _known(a).ravel(order),
    "transpose": lambda a, axes=None: _known(a).transpose(*([] if axes is None else [axes])),
    "swapaxes": lambda a, axis1, axis2: _known(a).swapaxes(axis1, axis2),
    "squeeze": lambda a, axis=None: _known(a).squeeze(axis),
    "diagonal": lambda a, offset=0, axis1=0, axis2=1: _known(a).diagonal(offset, axis1, axis2),
    "expand_dims": lambda a, axis: _known(a)._reshaped(lambda array: np.expand_dims(array, axis)),
    "moveaxis": lambda a, source, destination: _known(a)._reshaped(
        lambda array: np.moveaxis(array, source, destination)
    ),
    "broadcast_to": lambda array, shape: _known(array)._reshaped(
        lambda a: np.broadcast_to(a, shape)
    ),
    "split": lambda ary, indices_or_sections, axis=0: [
        ndarray._view(part, _known(ary))
        for part in np.split(_known(ary)._a, indices_or_sections, axis)
    ],
    "copy": lambda a, order="K": _known(a).copy(order),
}


def _clip(self: ndarray, min: Any = None, max: Any = None, out: Any = None) -> Any:
    return COMPUTED["clip"](self, min, max, out=out)


def _operator(ufunc: str, reflected: bool = False) -> Callable[[ndarray, Any], Any]:
    def operate(self: ndarray, other: Any) -> Any:
        if not isinstance(other, ndarray):
            theirs = getattr(other, "__array_ufunc__", ...)
            if theirs is None or (
                theirs is ...
                and getattr(other, "__array_priority__", 0) > ndarray.__array_priority__
            ):
                return NotImplemented
        return getattr(np, ufunc)(*((other, self) if reflected else (self, other)))

    return operate


def _in_place(ufunc: str) -> Callable[[ndarray, Any], ndarray]:
    return lambda self, other: UFUNC[ufunc](self, other, out=self)


def equip() -> None:
    """Give `ndarray` its operators and methods."""
    for short, name in OPERATORS.items():
        setattr(ndarray, f"__{short}__", _operator(name))
        setattr(ndarray, f"__r{short}__", _operator(name, reflected=True))
        if short not in ("matmul", "divmod"):
            setattr(ndarray, f"__i{short}__", _in_place(name))
    for short, name in COMPARISONS.items():
        setattr(ndarray, f"__{short}__", _operator(name))
    for short, name in {
        "neg": "negative",
        "pos": "positive",
        "abs": "absolute",
        "invert": "invert",
    }.items():
        setattr(ndarray, f"__{short}__", lambda self, name=name: UFUNC[name](self))
    for name in METHODS:
        setattr(
            ndarray,
            name,
            lambda self, *args, name=name, **kwargs: {**COMPUTED, **UFUNC}[name](
                self, *args, **kwargs
            ),
        )
    ndarray.clip = _clip  # type: ignore[attr-defined]
    ndarray.conj = ndarray.copy  # type: ignore[attr-defined]


equip()

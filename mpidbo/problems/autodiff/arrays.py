"""The one place that turns users' data into arrays.

Whatever holds numbers (numpy, pandas, tensors, memory views) becomes a plain numpy array by
position, never by label: native byte order, no negative strides, a dtype that the frameworks have.
Everything else is a UserError that names the argument, the dtype and the remedy.
"""

import math
from array import array as compact
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError, shown

BUFFERS = (memoryview, bytearray, compact)
NUMBERS = "biufc"
"""Kinds of numpy's dtypes that losses can use."""
REMEDIES = {
    "O": "make it numbers, such as by .astype(float)",
    "U": "make it numbers: .astype(float) of digits, or their codes in np.unique",
    "M": "make it numbers, such as (t - t[0]) / np.timedelta64(1, 's')",
    "m": "make it numbers, such as t / np.timedelta64(1, 's')",
    "V": "give each field as an array, such as {name: a[name] for name in a.dtype.names}",
}
REMEDIES["S"] = REMEDIES["T"] = REMEDIES["U"]
NUMPY_FLOATS = ("torch.float64", "torch.float32", "torch.float16")
SIGNED = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}
"""Unsigned types that PyTorch has but cannot index or add, and those that take their place."""


def is_array(value: Any) -> bool:
    """Whether that is an array, a tensor or a table of any library."""
    if _is_tensor(value) or (hasattr(value, "dtype") and hasattr(value, "shape")):
        return not isinstance(value, (str, bytes, type))
    return isinstance(value, BUFFERS) or (
        hasattr(value, "__array__") and not isinstance(value, type)
    )


def length(value: Any) -> int:
    """How many rows an array has; 1 without an axis."""
    shape = shape_of(value)
    return len(value) if shape is None else int(shape[0]) if len(shape) else 1


def shape_of(value: Any) -> Any:
    """The shape that an array says it has, None where it does not."""
    try:
        return getattr(value, "shape", None)
    except RuntimeError:  # a nested tensor of PyTorch
        return ()


def has_rows(value: Any) -> bool:
    """Whether that is an array with a first axis, which batches are taken along."""
    return is_array(value) and ((shape := shape_of(value)) is None or len(shape) > 0)


def rows(value: Any, indices: NDArray[Any]) -> Any:
    """Rows of an array of any library, by position; it keeps its type."""
    if (
        isinstance(value, np.ndarray)
        or _is_tensor(value)
        or hasattr(value, "__cuda_array_interface__")
    ):
        return value[indices]
    if of_library(value, "pandas"):
        return value.take(indices)
    if isinstance(value, BUFFERS) or not hasattr(value, "__getitem__"):
        return np.asarray(value)[indices]
    ascending, inverse = np.unique(indices, return_inverse=True)  # a file's arrays ask for that
    return np.asarray(value[ascending])[inverse]


def native(value: Any, where: str) -> NDArray[Any]:
    """An array as numpy's: of numbers, in native byte order, in memory as any library takes it.

    It shares the value's memory where nothing has to change. UserError, which begins with `where`.
    """
    found = as_numpy(value, where)
    dtype = found.dtype
    if dtype.kind not in NUMBERS:
        if dtype.kind == "V" and dtype.names is None and dtype.name.startswith(("bfloat", "float")):
            return found.astype(np.float32)  # of ml_dtypes, all shorter
        raise UserError(
            f"{where}: {dtype_of(found)} is not an array of numbers; "
            f"{REMEDIES.get(dtype.kind, REMEDIES['O'])}"
        )
    if dtype.kind in "fc" and dtype.itemsize > (8 if dtype.kind == "f" else 16):
        found = found.astype(np.float64 if dtype.kind == "f" else np.complex128)
    elif not dtype.isnative:
        found = found.astype(dtype.newbyteorder("="))
    if not found.flags.aligned or any(step < 0 or step % found.itemsize for step in found.strides):
        found = found.copy(order="C")
    return found


def signed(found: NDArray[Any], where: str) -> NDArray[Any]:
    """An array without the unsigned types that PyTorch cannot compute with. UserError."""
    wider = SIGNED.get(found.dtype.name)
    if wider is None:
        return found
    if found.dtype == np.uint64 and found.size and int(found.max()) > np.iinfo(np.int64).max:
        raise UserError(
            f"{where}: uint64 up to {int(found.max())}, but PyTorch has whole numbers up to 2^63 "
            "- 1; give smaller "
            "numbers, or floats"
        )
    return found.astype(wider)


def whole(value: Any, where: str, what: str, least: int = 0) -> int:
    """A whole number of any library, no bool, from `least` on. UserError."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise UserError(f"{where}: {shown(value)} {what}")
    return int(value)


def brief(text: str, most: int = 400) -> str:
    """A text on one line, of at most so many letters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}..."


def refuse_sparse(value: Any, where: str) -> None:
    """UserError for a sparse matrix of SciPy or JAX, which may not fit into memory as an array."""
    call = next((call for call in ("toarray", "todense") if hasattr(value, call)), None)
    if call is not None and not isinstance(value, np.ndarray):
        shape = tuple(int(side) for side in getattr(value, "shape", ()))
        gib = 8 * math.prod(shape) / 2**30
        size = f" ({gib:.3g} GiB in float64)" if gib > 0.01 else ""
        raise UserError(
            f"{where}: {type_of(value)} of shape {shape} is sparse; make it dense by .{call}()"
            f"{size}, or each agent's rows alone, by a function agent -> (X[rows].{call}(), labels[rows])"
        )


def as_numpy(value: Any, where: str) -> NDArray[Any]:
    """The same numbers as an array of numpy's own class, of any dtype."""
    if isinstance(value, np.ma.MaskedArray):
        if masked := int(np.ma.count_masked(value)):  # type: ignore[no-untyped-call]
            raise UserError(
                f"{where}: {masked} of {value.size} entries are masked; fill them (.filled(...)) "
                "or leave them out"
            )
        return np.asarray(value.data)
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    refuse_sparse(value, where)
    if of_library(value, "pandas"):
        return _of_pandas(value, where)
    if _is_tensor(value):
        return _of_tensor(value, where)
    try:
        found = np.asarray(value.get() if hasattr(value, "__cuda_array_interface__") else value)
    except Exception as error:
        raise UserError(
            f"{where}: {type_of(value)} cannot be read as an array ({brief(str(error), 200)}); "
            "give an array of numbers"
        ) from error
    if found.dtype == object and found.ndim == 0:
        raise UserError(
            f"{where}: {type_of(value)} cannot be read as an array; give an array of numbers"
        )
    return found


def _of_tensor(value: Any, where: str) -> NDArray[Any]:
    """A tensor of PyTorch, which need not be imported for that."""
    if str(value.layout) != "torch.strided":
        raise UserError(f"{where}: a sparse tensor ({value.layout}); make it dense by .to_dense()")
    if value.device.type == "meta" or value.is_quantized or value.is_nested:
        raise UserError(
            f"{where}: a tensor without numbers of its own ({value.dtype} on {value.device}); "
            "give one of floats on the CPU"
        )
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    if plain.is_floating_point() and str(plain.dtype) not in NUMPY_FLOATS:
        plain = plain.float()
    return np.asarray(plain.numpy())


def _of_pandas(value: Any, where: str) -> NDArray[Any]:
    """A table, a column or an index of pandas, by position."""
    if value.ndim == 1:
        return _column(value, where)
    kinds = set(value.dtypes)
    if len(kinds) == 1 and isinstance(next(iter(kinds)), np.dtype):
        return np.asarray(value.to_numpy())
    names = [f"{where}, column {shown(name)}" for name in value.columns]
    columns = [_column(value.iloc[:, i], name) for i, name in enumerate(names)]
    for column, name in zip(columns, names, strict=True):
        native(column[:1], name)  # refuses texts by the name of their column
    return np.stack(columns, axis=1) if columns else np.zeros((len(value), 0))


def _column(value: Any, where: str) -> NDArray[Any]:
    if isinstance(value.dtype, np.dtype):
        return np.asarray(value.to_numpy())
    own = getattr(value.dtype, "numpy_dtype", None)
    kind = brief(str(value.dtype), 60)
    if kind == "category":
        raise UserError(
            f"{where}: dtype category is not an array of numbers; give its codes, .cat.codes, or "
            ".astype(float) where the "
            "categories are numbers"
        )
    if not isinstance(own, np.dtype) or own.kind not in NUMBERS or kind.startswith("Sparse"):
        remedy = (
            "make it dense by .sparse.to_dense()"
            if kind.startswith("Sparse")
            else "make it numbers, such as by .astype(float)"
        )
        raise UserError(f"{where}: dtype {kind} is not an array of numbers; {remedy}")
    missing = np.asarray(value.isna())
    if missing.any():
        raise missing_values(where, missing)
    return np.asarray(value.to_numpy(dtype=own))


def missing_values(where: str, missing: NDArray[Any]) -> UserError:
    at = int(np.flatnonzero(missing)[0])
    return UserError(
        f"{where}: {int(missing.sum())} of {missing.size} values are missing, the first in row "
        f"{at}; fill them (.fillna) "
        "or leave these rows out"
    )


def of_library(value: Any, library: str) -> bool:
    return type(value).__module__.partition(".")[0] == library


def _is_tensor(value: Any) -> bool:
    """Whether that is a tensor of PyTorch."""
    return hasattr(value, "detach") and hasattr(value, "layout")


def type_of(value: Any) -> str:
    return brief(type(value).__name__, 60)


def dtype_of(found: NDArray[Any]) -> str:
    """The dtype in a sentence; of objects also what the first one is."""
    name = brief(str(found.dtype), 60)
    return (
        f"dtype object (the first entry is {type_of(found.flat[0])})"
        if found.dtype == object and found.size
        else f"dtype {name}"
    )


def refuse_streams(value: Any, where: str) -> None:
    """UserError for what has no samples to ask for: loaders, iterable data sets, iterators."""
    if (
        isinstance(value, (str, bytes, Mapping, list, tuple))
        or is_array(value)
        or not hasattr(value, "__iter__")
    ):
        iterable = hasattr(value, "__next__")
    else:
        iterable = hasattr(value, "__next__") or not hasattr(value, "__getitem__")
    if any(base.__name__ == "IterableDataset" for base in type(value).__mro__):
        raise UserError(
            f"{where}: {type_of(value)} is an iterable data set, without samples to ask for by "
            "number; give arrays, or a data "
            "set with a length and items, and batch="
        )
    if iterable and getattr(value, "dataset", None) is not None:
        size = getattr(value, "batch_size", None)
        raise UserError(
            f"{where}: {type_of(value)} draws samples by itself, but draws are mpidbo's; give its "
            ".dataset and "
            f"batch={size if isinstance(size, int) else '...'} instead"
        )
    if iterable and not isinstance(value, (set, frozenset)):
        raise UserError(
            f"{where}: {type_of(value)} can be read in one order alone, or once; give arrays, or "
            "a data set with a length and "
            "items, and batch="
        )

"""Conversion of users' data into arrays, all of it in one place.

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
"""The types of tensors that numpy has."""
SIGNED = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}
"""Unsigned types that PyTorch has but cannot index or add, and those that take their place."""


def is_array(value: Any) -> bool:
    """Whether that is an array, a tensor or a table of any library."""
    if isinstance(value, (str, bytes, type)):
        return False
    if _is_tensor(value) or (hasattr(value, "dtype") and hasattr(value, "shape")):
        return True
    return isinstance(value, BUFFERS) or hasattr(value, "__array__")


def length(value: Any) -> int:
    """Return the number of rows of an array; 1 without an axis."""
    shape = shape_of(value)
    if shape is None:
        return len(value)
    return int(shape[0]) if len(shape) else 1


def shape_of(value: Any) -> Any:
    """Return the shape that an array reports, None where it reports none."""
    try:
        return getattr(value, "shape", None)
    except RuntimeError:  # a nested tensor of PyTorch
        return ()


def has_rows(value: Any) -> bool:
    """Whether that is an array with a first axis, which batches are taken along."""
    if not is_array(value):
        return False
    shape = shape_of(value)
    return shape is None or len(shape) > 0


def rows(value: Any, indices: NDArray[Any]) -> Any:
    """Return rows of an array of any library, by position; it keeps its type."""
    is_indexed_by_rows = isinstance(value, np.ndarray) or _is_tensor(value)
    if is_indexed_by_rows or hasattr(value, "__cuda_array_interface__"):
        return value[indices]
    if of_library(value, "pandas"):
        return value.take(indices)
    if isinstance(value, BUFFERS) or not hasattr(value, "__getitem__"):
        return np.asarray(value)[indices]
    # An array in a file (h5py) takes ascending indices alone, each once.
    ascending, inverse = np.unique(indices, return_inverse=True)
    return np.asarray(value[ascending])[inverse]


def native(value: Any, where: str) -> NDArray[Any]:
    """Return an array of numbers as numpy's, in native byte order and a layout of any library.

    It shares the value's memory where nothing has to change.

    Parameters
    ----------
    value : array, tensor or table of any library
        What the user gave.
    where : str
        The beginning of messages.

    Raises
    ------
    UserError
        It is not an array of numbers; the message has the remedy.
    """
    found = as_numpy(value, where)
    dtype = found.dtype
    if dtype.kind not in NUMBERS:
        is_short_float = dtype.kind == "V" and dtype.names is None
        if is_short_float and dtype.name.startswith(("bfloat", "float")):
            return found.astype(np.float32)  # of ml_dtypes, whose floats are all shorter
        raise UserError(
            f"{where}: {dtype_of(found)} is not an array of numbers; "
            f"{REMEDIES.get(dtype.kind, REMEDIES['O'])}"
        )
    if dtype.kind == "f" and dtype.itemsize > 8:  # long double
        found = found.astype(np.float64)
    elif dtype.kind == "c" and dtype.itemsize > 16:
        found = found.astype(np.complex128)
    elif not dtype.isnative:
        found = found.astype(dtype.newbyteorder("="))
    # PyTorch refuses negative strides, and those that are not multiples of the size of an entry.
    if not found.flags.aligned or any(step < 0 or step % found.itemsize for step in found.strides):
        found = found.copy(order="C")
    return found


def signed(found: NDArray[Any], where: str) -> NDArray[Any]:
    """Return an array without the unsigned types that PyTorch cannot compute with.

    Raises UserError.
    """
    wider = SIGNED.get(found.dtype.name)
    if wider is None:
        return found
    if found.dtype == np.uint64 and found.size and int(found.max()) > np.iinfo(np.int64).max:
        raise UserError(
            f"{where}: uint64 up to {int(found.max())}, but PyTorch has integers up to 2^63 - 1; "
            "give smaller numbers, or floats"
        )
    return found.astype(wider)


def whole_number(value: Any, where: str, what: str, minimum: int = 0) -> int:
    """Return an integer of any library, not a bool, from `minimum` on. Raises UserError."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < minimum:
        raise UserError(f"{where}: {shown(value)} {what}")
    return int(value)


def brief(text: str, max_length: int = 400) -> str:
    """Return a string on one line, cut to that many characters."""
    text = " ".join(text.split())
    return text if len(text) <= max_length else f"{text[:max_length]}..."


def refuse_sparse(value: Any, where: str) -> None:
    """Raise UserError for a sparse matrix of SciPy or JAX, which may be too large as an array."""
    call = next((call for call in ("toarray", "todense") if hasattr(value, call)), None)
    if call is not None and not isinstance(value, np.ndarray):
        shape = tuple(int(side) for side in getattr(value, "shape", ()))
        gib = 8 * math.prod(shape) / 2**30
        size = f" ({gib:.3g} GiB in float64)" if gib > 0.01 else ""
        raise UserError(
            f"{where}: {type_of(value)} of shape {shape} is sparse; make it dense by "
            f".{call}(){size}, or each agent's rows alone, by a function agent -> "
            f"(X[rows].{call}(), labels[rows])"
        )


def as_numpy(value: Any, where: str) -> NDArray[Any]:
    """Return the same numbers as an array of numpy's own class, of any dtype. Raises UserError."""
    if isinstance(value, np.ma.MaskedArray):
        masked = int(np.ma.count_masked(value))  # type: ignore[no-untyped-call]
        if masked:
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
            f"{where}: a tensor without numbers of its own ({value.dtype} on {value.device}); give "
            "one of floats on the CPU"
        )
    # PyTorch notes conjugation and negation in a flag, which numpy does not have.
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
        native(column[:1], name)  # refuses strings by the name of their column
    return np.stack(columns, axis=1) if columns else np.zeros((len(value), 0))


def _column(value: Any, where: str) -> NDArray[Any]:
    if isinstance(value.dtype, np.dtype):
        return np.asarray(value.to_numpy())
    own = getattr(value.dtype, "numpy_dtype", None)
    kind = brief(str(value.dtype), 60)
    if kind == "category":
        raise UserError(
            f"{where}: dtype category is not an array of numbers; give its codes, .cat.codes, or "
            ".astype(float) where the categories are numbers"
        )
    if not isinstance(own, np.dtype) or own.kind not in NUMBERS or kind.startswith("Sparse"):
        remedy = "make it numbers, such as by .astype(float)"
        if kind.startswith("Sparse"):
            remedy = "make it dense by .sparse.to_dense()"
        raise UserError(f"{where}: dtype {kind} is not an array of numbers; {remedy}")
    missing = np.asarray(value.isna())
    if missing.any():
        raise missing_values(where, missing)
    return np.asarray(value.to_numpy(dtype=own))


def missing_values(where: str, missing: NDArray[Any]) -> UserError:
    """Return the error for missing values, given their mask."""
    at = int(np.flatnonzero(missing)[0])
    return UserError(
        f"{where}: {int(missing.sum())} of {missing.size} values are missing, the first in row "
        f"{at}; fill them (.fillna) or leave these rows out"
    )


def of_library(value: Any, library: str) -> bool:
    """Whether the class of a value is of that library."""
    return type(value).__module__.partition(".")[0] == library


def _is_tensor(value: Any) -> bool:
    """Whether that is a tensor of PyTorch."""
    return hasattr(value, "detach") and hasattr(value, "layout")


def type_of(value: Any) -> str:
    """Return the name of a value's type for a message."""
    return brief(type(value).__name__, 60)


def dtype_of(found: NDArray[Any]) -> str:
    """Return the dtype for a message; of objects also the type of the first one."""
    if found.dtype == object and found.size:
        return f"dtype object (the first entry is {type_of(found.flat[0])})"
    return f"dtype {brief(str(found.dtype), 60)}"


def refuse_streams(value: Any, where: str) -> None:
    """Raise UserError for loaders and iterators: they have no samples by number."""
    is_iterator = hasattr(value, "__next__")
    is_tree = isinstance(value, (str, bytes, Mapping, list, tuple)) or is_array(value)
    is_without_items = hasattr(value, "__iter__") and not hasattr(value, "__getitem__")
    is_stream = is_iterator or (is_without_items and not is_tree)
    if any(base.__name__ == "IterableDataset" for base in type(value).__mro__):
        raise UserError(
            f"{where}: {type_of(value)} is an iterable data set, without samples to ask for by "
            "number; give arrays, or a data set with a length and items, and batch="
        )
    if is_stream and getattr(value, "dataset", None) is not None:
        size = getattr(value, "batch_size", None)
        batch = size if isinstance(size, int) else "..."
        raise UserError(
            f"{where}: {type_of(value)} draws samples by itself, but draws are mpidbo's; give its "
            f".dataset and batch={batch} instead"
        )
    if is_stream and not isinstance(value, (set, frozenset)):
        raise UserError(
            f"{where}: {type_of(value)} can be read in one order alone, or once; give arrays, or a "
            "data set with a length and items, and batch="
        )

"""Labels of samples and positions of samples, as arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .arrays import as_numpy, dtype_of, is_array, missing_values, of_library, type_of


def codes(labels: Any, where: str) -> NDArray[np.int64]:
    """Return labels of any kind as the numbers of their classes, in ascending order.

    Raises
    ------
    UserError
        Labels that are missing or cannot be sorted, or not one for each sample.
    """
    if of_library(labels, "pandas") and str(getattr(labels, "dtype", "")) == "category":
        found = np.asarray(labels.cat.codes if hasattr(labels, "cat") else labels.codes)
        if (found < 0).any():
            raise missing_values(where, found < 0)
        return np.unique(found, return_inverse=True)[1].astype(np.int64)
    if of_library(labels, "pandas") and hasattr(labels, "isna"):
        missing = np.asarray(labels.isna())
        if missing.any():
            raise missing_values(where, missing)
    if not (is_array(labels) or isinstance(labels, (list, tuple, range))):
        raise UserError(
            f"{where}: {type_of(labels)} is not labels; give an array or a list, one label for "
            "each sample, or their number"
        )
    if of_library(labels, "pandas"):
        found = np.asarray(labels)
    else:
        found = as_numpy(labels, where) if is_array(labels) else _listed(labels)
    if found.ndim != 1:
        remedy = ""
        if found.ndim == 2 and found.shape[1] > 1:
            remedy = "; one-hot rows are labels by .argmax(axis=1)"
        raise UserError(
            f"{where}: labels of shape {found.shape}, expected one for each sample, (N,){remedy}"
        )
    if found.dtype.kind in "OfcMm":
        absent = np.array([_is_missing(label) for label in found], bool)
        if absent.any():
            raise missing_values(where, absent)
    try:
        return np.unique(found, return_inverse=True)[1].astype(np.int64)
    except TypeError:
        raise UserError(
            f"{where}: {dtype_of(found)} cannot be put in order; give labels of one type, such as "
            "whole numbers"
        ) from None


def _is_missing(label: Any) -> bool:
    return label is None or type(label).__name__ == "NAType" or bool(label != label)


def indices(part: Any, agent: int, size: int) -> NDArray[np.int64]:
    """Return the indices of one agent's part of `size` samples, given as integers or as a mask.

    Raises
    ------
    UserError
        Neither of these, or an index beyond the samples.
    """
    where = f"subsets: the part of agent {agent}"
    is_list = hasattr(part, "__len__") and not isinstance(part, (Mapping, str, bytes))
    if not is_list or getattr(part, "shape", None) == ():
        raise UserError(f"{where} is {type_of(part)}; give a list of indices for each agent")
    found = as_numpy(part, where) if is_array(part) else _listed(part)
    if found.ndim != 1 or (found.dtype.kind not in "iub" and found.size):
        raise UserError(
            f"{where} has {dtype_of(found)} and shape {found.shape}; give whole numbers from 0 on, "
            "as mpidbo.split returns them"
        )
    if found.dtype.kind == "b":
        if len(found) != size:
            raise UserError(
                f"{where} is a mask of {len(found)} booleans, but there are {size} samples; give "
                "one for each"
            )
        return np.flatnonzero(found)
    wrong = found[(found < 0) | (found >= size)]
    if len(wrong):
        raise UserError(
            f"subsets: sample {wrong[0]} is asked for, but there are {size} (the part of agent "
            f"{agent}); count from 0"
        )
    return found.astype(np.int64)


def _listed(values: Any) -> NDArray[Any]:
    """A list as an array; an array without an axis where it is not a list."""
    try:
        return np.asarray(list(values))
    except (TypeError, ValueError):
        return np.array(None)

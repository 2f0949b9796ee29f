"""From a tree in a problem's own form back to the vector that `x_tree` or `y_tree` makes it of."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .autodiff.arrays import native

BASE = 1024
"""Numbers below it are exact in every floating-point type that a tree may have."""


def vector_of(problem: Any, level: str, given: Any, size: int, where: str) -> Float[Array, " d"]:
    """Return what a user gives for x or y as a vector.

    Parameters
    ----------
    problem : Problem
        Its `x_tree` or `y_tree` decides which entries of the vector are where in a tree.
    level : {"x", "y"}
    given : array or tree
        The vector itself, or nested dicts and lists of arrays of any library as the problem's
        method returns them; a module of PyTorch counts as the dict of its parameters.
    size : int
        Entries of the vector.
    where : str
        The argument, for messages.

    Raises
    ------
    UserError
        Where it is neither.
    """
    if _is_vector(given, size):
        return _real(given, where).reshape(size)
    form = getattr(problem, f"{level}_tree", None)
    places = np.arange(size) if form is None else _places(form, size, where)
    found = np.full(size, np.nan)
    for index, part in _matched(places, given, where):
        found[index] = part
    return found


def _is_vector(given: Any, size: int) -> bool:
    """Whether it is an array, or a list of numbers, of shape (size,)."""
    if isinstance(given, list | tuple):
        return len(given) == size and all(np.ndim(entry) == 0 for entry in given)
    return getattr(given, "shape", None) == (size,)


def _places(form: Any, size: int, where: str) -> Any:
    """The tree of a vector, with the place of each entry in the vector instead of the entry."""
    places, power, index = None, 1, np.arange(size)
    while places is None or power < size:
        # Digit by digit, since the form may have a shorter floating-point type.
        digit = form((index // power % BASE).astype(float))
        places = _sum(places, digit, power)
        power *= BASE
    entries = [part.ravel() for _, part in _matched(places, places, where)]
    if not np.array_equal(np.sort(np.concatenate([*entries, np.empty(0, int)])), index):
        raise UserError(
            f"{where}: the problem's own form is not a rearrangement of the vector; give the "
            f"vector, an array of shape ({size},)"
        )
    return places


def _sum(places: Any, digit: Any, power: int) -> Any:
    """Trees of integers: places + power digit."""
    if isinstance(digit, Mapping):
        return {
            key: _sum(None if places is None else places[key], part, power)
            for key, part in digit.items()
        }
    if isinstance(digit, list | tuple):
        return [
            _sum(None if places is None else places[i], part, power) for i, part in enumerate(digit)
        ]
    if digit is None:
        return None
    here = np.rint(np.asarray(digit)).astype(int) * power
    return here if places is None else places + here


def _matched(form: Any, given: Any, where: str) -> Iterator[tuple[Any, Any]]:
    """Yield the arrays of two trees of the same form. Raises UserError where they differ."""
    if isinstance(form, Mapping):
        if hasattr(given, "named_parameters"):
            given = dict(given.named_parameters())
        if not isinstance(given, Mapping):
            raise UserError(f"{where}: {_kind(given)}, not a dict with {_listed(form)}")
        different = [key for key in (*form, *given) if (key in form) != (key in given)]
        if different:
            verb = "is missing" if different[0] in form else "is not known"
            raise UserError(f"{where}: {different[0]} {verb}; give a dict with {_listed(form)}")
        for key, part in form.items():
            yield from _matched(part, given[key], f"{where}: {key}")
    elif isinstance(form, list | tuple):
        if not isinstance(given, list | tuple) or len(given) != len(form):
            raise UserError(f"{where}: {_kind(given)}, not a list of {len(form)} parts")
        for i, part in enumerate(form):
            yield from _matched(part, given[i], f"{where}: {i}")
    elif form is not None:
        array = _real(given, where)
        if array.shape != form.shape:
            raise UserError(
                f"{where}: shape {array.shape} does not fit; give an array of shape {form.shape}"
            )
        yield form, array


def _real(given: Any, where: str) -> np.ndarray:
    array = native(given, where)
    if array.dtype.kind == "c":
        raise UserError(f"{where}: {array.dtype}, not real numbers; give its real part")
    return array


def _listed(form: Mapping[Any, Any]) -> str:
    return " and ".join(str(key) for key in form) or "nothing in it"


def _kind(given: Any) -> str:
    shape = getattr(given, "shape", None)
    return f"a {type(given).__name__}" if shape is None else f"an array of shape {tuple(shape)}"

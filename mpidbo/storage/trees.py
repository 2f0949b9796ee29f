"""The agents' average in the problem's own form, and its file trees.h5.

A tree is nested dicts, lists and tuples of arrays. A dict, list or tuple is a group of the file,
with its kind in the attribute `kind`; an array is a dataset. Items of a list are named by their
number, those of a dict by their key (`_name`), with all keys in order, as JSON, in the attribute
`keys`.
"""

import json
import re
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import UserError, shown
from .files import DONE
from .hdf5 import atomic_hdf5, open_hdf5

LISTS: dict[str, type[Any]] = {"list": list, "tuple": tuple}
REMEDY = (
    f"remove {DONE} beside it, and the command that ran it writes it again from the last checkpoint"
)
"""Of a damaged trees.h5."""


def of(problem: Any, x: Any, y: Any | None) -> dict[str, Any]:
    """Return the average of x, and of y, in the problem's own form.

    Parameters
    ----------
    problem : Problem
        Its methods `x_tree` and `y_tree` make trees of vectors; without them vectors stay.
    x : array of shape (p,)
    y : array of shape (q,) or None
        None where each agent has a lower variable of its own.

    Returns
    -------
    dict
        "x", "y" -> tree.

    Raises
    ------
    UserError
        Where the problem returns what cannot be stored.
    """
    vectors = {"x": x} if y is None else {"x": x, "y": y}
    found = {}
    for name, vector in vectors.items():
        tree = getattr(problem, f"{name}_tree", None)
        made = vector if tree is None else tree(vector)
        found[name] = checked(made, f"problem {type(problem).__name__}.{name}_tree")
    return found


def are_vectors(trees: Mapping[str, Any]) -> bool:
    """Return whether all trees are plain vectors: the problem has no form of its own."""
    return all(isinstance(tree, np.ndarray) and tree.ndim == 1 for tree in trees.values())


def checked(tree: Any, where: str) -> Any:
    """Return a tree with numpy arrays in place of all its leaves.

    Parameters
    ----------
    tree
        Nested dicts, with strings and integers as keys, lists, tuples, None and arrays.
    where : str
        How the message of an error begins.

    Raises
    ------
    UserError
        Where it has another kind of part or of key.
    """
    if isinstance(tree, Mapping):
        return {_key(key, where): checked(part, f"{where}: {key}") for key, part in tree.items()}
    for kind in LISTS.values():
        if isinstance(tree, kind):
            return kind(checked(part, f"{where}: {i}") for i, part in enumerate(tree))
    if tree is None:
        return None
    try:
        array = np.asarray(tree)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.kind not in "biufc":
        raise UserError(
            f"{where}: a {type(tree).__name__}, not an array of numbers; return nested dicts and "
            "lists of numpy arrays"
        )
    return array


def _key(key: Any, where: str) -> str | int:
    if isinstance(key, Integral) and not isinstance(key, bool):
        return int(key)
    if not isinstance(key, str):
        raise UserError(
            f"{where}: the key {shown(key)} is neither a string nor an integer; name the parts of "
            "the tree by these"
        )
    return str(key)


def _name(key: str | int) -> str:
    """The name of an item in the file, different for each key.

    In HDF5 no name is empty or a dot, or has a slash, a NUL or half a surrogate pair.
    """
    if isinstance(key, int):
        return str(key)
    text = re.sub(r"[%/\0\ud800-\udfff]", lambda sign: f"%{ord(sign[0]):02X}", key)
    return f"%={text}" if re.fullmatch(r"\.?|-?[0-9]+", text) else text


def write(path: Path, trees: Mapping[str, Any], iteration: int) -> None:
    """Write checked trees to a file; UserError where the operating system refuses to."""
    with atomic_hdf5(path) as file:
        file.attrs["iteration"] = iteration
        write_to(file, trees)


def write_to(place: h5py.Group, trees: Mapping[str, Any]) -> None:
    """Write checked trees to a group, or to a file itself."""
    for name, tree in trees.items():
        _write(place, name, tree)


def _write(place: h5py.Group, name: str, tree: Any) -> None:
    """Write a tree as an item of a group."""
    if isinstance(tree, np.ndarray):
        # HDF5 has checksums of chunks alone, and no chunks of an empty array or of a number.
        summed = tree.size > 0 and tree.ndim > 0
        place.create_dataset(name, data=tree, fletcher32=summed, chunks=True if summed else None)
        return
    group = place.create_group(name)
    group.attrs["kind"] = "none" if tree is None else type(tree).__name__
    if isinstance(tree, dict):
        group.attrs["keys"] = json.dumps([*tree])
        items = list(tree.items())
    else:
        items = list(enumerate(tree or ()))
    for key, part in items:
        _write(group, _name(key), part)


def read(path: Path, group: str = "/") -> tuple[dict[str, Any], int]:
    """Read the trees and the iteration from a file; UserError where it is missing or damaged."""
    with open_hdf5(path, REMEDY) as file:
        return read_from(file[group]), int(file.attrs["iteration"])


def read_from(place: h5py.Group) -> dict[str, Any]:
    """Read the trees of a group."""
    return {name: _read(part) for name, part in place.items()}


def _read(item: Any) -> Any:
    if isinstance(item, h5py.Dataset):
        return item[...]
    kind = item.attrs["kind"]
    if kind == "dict":
        return {key: _read(item[_name(key)]) for key in json.loads(item.attrs["keys"])}
    if kind == "none":
        return None
    return LISTS[kind](_read(item[str(i)]) for i in range(len(item)))

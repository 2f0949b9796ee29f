"""The agents' average in the user's own form, nested dicts, lists and tuples of arrays, and its file trees.h5.

A dict, list or tuple is a group, told apart by its attribute `kind`; an array is a dataset. Items of a list are named by their
number, those of a dict by their key (`_name`), with all keys in order, as JSON, in the group's attribute `keys`.
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
from .files import DONE, stored_hdf5, whole_hdf5

LISTS: dict[str, type[Any]] = {"list": list, "tuple": tuple}
REMEDY = f"remove {DONE} beside it, and the command that ran it writes it anew from the last checkpoint"


def of(problem: Any, x: Any, y: Any | None) -> dict[str, Any]:
    """{"x": ..., "y": ...}, the vectors x (p,) and y (q,), or x alone, in the problem's own form. Raises UserError."""
    vectors = {"x": x} if y is None else {"x": x, "y": y}
    made = {name: getattr(problem, f"{name}_tree", lambda vector: vector) for name in vectors}
    return {name: checked(made[name](vector), f"problem {type(problem).__name__}.{name}_tree") for name, vector in vectors.items()}


def are_vectors(trees: Mapping[str, Any]) -> bool:
    """Whether the problem has no form of its own."""
    return all(isinstance(tree, np.ndarray) and tree.ndim == 1 for tree in trees.values())


def checked(tree: Any, where: str) -> Any:
    """A tree of dicts with texts and whole numbers as keys, lists, tuples, None and numpy arrays. UserError, which begins with `where`."""
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
        raise UserError(f"{where}: a {type(tree).__name__}, no array of numbers; return nested dicts and lists of numpy arrays")
    return array


def _key(key: Any, where: str) -> str | int:
    if isinstance(key, Integral) and not isinstance(key, bool):
        return int(key)
    if not isinstance(key, str):
        raise UserError(f"{where}: the key {shown(key)} is neither a text nor a whole number; name the parts of the tree by these")
    return str(key)


def _name(key: str | int) -> str:
    """The name of an item, another for each key: in HDF5 none is empty or a dot, or has a slash, a zero or half a surrogate pair."""
    if isinstance(key, int):
        return str(key)
    text = re.sub(r"[%/\0\ud800-\udfff]", lambda sign: f"%{ord(sign[0]):02X}", key)
    return f"%={text}" if re.fullmatch(r"\.?|-?[0-9]+", text) else text


def write(path: Path, trees: Mapping[str, Any], iteration: int) -> None:
    """A file of checked trees; UserError when the disk refuses."""
    with whole_hdf5(path) as file:
        file.attrs["iteration"] = iteration
        for name, tree in trees.items():
            _write(file, name, tree)


def _write(place: h5py.Group, name: str, tree: Any) -> None:
    if isinstance(tree, np.ndarray):
        summed = tree.size > 0 and tree.ndim > 0
        place.create_dataset(name, data=tree, fletcher32=summed, chunks=True if summed else None)
        return
    group = place.create_group(name)
    group.attrs["kind"] = "none" if tree is None else type(tree).__name__
    if isinstance(tree, dict):
        group.attrs["keys"] = json.dumps([*tree])
    for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree or ()):
        _write(group, _name(key), part)


def read(path: Path) -> tuple[dict[str, Any], int]:
    """(trees, iteration) of a file. Raises UserError where it is missing or damaged."""
    with stored_hdf5(path, REMEDY) as file:
        return {name: _read(part) for name, part in file.items()}, int(file.attrs["iteration"])


def _read(item: Any) -> Any:
    if isinstance(item, h5py.Dataset):
        return item[...]
    kind = item.attrs["kind"]
    if kind == "dict":
        return {key: _read(item[_name(key)]) for key in json.loads(item.attrs["keys"])}
    return None if kind == "none" else LISTS[kind](_read(item[str(i)]) for i in range(len(item)))

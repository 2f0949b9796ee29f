"""Values as a configuration's file can hold them."""

from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np

from .._fields import LARGEST_INTEGER
from ..algorithms import Schedule, Strategy
from ..errors import UserError, shown
from ..network import Edges

MAX_DEPTH = 50
"""Levels of lists and tables inside each other."""


def plain(value: Any, depth: int = 0) -> Any:
    """A value as TOML has it: tables without None, lists, Python's numbers, strings for paths.

    Parameters
    ----------
    value : object
        Tables, lists, tuples, numbers of numpy, paths; anything else is returned as it is.
    depth : int, default 0
        Levels of lists and tables around the value.

    Raises
    ------
    UserError
        Lists or tables are nested more than `MAX_DEPTH` deep, as they are when one holds itself.
    """
    if depth > MAX_DEPTH:
        raise UserError(
            f"configuration: lists or tables are nested more than {MAX_DEPTH} deep; "
            "a configuration has two or three levels"
        )
    if isinstance(value, Mapping):
        return {key: plain(item, depth + 1) for key, item in value.items() if item is not None}
    if isinstance(value, Edges):  # plain already, and there may be a million of them
        return value
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def check_storable(value: Any, where: str, objects: bool = False) -> None:
    """Raise UserError unless a configuration's file can hold a plain value.

    Parameters
    ----------
    value : object
        What `plain` returned.
    where : str
        Name of the key or table, with which a message begins.
    objects : bool, default False
        Accept objects of any class, as options of a problem class may be; strings and whole numbers
        are checked all the same.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UserError(
                    f"{where}: {shown(key)} is not a key; keys are strings, such as {where}.name"
                )
            check_storable(key, f"{where}, a key")
            check_storable(item, f"{where}.{key}", objects)
    elif isinstance(value, Edges):
        pass
    elif isinstance(value, list):
        for item in value:
            check_storable(item, where, objects)
    elif isinstance(value, str):
        # Python has a lone surrogate for each byte of a file's name that is not UTF-8.
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise UserError(
                f"{where}: {shown(value)} holds bytes that are not UTF-8, or NUL, which "
                "config.toml cannot hold; choose another name"
            )
    elif type(value) is int:
        if abs(value) > LARGEST_INTEGER:
            raise UserError(
                f"{where}: {shown(value)} is out of range; give a whole number of at most 64 bits, "
                "or one with a point, such as 1e20"
            )
    elif not (objects or isinstance(value, bool | float | date | time | Strategy | Schedule)):
        raise UserError(
            f"{where}: {shown(value)} is not what config.toml can hold; "
            "give a number, a string, true or false, a list or a table"
        )

"""Paths in configurations: relative to the folder of the file that holds them, or to the working folder.

Which of a problem's options are paths only its class says, `Problem.paths`; until that is loaded their texts carry the folder.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, shown
from ..problems.data import fetch as data


class Written(str):
    """A text of a configuration, with the folder that a path in it is relative to."""

    folder = Path()


def absolute(path: str, folder: Path) -> str:
    """A path relative to a folder, or to the user's home by ~, from the root."""
    try:
        return str((folder / os.path.expanduser(path)).resolve())
    except (ValueError, OSError, RuntimeError):         # of NUL or half a character, of links in a circle: the checks say more
        return str(path)


def written(value: Any, folder: Path) -> Any:
    """A value of a problem's option, all texts in it with the folder for `options_of`."""
    here = folder.resolve()

    def mark(text: str) -> Written:
        made = Written(text)
        made.folder = here
        return made

    return _each(value, mark)


def options_of(cls: type[Any], problem: Mapping[str, Any]) -> dict[str, Any]:
    """`[problem]` with absolute paths where the class declares an option as one; the others as they were written. Raises UserError."""
    declared = getattr(cls, "paths", ())
    if not isinstance(declared, (tuple, list)) or not all(isinstance(key, str) for key in declared):
        raise UserError(f'problem {cls.__name__}.paths: {shown(declared)} does not name options; give a tuple such as ("path",)')
    return {key: value if key == "name" else _each(value, _located if key in declared else str) for key, value in problem.items()}


def _located(text: str) -> str:
    """A declared path; the name of a data set, an address and nothing at all are none."""
    if not text or "://" in text or data.is_name(text):
        return str(text)
    return absolute(text, getattr(text, "folder", Path()))


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """A value with all texts in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each(item, change) for key, item in value.items()}
    return [_each(item, change) for item in value] if isinstance(value, list) else value

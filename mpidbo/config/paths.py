"""Paths in a configuration, which are relative to the folder of its file, or to the working folder.

Only the class of a problem knows which of its options are paths (`Problem.paths`). Until the class
is loaded, strings in the options remember the folder of their file.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import problems
from ..errors import UserError, shown
from .places import check_option_places


class StringOfFile(str):
    """A string of a configuration, with the folder that it is relative to in case it is a path."""

    folder = Path()


def absolute(path: str, folder: Path) -> str:
    """Make a path absolute.

    Parameters
    ----------
    path : str
        A path, relative to `folder`, or to the user's home if it begins with ~.
    folder : Path
        The folder.

    Returns
    -------
    str
        The absolute path without links; `path` itself if that cannot be found.
    """
    try:
        return str((folder / os.path.expanduser(path)).resolve())
    except (ValueError, OSError, RuntimeError):
        # a NUL, a lone surrogate or a cycle of links, which the checks of the value report
        return str(path)


def with_folder(value: Any, folder: Path) -> Any:
    """A value of a problem's option whose strings remember the folder, for `options_of`."""
    resolved = folder.resolve()

    def mark(text: str) -> StringOfFile:
        marked = StringOfFile(text)
        marked.folder = resolved
        return marked

    return _map_strings(value, mark)


def options_of(cls: type[Any], problem: Mapping[str, Any]) -> dict[str, Any]:
    """`[problem]` with absolute paths, and with names as the class knows them.

    Parameters
    ----------
    cls : type
        The class of the problem, whose attribute `paths` names the options that are paths.
    problem : Mapping
        The table; its strings may remember the folder of their file.

    Returns
    -------
    dict
        The table, with absolute paths for the options that are paths; the others unchanged.

    Raises
    ------
    UserError
        `cls.paths` is not a list or tuple of strings, or a key belongs to another section.
    """
    declared = getattr(cls, "paths", ())
    if not isinstance(declared, tuple | list) or not all(isinstance(key, str) for key in declared):
        raise UserError(
            f"problem {cls.__name__}.paths: {shown(declared)} does not name options; give a tuple "
            'such as ("path",)'
        )
    options = {}
    for key, value in problem.items():
        if key == "name":
            options[key] = value
        else:
            options[key] = _map_strings(value, _located if key in declared else str)
    check_option_places(cls, options)
    return problems.with_known_names(cls, options)


def _located(text: str) -> str:
    """The absolute path of an option; the name of a data set, an address and "" are not paths.

    Written in another case than its own, a name is that of a data set where there is no such path.
    """
    if not text or "://" in text:
        return str(text)
    name = problems.data_set_named(text)
    path = absolute(text, getattr(text, "folder", Path()))
    return name if name == text or (name and not os.path.exists(path)) else path


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """A value with a function applied to all strings in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _map_strings(item, change) for key, item in value.items()}
    return [_map_strings(item, change) for item in value] if isinstance(value, list) else value

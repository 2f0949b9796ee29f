"""The names of a run's files, and the errors of files that cannot be read."""

import os
from collections.abc import Mapping
from errno import EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path
from stat import S_ISREG
from typing import Any

from .. import _contents as contents
from ..errors import UserError

CONFIG, RESULT, TREES, HISTORY = "config.toml", "result.h5", "trees.h5", "history.h5"
START = "start.h5"
"""What a caller of `solve` gave as the start; `run.start` names it."""
TRACE, TRACES = "trace.json", "trace"
"""The timeline of all ranks, and the folder of those of each rank until they are merged."""
BEST = "best.h5"
"""The file of the best iterate."""
DONE = "done"
"""The marker of a finished run."""
DIVERGED = "diverged"
"""The marker of a run that diverged; it holds the message."""
STOPPED = "stopped"
"""The marker of a run stopped before its end; it holds the reason, and is removed at a restart."""
SURVIVED = "survived"
"""A line for each time that the run has gone on after ranks had died."""
CURVES, REPORT = "curves.png", "report.html"
"""What `mpidbo plot` and `mpidbo report` write of one run."""
LATER = "start again once it can be read; nothing was removed"
"""What to do where the operating system refuses to read."""


class Unreadable(UserError):
    """The operating system refuses to read a file, which says nothing about its content."""


class Damaged(UserError):
    """The content of a file is not what was written, or a file is missing that others need."""


def unreadable(
    path: Path, error: Exception, remedy: str = "", where: str = ""
) -> Unreadable | Damaged:
    """Return the error of a file that cannot be read.

    Parameters
    ----------
    path : Path
    error : Exception
        What was raised.
    remedy : str
        How the message ends where the path or the content is at fault.
    where : str
        How the message begins.

    Returns
    -------
    Damaged
        Where the content is at fault, or the file is missing.
    Unreadable
        Where the operating system refuses.
    """
    begin = f"{where}: {path}" if where else f"{path}"
    number = getattr(error, "errno", None)
    if not number:  # h5py's errors about the content have none
        remedy = remedy or f"give a run, or its {HISTORY}"
        return Damaged(
            f"{begin}: cannot be read (it is not an HDF5 file or it is damaged); {remedy}"
        )
    if number in (ENAMETOOLONG, ELOOP):
        remedy = remedy or "give another path"
    elif number not in (ENOENT, ENOTDIR, EISDIR):
        remedy = LATER
    message = _with_remedy(f"{begin}: cannot be read ({os.strerror(number)})", remedy)
    return Damaged(message) if number == ENOENT else Unreadable(message)


def read_text(path: Path, remedy: str = "") -> str:
    """Return the text of a file.

    Raises
    ------
    Unreadable, Damaged
        As `unreadable` returns them.
    """
    try:
        return contents.decoded(path.read_bytes())
    except ValueError as error:
        raise Damaged(_with_remedy(f"{path}: damaged ({error})", remedy)) from None
    except OSError as error:
        raise unreadable(path, error, remedy) from None


def is_there(path: Path) -> bool:
    """Return whether a file exists.

    Raises
    ------
    Unreadable
        Where the operating system does not answer.
    """
    try:
        return S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from None


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"run.seed": 0, ...} from nested tables."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _with_remedy(message: str, remedy: str) -> str:
    return f"{message}; {remedy}" if remedy else message

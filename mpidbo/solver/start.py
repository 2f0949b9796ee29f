"""The point at which a run starts: what the caller gives, an earlier result, the problem's own."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._types import Array, Float
from ..config import Run
from ..errors import UserError, shown
from ..parallel import Agents, host
from ..problems import native, vector_of
from ..storage import RESULT, Saved, files, read_arrays, trees

Start = tuple[Float[Array, " p"], Float[Array, " q"]]


class Given(NamedTuple):
    """What a caller gives for x and y: vectors, or trees in the problem's own form."""

    x: Any = None
    """None: as without it."""
    y: Any = None

    @property
    def is_nothing(self) -> bool:
        return self.x is None and self.y is None


def given_start(start: Any, x0: Any, y0: Any) -> tuple[str | None, Given]:
    """Return the file of `run.start` and the arrays that the arguments of `solve` are.

    Parameters
    ----------
    start : str, path, Result or Saved, optional
        An earlier run, at whose averages x and y start: a file, a folder with one, or itself.
    x0, y0 : array or tree, optional

    Raises
    ------
    UserError
        Both are given, or `start` is none of these.
    """
    if start is None:
        return None, Given(x0, y0)
    if x0 is not None or y0 is not None:
        name = "y0" if x0 is None else "x0"
        raise UserError(f"{name}: start gives both x and y; leave one of the two out")
    if isinstance(start, str | Path):
        return str(start), Given()
    if isinstance(start, Saved) and start.x is not None and start.y is not None:
        return None, Given(*(Agents(len(rows)).mean(rows) for rows in (start.x, start.y)))
    if hasattr(start, "x_mean") and hasattr(start, "y_mean"):
        return None, Given(start.x_mean, start.y_mean)
    raise UserError(
        f"start: {shown(start)} is not an earlier run; give a Result, what mpidbo.load returns, or "
        f"the path of a {RESULT}"
    )


def start_point(
    problems: list[Any], dims: tuple[int, int], run: Run, given: Given | None = None
) -> Start:
    """Return (x0, y0) of every agent.

    They are what is given, else the average of an earlier result, else the problem's start. Raises
    UserError where that is not a point of these dimensions, or where this rank's agents disagree.
    """
    given = given or Given()
    if given.x is not None and given.y is not None:
        x0, y0 = np.zeros(dims[0]), np.zeros(dims[1])
    elif run.start is not None and given.is_nothing:
        x0, y0 = _fitting(f"run.start: {run.start}", _earlier(run.start), dims, run.dtype)
    else:
        x0, y0 = _common_start(problems, dims, run.dtype)
    x0, y0 = (
        own if part is None else _own(problems[0], level, part, size, run.dtype)
        for level, part, own, size in zip("xy", given, (x0, y0), dims, strict=True)
    )
    # Raises where the problem's own form of the point is not a tree of arrays.
    trees.of(problems[0], x0, y0)
    return x0, y0


def _own(problem: Any, level: str, given: Any, size: int, dtype: str) -> Float[Array, " d"]:
    """What the caller gives, as a finite array (size,) of that type. Raises UserError."""
    where = f"{level}0"
    found = np.array(vector_of(problem, level, given, size, where), dtype)
    if not np.isfinite(found).all():
        raise UserError(f"{where}: not finite; start where every entry is")
    return found


def _common_start(problems: list[Any], dims: tuple[int, int], dtype: str) -> Start:
    """The start of the problems, which is the same for all of them."""
    where = f"problem {type(problems[0]).__name__}.start()"
    starts = (_fitting(where, _start_of(problem, dims), dims, dtype) for problem in problems)
    first = next(starts)
    for other in starts:
        if not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True)):
            raise UserError(f"{where}: agents disagree; make it the same on every agent")
    return first


def _earlier(start: str) -> Start:
    """The averages of x and y in the file of a result, or in the folder of a run."""
    file = Path(start)
    if os.path.isdir(file):  # False for a name that no file can have, where Path raises
        file = file / files.RESULT
    found, _ = read_arrays(file, "run.start")
    if "x" not in found or "y" not in found:
        raise UserError(f"run.start: {file} holds no x and y; give a {RESULT} or {files.BEST}")
    x, y = (np.atleast_2d(found[name]) for name in ("x", "y"))
    return Agents(len(x)).mean(x), Agents(len(y)).mean(y)


def _start_of(problem: Any, dims: tuple[int, int]) -> Any:
    """What a problem gives as its start; zeros where it has none."""
    if hasattr(problem, "start"):
        return problem.start()
    p, q = dims
    return np.zeros(p), np.zeros(q)


def _fitting(where: str, start: Any, dims: tuple[int, int], dtype: str) -> Start:
    """A start as finite arrays (p,) and (q,) of that type. Raises UserError."""
    p, q = dims
    remedy = f"give (x0, y0) of shapes ({p},) and ({q},)"
    try:
        first, second = start
    except (TypeError, ValueError):
        raise UserError(f"{where}: not two arrays of numbers; {remedy}") from None
    try:
        x0, y0 = native(host(first), "x0"), native(host(second), "y0")
    except UserError as error:
        raise UserError(f"{where}: not two arrays of numbers; {error}") from None
    if x0.dtype.kind == "c" or y0.dtype.kind == "c":
        raise UserError(
            f"{where}: not two arrays of real numbers, but {x0.dtype} and {y0.dtype}; {remedy}"
        )
    x, y = np.array(x0, dtype), np.array(y0, dtype)
    if x.shape != (p,) or y.shape != (q,):
        raise UserError(
            f"{where}: shapes {x.shape} and {y.shape} do not fit dims ({p}, {q}); "
            f"make them ({p},) and ({q},)"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError(f"{where}: not finite; start where every entry is")
    return x, y

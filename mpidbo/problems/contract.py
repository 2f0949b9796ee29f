"""The contract of a problem: functions with the right arguments, sizes and numbers that fit."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import UserError, shown
from .base import ORACLES

ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ORACLES, ("x", "y", "sample")),
    **dict.fromkeys(("g_yy", "g_xy"), ("x", "y", "v", "sample")),
    "draw": ("rng",),
    "metrics": ("x", "y"),
    "start": (),
    "solution": (),
    "project_x": ("x",),
    "project_y": ("y",),
    "x_tree": ("x",),
    "y_tree": ("y",),
    "stacked": ("agents",),
}
"""The arguments with which a run calls each function of a problem."""
OPTIONAL = (*ORACLES, "project_x", "project_y")
"""Functions that may be None."""


def assure(problem: Any) -> None:
    """Raise UserError unless each function that the problem has can be called as a run calls it."""
    for name, arguments in ARGUMENTS.items():
        found = getattr(problem, name, None)
        if found is None and (name in OPTIONAL or not hasattr(problem, name)):
            continue
        where = f"problem {type(problem).__name__}.{name}"
        form = f"def {name}({', '.join(('cls' if name == 'stacked' else 'self', *arguments))})"
        if not callable(found) or isinstance(found, type):
            raise UserError(f"{where}: {shown(found)} is not a function; define it as {form}")
        try:
            inspect.signature(found).bind(*arguments)
        except TypeError as error:
            raise UserError(
                f"{where}: cannot be called as {name}({', '.join(arguments)}) ({error}); define it "
                f"as {form}"
            ) from None
        except ValueError:  # of compiled code, which has no signature, or a method without self
            if inspect.ismethod(found):
                raise UserError(f"{where}: takes no arguments; define it as {form}") from None


def agents_of(cls: type[Any]) -> int | None:
    """Return the number of agents that the class has data for, if it sets one.

    Raises UserError unless it is positive.
    """
    n = getattr(cls, "agents", None)
    if n is not None and (type(n) is not int or n < 1):
        raise UserError(
            f"problem {cls.__name__}.agents: {shown(n)} is not a positive whole number; give one, "
            "or None"
        )
    return n


def shipped(cls: type[Any]) -> bool:
    """Whether the class is one of this package or derived from one."""
    return getattr(cls, "infinite", None) is not None


SIZE_ERRORS = ("too big", "too large", "Maximum allowed")
"""Parts of numpy's ValueErrors about sizes."""


@contextmanager
def fitting(cls: type[Any], options: Mapping[str, Any], n: int) -> Iterator[None]:
    """A block in which a shipped problem is made or called.

    UserError where its sizes or numbers are too large.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except (MemoryError, OverflowError, ValueError) as error:
        if not shipped(cls):
            raise
        given = (
            ", ".join(f"{key} = {shown(value)}" for key, value in options.items() if key != "name")
            or "the default options"
        )
        if isinstance(error, np.linalg.LinAlgError):
            raise UserError(
                f"problem: {cls.__name__} with {given} has data that are not finite; choose "
                "smaller numbers"
            ) from None
        if isinstance(error, ValueError) and not any(words in str(error) for words in SIZE_ERRORS):
            raise
        raise UserError(
            f"problem: {cls.__name__} with {given} of {n} agents does not fit into memory; choose "
            "smaller sizes, or spread the agents over more ranks"
        ) from None


def assure_finite(problems: list[Any]) -> None:
    """Raise LinAlgError unless the arrays of shipped problems are finite."""
    if shipped(type(problems[0])) and not all(
        np.isfinite(part).all() for problem in problems for part in _arrays(vars(problem).values())
    ):
        raise np.linalg.LinAlgError


def _arrays(values: Iterable[Any]) -> Iterator[np.ndarray]:
    """Yield the values that are arrays of floats, and those in tuples."""
    for value in values:
        if isinstance(value, tuple):
            yield from _arrays(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            yield value

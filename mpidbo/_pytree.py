"""States of methods as trees: the path `m/y/s` is field s of the memory of level y."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._types import Array


def leaves(state: Any, path: str = "") -> Iterator[tuple[str, Array]]:
    """Iterate over the arrays of a state with their paths.

    Parameters
    ----------
    state : tuple or array
        A named tuple, or a tuple, of arrays and of further tuples.
    path : str, default ""
        Path of the state itself.

    Yields
    ------
    path : str
    array
    """
    if not isinstance(state, tuple):
        yield path, state
        return
    for name, part in zip(_names(state), state, strict=True):
        yield from leaves(part, _joined(path, name))


def rebuilt(like: Any, rows: Mapping[str, Array], path: str = "") -> Any:
    """Return a state of the same form as `like` from a mapping of paths to arrays."""
    if not isinstance(like, tuple):
        return rows[path]
    parts = [
        rebuilt(part, rows, _joined(path, name))
        for name, part in zip(_names(like), like, strict=True)
    ]
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def mapped(function: Callable[[Array], Array], state: Any) -> Any:
    """Return a state of the same form with the function applied to each array."""
    return rebuilt(state, {path: function(rows) for path, rows in leaves(state)})


def _names(state: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the names of the fields; the numbers of the entries of a plain tuple."""
    return getattr(state, "_fields", tuple(map(str, range(len(state)))))


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name

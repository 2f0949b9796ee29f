"""A method's state as paths: `m/y/s` is field s of the memory of level y."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Array = Any


def leaves(state: Any, path: str = "") -> Iterator[tuple[str, Array]]:
    """(path, rows) of every array of a state, a named tuple of arrays and of further ones."""
    if isinstance(state, tuple):
        for name, part in zip(getattr(state, "_fields", map(str, range(len(state)))), state, strict=True):
            yield from leaves(part, f"{path}/{name}" if path else name)
    else:
        yield path, state


def rebuilt(like: Any, rows: Mapping[str, Array], path: str = "") -> Any:
    """A state of the same form as `like`, from its paths."""
    if not isinstance(like, tuple):
        return rows[path]
    names = getattr(like, "_fields", tuple(map(str, range(len(like)))))
    parts = [rebuilt(part, rows, f"{path}/{name}" if path else name) for name, part in zip(names, like, strict=True)]
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def mapped(function: Callable[[Array], Array], state: Any) -> Any:
    """A state of the same form, of what the function makes of each array."""
    return rebuilt(state, {path: function(rows) for path, rows in leaves(state)})

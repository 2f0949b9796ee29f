"""Nested dicts, lists and tuples: their leaves in order, and the same nesting of other leaves."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from ...errors import shown
from .arrays import brief, is_array, shape_of

MAX_LEAVES = 4
"""Leaves that a message names."""


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of a tree, in its order."""
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def mapped(of: Callable[[Any], Any], tree: Any) -> Any:
    """Return the tree with `of(leaf)` in place of each leaf, called in their order."""
    if isinstance(tree, Mapping):
        return {key: mapped(of, part) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        return _like(tree, [mapped(of, part) for part in tree])
    return of(tree)


def mapped_at(of: Callable[[Any, str], Any], tree: Any, where: str) -> Any:
    """Return the tree with `of(leaf, place)` in place of each leaf.

    `place` is `where` and the path in words.
    """
    if isinstance(tree, Mapping):
        return {key: mapped_at(of, part, f"{where}, {shown(key)}") for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [mapped_at(of, part, f"{where}, part {i}") for i, part in enumerate(tree)]
        return _like(tree, parts)
    return of(tree, where)


def _like(tree: Any, parts: list[Any]) -> Any:
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def kind(tree: Any) -> str:
    """Describe a tree for a message, in bounded length: by the shapes of its arrays."""
    found = leaves(tree)
    few = [_kind(leaf) for leaf in islice(found, MAX_LEAVES)]
    if len(found) > MAX_LEAVES:
        few.append(f"{len(found) - MAX_LEAVES:,} more")
    return " and ".join(few) or "nothing"


def _kind(leaf: Any) -> str:
    shape = shape_of(leaf) if is_array(leaf) else None
    if not isinstance(shape, tuple):
        return brief(type(leaf).__name__, 60)
    comma = "," if len(shape) == 1 else ""  # as Python writes a tuple
    return f"({', '.join(map(str, shape))}{comma})"

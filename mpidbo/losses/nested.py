"""Nested dicts, lists and tuples: their leaves in order, and the same nesting of other leaves."""

from collections.abc import Callable, Mapping
from typing import Any


def leaves(tree: Any) -> list[Any]:
    """What stands in a tree, in its order."""
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def mapped(of: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `of(leaf)` in place of each leaf, called in their order."""
    if isinstance(tree, Mapping):
        return {key: mapped(of, part) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [mapped(of, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return of(tree)


def is_array(leaf: Any) -> bool:
    """Whether that is an array or a tensor, of any library."""
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def kind(tree: Any) -> str:
    """A tree in a sentence: the shapes of its arrays."""
    found = [f"({', '.join(map(str, leaf.shape))}{',' if len(leaf.shape) == 1 else ''})" if is_array(leaf) else type(leaf).__name__
             for leaf in leaves(tree)]
    return " and ".join(found) or "nothing"

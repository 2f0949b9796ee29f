"""What a Python file defines, read without executing it."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .base import ORACLES

MAKERS = ("from_torch", "from_jax")
"""Functions that return a problem."""


def problems_in(path: Path) -> list[str]:
    """Return the public names of the problems at the top level of a file; [] if it is unreadable.

    Parameters
    ----------
    path : Path
        A Python file. It is parsed, not executed: a problem is a class that is derived from one
        called Problem or defines an oracle, or what `from_torch` or `from_jax` returns.
    """
    found: list[str] = []
    for node in _statements(path):
        if isinstance(node, ast.ClassDef):
            bases = {_last_name(base) for base in node.bases}
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            if bases & {"Problem", *found} or methods & set(ORACLES):
                found.append(node.name)
        elif isinstance(node, ast.Assign) and _called(node.value) in MAKERS:
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [name for name in found if not name.startswith("_")]


def calls_of(path: Path) -> set[str]:
    """Return the names of the functions that a file calls, without the modules before them."""
    nodes = (node for statement in _statements(path) for node in ast.walk(statement))
    return {_called(node) for node in nodes} - {""}


def _statements(path: Path) -> Iterator[ast.stmt]:
    with suppress(OSError, SyntaxError, ValueError, RecursionError):
        yield from ast.parse(path.read_bytes()).body


def _called(node: ast.AST) -> str:
    """The name of the function that an expression calls; "" for another expression."""
    return _last_name(node.func) if isinstance(node, ast.Call) else ""


def _last_name(node: ast.AST) -> str:
    """`Problem` of `Problem`, `mpidbo.Problem` and `Problem[int]`."""
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")

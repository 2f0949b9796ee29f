"""What `[topology]` may say: its keys, what each must be, and which table is for which level; no graph is made here."""

import inspect
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from ..errors import UserError, did_you_mean, shown
from .graphs import TOPOLOGIES

Spec = Mapping[str, Any] | None
SOURCES = ("name", "file", "edges")
"""The keys of which a table has one."""
SIDES = ("upper", "lower")
DEFAULT = {"name": "ring"}


def _is(kind: type, value: Any, least: float = 0) -> bool:
    real = isinstance(value, kind) and not isinstance(value, bool)
    return real and bool(value >= least)


class Edges(list[list[Any]]):
    """`edges` that this package made: of Python's numbers, and as a table has them."""


def _edges(value: Any) -> bool:
    """Whether these are pairs of agents, or all of them entries of W."""
    if isinstance(value, Edges):
        return True
    if not isinstance(value, list | tuple) or not all(isinstance(edge, list | tuple) for edge in value):
        return False
    return {len(edge) for edge in value} in (set(), {2}, {3}) and all(
        _is(Integral, i) and _is(Integral, j) and max(i, j) < 2**31 and all(isinstance(w, Real) for w in weight) for i, j, *weight in value)


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda v: isinstance(v, str), "a text"),
    "file": (lambda v: isinstance(v, str | Path), "the path of a file"),
    "edges": (lambda v: _edges(v), "pairs of agents, [[0, 1], [1, 2]], or entries of W, [[0, 0, 0.5], [0, 1, 0.5]]"),
    "weights": (lambda v: isinstance(v, str) and v in ("metropolis", "uniform"), '"metropolis" or "uniform"'),
    "lazy": (lambda v: isinstance(v, bool), "true or false"),
    "drop": (lambda v: _is(Real, v) and v < 1, "a number from 0 up to, but below, 1"),
    "directed": (lambda v: isinstance(v, bool), "true or false"),
    "p": (lambda v: _is(Real, v) and v <= 1, "a number from 0 to 1"),
    "self_weight": (lambda v: _is(Real, v) and 0 < v < 1, "a number between 0 and 1, both excluded"),
    "degree": (lambda v: _is(Integral, v), "a whole number, 0 or more"),
    "seed": (lambda v: _is(Integral, v), "a whole number, 0 or more"),
    "shape": (
        lambda v: isinstance(v, list | tuple) and len(v) == 2 and all(_is(Integral, side, 1) for side in v),
        "two whole numbers, [rows, columns]",
    ),
}
"""What the value of a key must be; that of an option without a rule is the graph's to check."""


def options(name: str) -> list[str]:
    """The options of a named graph: the parameters of its function but for n."""
    return list(inspect.signature(TOPOLOGIES[name]).parameters)[1:]


def check_table(table: Mapping[str, Any], where: str) -> str:
    """Which of SOURCES the table has. UserError, which begins with `where` and the key, for a key or value that does not fit."""
    given = [key for key in SOURCES if key in table]
    if len(given) != 1:
        raise UserError(f"{where}.name: a topology has either a name or a file, or edges; give one, a name is {', '.join(TOPOLOGIES)}")
    source, = given
    value = table[source]
    if source == "name" and not (isinstance(value, str) and value in TOPOLOGIES):
        is_file = isinstance(value, str) and "." in value
        remedy = f"a file is file = {shown(value)}" if is_file else did_you_mean(value, TOPOLOGIES)
        raise UserError(f"{where}.name: no topology is called {shown(value)}; {remedy}")
    name = "edges" if source == "edges" else str(value)
    known = [source, "weights", "lazy", "drop", *(options(value) if source == "name" else [])]
    for key, value in table.items():
        if key not in known:
            raise UserError(f"{where}.{key}: unknown key of {name}; {did_you_mean(key, known)}")
        if key in RULES and not RULES[key][0](value):
            raise UserError(f"{where}.{key}: {shown(value)} does not fit; give {RULES[key][1]}")
    return source


def with_default(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """`[topology]` with the default name, if some level takes it from there."""
    if any(key in table for key in SOURCES) or all(side in table for side in SIDES):
        return table
    return {**DEFAULT, **table}


def of_levels(table: Mapping[str, Any], strategies: Mapping[str, str], method: str) -> dict[str, tuple[str, Spec]]:
    """Of each level of a method: where its topology stands, and its table; None for the average over all agents.

    table : `[topology]`, with a default name.
    strategies : level -> the name of its strategy.
    UserError: a table or key that is wrong, or that has no effect on this method. The graph of a level that averages over all agents is
    checked all the same, and not used: what is compared on a graph may have such a level.
    """
    own = {side: table[side] for side in SIDES if side in table}
    common = {key: value for key, value in table.items() if key not in SIDES}
    sides = {level: "upper" if level == "x" else "lower" for level in strategies}
    for side, part in own.items():
        if not isinstance(part, Mapping):
            raise UserError(f"topology.{side}: {shown(part)} is not a table; write [topology.{side}] and its keys below it")
        check_table(part, f"topology.{side}")
        if side not in sides.values():
            raise UserError(f"topology.{side}: has no effect, since {method} sends nothing at that level; leave the table out")
    if common and not own.keys() >= set(sides.values()):
        check_table(common, "topology")
    elif common and (len(own) == len(SIDES) or common != DEFAULT):
        key = next((key for key in common if common[key] != DEFAULT.get(key)), "name")
        raise UserError(f"topology.{key}: has no effect, since {' and '.join(f'[topology.{side}]' for side in own)} "
                        f"replace{'s' * (len(own) == 1)} all of [topology]; write it there, or leave it out")
    found: dict[str, tuple[str, Spec]] = {}
    for level, strategy in strategies.items():
        side = sides[level]
        where, spec = (f"topology.{side}", own[side]) if side in own else ("topology", common)
        if strategy == "centralized" and spec.get("drop"):
            raise UserError(f"{where}.drop: centralized averages over all agents and has no links that fail; leave the key out, or "
                            'take another strategy, over a star for example: topology.name = "star"')
        found[level] = (where, None if strategy == "centralized" else spec)
    return found

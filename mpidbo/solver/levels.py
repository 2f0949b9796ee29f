"""The topology and the gossip operator of each level of a method."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..algorithms import Method
from ..config import Run
from ..errors import UserError
from ..network import Levels, MixingOperator, Spec, gossip_of
from ..parallel import Agents, Host

if TYPE_CHECKING:
    from ..network import Topology

LevelTables = Mapping[str, tuple[str, Spec]]
"""Of each level: the section with its topology, and that table; None: average of all agents."""


def make_topologies(tables: LevelTables, method: Method, n: int) -> "dict[str, Topology]":
    """The topology of each level, one object where two levels have the same table; for rank 0.

    Raises UserError where a table does not describe a graph of n agents, or its W does not suit the
    level's strategy.
    """
    # Here, since only the rank that makes topologies has to import networkx.
    from ..network import centralized, has, make, suits

    made: dict[str, Topology] = {}
    strategies = method.strategies()
    for level, (where, table) in tables.items():
        key = _key(table)
        if key not in made:
            made[key] = centralized(n) if table is None else make(table, n, where=where)
        suits(made[key], strategies[level], where=where)
        if method.mixes_by_W and level != "x" and not has(made[key], "W"):
            raise UserError(
                f"{where}: the method averages by a W whose rows and columns sum to one, whatever "
                f"its strategies, and {made[key].name} has none; take an undirected graph, or "
                "another method"
            )
    return {level: made[_key(table)] for level, (_, table) in tables.items()}


def make_gossip(
    tables: LevelTables,
    topologies: "Mapping[str, Topology]",
    agents: Agents,
    run: Run,
    backend: Host,
) -> Levels:
    """W of each level, one operator where two levels share a topology; collective.

    Rank 0 has the `topologies`; the other ranks receive their rows of W.
    """
    made: dict[str, MixingOperator] = {}
    for level, (_, table) in tables.items():
        key = _key(table)
        if key not in made:
            made[key] = gossip_of(
                topologies.get(level),
                agents,
                run.dtype,
                backend,
                seed=run.seed,
                shared_memory=run.shared_memory,
            )
    return Levels.of(made[_key(table)] for _, table in tables.values())


def _key(table: Spec) -> str:
    """Levels with the same key share a topology."""
    return "centralized" if table is None else repr(sorted(table.items(), key=str))

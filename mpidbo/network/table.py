"""The table `[topology]`: its keys with their types, and the table of each level.

No graph is made here.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypedDict

from .._fields import (
    Doc,
    Field,
    Form,
    Range,
    canonical,
    check_key,
    check_table,
    convert,
    describe,
    fields_of,
    is_whole,
    named,
)
from ..errors import UserError, known_as, shown
from .graphs import TOPOLOGIES

Spec = Mapping[str, Any] | None
"""The table of a level's topology; None for the average over all agents."""
SOURCES = ("name", "file", "edges")
"""The keys of which a table has one."""
COMMON = ("weights", "lazy", "drop", "every")
"""The keys that every table may have."""
SIDES = ("upper", "lower")
DEFAULT = {"name": "ring"}


class LevelStrategy(Protocol):
    """What the network needs to know of a level's strategy; see `algorithms.Strategy`."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def averages(self) -> bool:
        """Whether it averages over all agents, whatever the topology."""

    @property
    def weights(self) -> tuple[str, ...]:
        """The weights by which it mixes: W, or A or B or both."""

    @property
    def symmetric(self) -> bool:
        """Whether it needs a symmetric W."""

    @property
    def min_eigenvalue(self) -> float | Callable[[int], float] | None:
        """The least eigenvalue of W with which it is stable as the step size goes to zero.

        A function of E where it depends on how many iterations there are to one that gossips.
        """

    @property
    def strict(self) -> bool:
        """Whether that eigenvalue itself is excluded."""

    @property
    def compression(self) -> object | None:
        """How it compresses its messages; None for one that does not."""


class Edges(list[list[Any]]):
    """`edges` that this package made: of Python's numbers, and as a table has them."""


def are_edges(value: Any) -> bool:
    """Whether a value is a list of pairs of agents, or a list of entries of W, or of A and B."""
    if isinstance(value, Edges):
        return True
    if not isinstance(value, list | tuple):
        return False
    if not all(isinstance(edge, list | tuple) for edge in value):
        return False
    if {len(edge) for edge in value} not in (set(), {2}, {3}, {4}):
        return False
    return all(
        _is_agent(i) and _is_agent(j) and all(isinstance(w, Real) for w in weight)
        for i, j, *weight in value
    )


def _is_agent(value: Any) -> bool:
    return is_whole(value) and 0 <= value < 2**31  # an index of type int32


class TopologyTable(TypedDict, total=False):
    """Keys of `[topology]`, `[topology.upper]` and `[topology.lower]`.

    The options of the named graph are keys, too: see `graph_options`.
    """

    name: Annotated[
        str, Doc("one of the [topologies](api/choices.md#topologies)", default='`"ring"`')
    ]
    file: Annotated[
        Path,
        Doc(
            "in place of the name: W in `.npy`, `.npz` (of numpy or scipy.sparse), `.mtx` or as "
            "text, a row on a line; or an edge list, two agents 0..n-1 on a line; columns are "
            "separated by white space or commas, `#` and `%` begin a comment"
        ),
    ]
    edges: Annotated[
        list[Any],
        Form(
            are_edges,
            "pairs of agents, [[0, 1], [1, 2]], or entries of W, [[0, 0, 0.5], [0, 1, 0.5]]",
        ),
        Doc(
            "in place of the name: the graph, or W itself; in `solve` also a graph of networkx or "
            "a matrix. Entries with two weights are of A and B, [[0, 1, 0.5, 0.3]]"
        ),
    ]
    directed: Annotated[
        bool,
        Doc(
            "of a file or edges: an edge leads from the first agent to the second only",
            default="`false`",
        ),
    ]
    lazy: Annotated[
        bool,
        Doc(
            "W <- (I + W)/2, A and B alike",
            default="`true`; for a file or edges, and for names of directed or changing graphs "
            "`false`",
        ),
    ]
    weights: Annotated[
        Literal["metropolis", "uniform"],
        Doc(
            "1/(1 + max(d_i, d_j)) or 1/(1 + max_k d_k) for an edge between agents of degrees d_i "
            "and d_j; of a directed graph 1/(1 + number received from) in A and 1/(1 + number "
            "sent to) in B, or 1/(1 + the largest of these)",
            default='`"metropolis"`',
        ),
    ]
    drop: Annotated[
        float,
        Range(0, below=1),
        Doc("probability with which each edge fails, at each iteration", default="`0`"),
    ]
    every: Annotated[
        int,
        Range(1),
        Doc(
            "gossip in each E-th iteration, every = E, and W = I in the others, which are local "
            "steps",
            default="`1`",
        ),
    ]


TOPOLOGY_FIELDS = fields_of(TopologyTable)
"""The keys of a table that do not depend on its graph."""


def graph_options(name: str) -> dict[str, Field]:
    """The options of a named graph.

    Parameters
    ----------
    name : str
        A key of `TOPOLOGIES`.

    Returns
    -------
    dict
        Option -> its type, default and meaning: the parameters of the graph's function except n.
    """
    fields = fields_of(TOPOLOGIES[name])
    return dict(list(fields.items())[1:])


def check_topology(table: Mapping[str, Any], where: str) -> str:
    """Check the keys and values of one table.

    Parameters
    ----------
    table : Mapping
        One of `[topology]`, `[topology.upper]` and `[topology.lower]`.
    where : str
        Its name, with which a message begins.

    Returns
    -------
    str
        The key among `SOURCES` that the table has.

    Raises
    ------
    UserError
        An unknown key, or a value of the wrong type or out of range. A parameter of the graph's
        function without an annotation is left to the function.
    """
    given = [key for key in SOURCES if key in table]
    if len(given) != 1:
        raise UserError(
            f"{where}.name: a topology has either a name or a file, or edges; give one, a name is "
            f"{', '.join(TOPOLOGIES)}"
        )
    source = given[0]
    name = "edges" if source == "edges" else str(table[source])
    known = {key: TOPOLOGY_FIELDS[key] for key in (source, *COMMON)}
    if source == "name":
        known |= graph_options(_graph_name(table["name"], where))
    else:
        known["directed"] = TOPOLOGY_FIELDS["directed"]
    for key, value in table.items():
        check_key(key, known, where, f"unknown key of {name}")
        convert(value, known[key].hint, f"{where}.{key}", known[key].default)
    if source == "name":
        for key, field in graph_options(name).items():
            if field.default is MISSING and key not in table:
                raise UserError(
                    f"{where}.{key}: missing; {name} needs it, give {describe(field.hint)}"
                )
    return source


def _graph_name(name: Any, where: str) -> str:
    """The name of a graph as it is known. Raises UserError."""
    if isinstance(name, str) and "." in name and name not in TOPOLOGIES:
        raise UserError(
            f"{where}.name: no topology is called {shown(name)}; a file is file = {shown(name)}"
        )
    return named(name, TOPOLOGIES, f"{where}.name", "topology")


def with_known_names(table: Mapping[str, Any]) -> dict[str, Any]:
    """`[topology]` with the names and choices of its tables as they are known (`known_as`).

    What is not known stays, for `check_topology` to refuse.
    """
    name = known_as(table.get("name"), TOPOLOGIES)
    fields = {**TOPOLOGY_FIELDS, **(graph_options(name) if name else {})}
    known = {
        key: canonical(value, fields[key].hint) if key in fields else value
        for key, value in table.items()
    }
    if name:
        known["name"] = name
    for side in SIDES:
        if isinstance(known.get(side), Mapping):
            known[side] = with_known_names(known[side])
    return known


def with_default_name(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """`[topology]` with the default name, if some level takes it from there."""
    if any(key in table for key in SOURCES) or all(side in table for side in SIDES):
        return table
    return {**DEFAULT, **table}


def topology_tables(
    table: Mapping[str, Any], strategies: Mapping[str, LevelStrategy], method: str
) -> dict[str, tuple[str, Spec]]:
    """The topology of each level of a method.

    Parameters
    ----------
    table : Mapping
        `[topology]`, with a default name.
    strategies : Mapping
        Level -> its strategy.
    method : str
        Name of the method, for messages.

    Returns
    -------
    dict
        Level -> (name of its table, such as "topology.upper", and the table); the table is None for
        the average over all agents.

    Raises
    ------
    UserError
        A table or key is wrong, or has no effect on this method. The graph of a level that averages
        over all agents is checked all the same, and not used: a study may compare such a level with
        others on that graph.
    """
    own = {side: table[side] for side in SIDES if side in table}
    common = {key: value for key, value in table.items() if key not in SIDES}
    side_of = {level: "upper" if level == "x" else "lower" for level in strategies}
    sides = set(side_of.values())
    for side, part in own.items():
        where = f"topology.{side}"
        check_table(part, where)
        check_topology(part, where)
        if side not in sides:
            raise UserError(
                f"{where}: has no effect, since {method} sends nothing at that level; leave the "
                "table out"
            )
    if common and not own.keys() >= sides:
        check_topology(common, "topology")
    elif common:
        _refuse_common(common, own)
    found: dict[str, tuple[str, Spec]] = {}
    for level, strategy in strategies.items():
        side = side_of[level]
        where, spec = (f"topology.{side}", own[side]) if side in own else ("topology", common)
        if not strategy.averages:
            found[level] = (where, spec)
            continue
        if spec.get("drop"):
            raise UserError(
                f"{where}.drop: {strategy.name} averages over all agents and has no links that "
                "fail; leave the key out, or take another strategy, over a star for example: "
                'topology.name = "star"'
            )
        if spec.get("every", 1) != 1:
            raise UserError(
                f"{where}.every: {strategy.name} averages over all agents in each iteration; leave "
                "the key out, or take the strategy sgd with the same average as W: "
                'topology.name = "complete", lazy = false'
            )
        found[level] = (where, None)
    return found


def _refuse_common(common: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise UserError for keys of `[topology]` where the levels have tables of their own.

    The default name passes where one level alone has a table: a configuration that was filled in
    holds it.
    """
    if common == DEFAULT and len(own) < len(SIDES):
        return
    key = next((key for key in common if common[key] != DEFAULT.get(key)), "name")
    tables = " and ".join(f"[topology.{side}]" for side in own)
    verb = "replaces" if len(own) == 1 else "replace"
    raise UserError(
        f"topology.{key}: has no effect, since {tables} {verb} all of [topology]; write it there, "
        "or leave it out"
    )

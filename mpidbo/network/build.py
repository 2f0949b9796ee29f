"""Construction of a topology from a name, a file or a list of edges.

Inside this module an error message begins with the key; `make` puts the table in front of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array
from scipy.sparse.csgraph import connected_components

from ..errors import UserError, shown
from . import edges, files
from .changing import ChangingTopology
from .changing_graphs import Changing
from .graphs import NOT_LAZY, TOPOLOGIES
from .table import check_topology, graph_options, with_known_names
from .topology import SparseTopology, Topology
from .weights import MAX_SUM_ERROR, Mixing, summed, weigh

FILES = "files"
"""The option of `cycle`, which messages name in place of `name`."""


def make(
    spec: str | Mapping[str, Any], n: int, *, where: str = "topology", folder: Path = Path(".")
) -> Topology:
    """Return the topology of n agents that a name or a table describes.

    Parameters
    ----------
    spec : str or mapping
        A name of `TOPOLOGIES`, or a table with one of these keys:

        - ``name``, one of `TOPOLOGIES`; the table may have the options of that graph;
        - ``file``, a file with W, with A and B, or with a list of edges;
        - ``edges``, pairs of agents, entries (i, j, w_ij) of W, or (i, j, a_ij, b_ij) of A and B.

        The other keys are ``directed`` (the edges lead one way), ``lazy`` (W <- (I + W)/2; default
        True for a name unless its graph is directed or changes, else False), ``weights``
        ("metropolis" or "uniform", for a graph without weights), ``drop`` (probability of link
        failures, default 0) and ``every`` (iterations per gossip, default 1).
    n : int
        Number of agents.
    where : str, default "topology"
        Name of the table, with which an error message begins.
    folder : Path, default "."
        Folder to which ``file`` is relative.

    Returns
    -------
    Topology

    Raises
    ------
    UserError
        A key or value is wrong, a file cannot be read, or W is not of shape (n, n), finite,
        nonnegative, with rows or columns or both that sum to one to 1e-10, and strongly connected
        with rho < 1.

    Notes
    -----
    ``lazy`` makes every eigenvalue of a symmetric W nonnegative, so that it suits every strategy,
    and mixes half as fast.

    Examples
    --------
    >>> make({"name": "torus", "shape": [3, 4]}, 12).edges
    48
    """
    if n < 1 or not isinstance(spec, str | Mapping):
        raise UserError(
            f"{where}: {shown(spec)} is not a topology of {n} agents; give a name or a table, "
            "and at least 1 agent"
        )
    table = with_known_names({"name": spec} if isinstance(spec, str) else spec)
    source = check_topology(table, where)
    try:
        return _make(table, source, n, Path(folder))
    except UserError as error:
        raise UserError(f"{where}.{error}") from None


def _make(table: Mapping[str, Any], source: str, n: int, folder: Path) -> Topology:
    found = _found(table, source, n, folder)
    changing = found if isinstance(found, Changing) else Changing([found])
    graphs = [_graph(found, table, source, n, folder) for found in changing.graphs]
    key = FILES if FILES in table else source
    _check_connected(graphs, key)
    _check_mixing(graphs, key)
    every = table.get("every", 1)
    if len(graphs) == 1 and every == 1:
        return graphs[0]
    name = graphs[0].name if source != "name" else table["name"]
    topology = ChangingTopology.of(name, graphs, random=changing.random, every=every)
    if not topology.weights:
        raise UserError(
            f"{key}: the rows of one matrix sum to one, the columns of another; give A and B of "
            "each, or edges"
        )
    return topology


def _found(table: Mapping[str, Any], source: str, n: int, folder: Path) -> Any:
    """Return what the source gives: a graph of networkx, its links, a matrix or two, or several."""
    directed = table.get("directed", False)
    if source == "file":
        return files.read(folder / table["file"], n, directed=directed)
    if source == "edges":
        return edges.linked(table["edges"], n, directed=directed)
    name = table["name"]
    options = {key: table[key] for key in graph_options(name) if key in table}
    return TOPOLOGIES[name](n, **options)


def _graph(
    found: Any, table: Mapping[str, Any], source: str, n: int, folder: Path
) -> SparseTopology:
    """Return the topology of one graph."""
    name, key = "edges" if source == "edges" else Path(str(table[source])).name, source
    if isinstance(found, Path):
        name, key = found.name, FILES
        try:
            found = files.read(folder / found, n, directed=table.get("directed", False))
        except UserError as error:
            raise UserError(f"{FILES}{str(error).removeprefix('file')}") from None
    if isinstance(found, csr_array | dict):
        if "weights" in table:
            raise UserError(f"weights: {name} brings its own; leave the key out")
        given = found if isinstance(found, dict) else {"W": found}
    else:
        given = weigh(found, table.get("weights", "metropolis"))
    for letter, matrix in given.items():
        _check_entries(matrix, letter, key)
    made = _classified(given, key)
    if table.get("lazy", source == "name" and table["name"] not in NOT_LAZY):
        made = {letter: _lazy(matrix) for letter, matrix in made.items()}
    drop = float(table.get("drop", 0))
    topology = SparseTopology(name, made, drop)
    if drop and "W" in made and not topology.symmetric:
        # Where a link fails in one direction, no weights keep rows and columns at one.
        topology = SparseTopology(name, {"A": made["W"], "B": made["W"]}, drop)
    return topology


def _lazy(matrix: csr_array) -> csr_array:
    """Return (I + W)/2. All diagonal entries are stored, so that this adds none to the pattern."""
    half = matrix / 2
    half.setdiag(half.diagonal() + 1 / 2)
    return half


def _check_entries(matrix: csr_array, name: str, key: str) -> None:
    """Raise UserError unless all entries are finite and nonnegative."""
    entries = matrix.tocoo()
    for wrong, what in ((~np.isfinite(entries.data), "finite"), (entries.data < 0, "zero or more")):
        if wrong.any():
            first = wrong.argmax()
            i, j, w = entries.row[first], entries.col[first], entries.data[first]
            raise UserError(
                f"{key}: the entry ({i}, {j}) of {name} is {w:g}; make every weight {what}"
            )


def _classified(given: Mixing, key: str) -> Mixing:
    """Return a matrix by the name that its sums give it; A and B as they are.

    Raises UserError where neither rows nor columns sum to one, or not those of A or of B.
    """
    rows, columns = {}, {}
    for name, matrix in given.items():
        rows[name], columns[name] = _wrong_sum(matrix, 1, name), _wrong_sum(matrix, 0, name)
    wrong = rows.get("A", "") or columns.get("B", "")
    if wrong:
        raise UserError(f"{key}: {wrong}; make the rows of A and the columns of B sum to one")
    if "W" not in given:
        return {"W": given["A"]} if (given["A"].data == given["B"].data).all() else given
    if rows["W"] and columns["W"]:
        raise UserError(
            f"{key}: {rows['W']}; make rows and columns sum to one, or on a directed graph one of "
            "them"
        )
    name = "B" if rows["W"] else "A" if columns["W"] else "W"
    return {name: given["W"]}


def _wrong_sum(matrix: csr_array, axis: int, name: str) -> str:
    """Describe the row (axis 1) or column (axis 0) whose sum is farthest from one, or return ""."""
    sums = matrix.sum(axis=axis)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) <= MAX_SUM_ERROR:
        return ""
    line = "row" if axis == 1 else "column"
    return f"{line} {worst} of {name} sums to {sums[worst]:.12g}"


def _check_connected(graphs: list[SparseTopology], key: str) -> None:
    """Raise UserError unless all graphs together are strongly connected."""
    union = summed([graph.W for graph in graphs])
    apart = _apart(union, "weak")
    if apart.any():
        raise UserError(
            f"{key}: not connected, agent {int(apart.argmax())} cannot be reached from agent 0; "
            "add edges that join them"
        )
    apart = _apart(union, "strong")
    if apart.any():
        agent = int(apart.argmax())
        # An entry (i, j) of a matrix is an edge from j to i.
        reached = csgraph.breadth_first_order(union.T, 0, return_predecessors=False)
        a, b = (agent, 0) if agent in reached else (0, agent)
        raise UserError(
            f"{key}: not strongly connected, no way leads from agent {a} to agent {b}; add edges, "
            "or drop their direction"
        )


def _apart(matrix: csr_array, connection: str) -> NDArray[np.bool_]:
    """Return which agents are not connected with agent 0."""
    _, part = connected_components(matrix, connection=connection)
    apart: NDArray[np.bool_] = part != part[0]
    return apart


def _check_mixing(graphs: list[SparseTopology], key: str) -> None:
    """Raise UserError where weights only exchange rows, or may do so."""
    if len(graphs) == 1 and "W" in graphs[0].weights:
        if _only_permutes(graphs[0].W):
            raise UserError(
                f"{key}: W exchanges rows without mixing them, ||W - 11'/n|| = 1; set lazy = true"
            )
        return
    for graph in graphs:
        for name, matrix in graph.weights.items():
            own = matrix.diagonal()
            if not own.all():
                raise UserError(
                    f"{key}: agent {int((own == 0).argmax())} has no weight of its own in {name} "
                    f"of {graph.name}; on directed and changing graphs each needs one: set "
                    "lazy = true"
                )


def _only_permutes(W: csr_array) -> bool:
    """Whether rho = 1 for a connected W: the graph of W'W has several parts."""
    # With all loops W'W has every edge of W, which is connected.
    if W.diagonal().all():
        return False
    parts, _ = connected_components(W.T @ W)
    return bool(parts > 1)

"""Topologies that are lists of edges, or objects of another library that become such lists.

`solve` takes a matrix of numpy or scipy, nested lists or a graph of networkx. They become `edges`
of the table `[topology]`: pairs of agents, or entries (i, j, w_ij) of W.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array, issparse

from .. import _contents as contents
from .._fields import is_whole
from ..errors import UserError
from .table import SIDES, Edges
from .weights import Mixing, as_mixing_matrix, links_of_edges, pair

MAX_STORED_EDGES = 100_000
"""Edges or entries of W that a config.toml may hold."""


def linked(
    edges: Sequence[Sequence[Any]], n: int, *, directed: bool = False
) -> coo_array | csr_array | Mixing:
    """Return the links of pairs of agents, W of its entries, or A and B of theirs.

    `directed`: pairs lead from the first agent to the second only. Raises UserError, which begins
    with `edges`.
    """
    ends = np.array([(i, j) for i, j, *_ in edges], np.int64).reshape(-1, 2)
    remedy = f"use each of 0..{n - 1}, or set run.agents"
    if ends.max(initial=0) >= n:
        raise UserError(f"edges: agent {ends.max()} occurs; {remedy}")
    missing = set(range(n)) - set(ends.flat)
    if n > 1 and missing:
        raise UserError(f"edges: agent {min(missing)} does not occur; {remedy}")
    if not edges or len(edges[0]) == 2:
        return links_of_edges(ends, n, directed=directed)
    # i n + j numbers the entries.
    if len(np.unique(ends @ (n, 1))) < len(ends):
        raise UserError("edges: an entry of W is given twice; give each once")
    columns = np.array([edge[2:] for edge in edges], np.float64).T
    names = ("this W",) if len(columns) == 1 else ("A", "B")
    found = [
        as_mixing_matrix(coo_array((weights, tuple(ends.T)), shape=(n, n)), n, f"edges: {name}")
        for weights, name in zip(columns, names, strict=True)
    ]
    return found[0] if len(found) == 1 else pair(found[0], found[1], "edges")


def tabled(topology: Any, *, kept: bool = False) -> dict[str, Any]:
    """Return the table `[topology]` for what `solve` is given.

    Parameters
    ----------
    topology : str, Path, mapping, graph or matrix
        A name, a file, a table, a graph of networkx, a matrix of numpy or scipy, nested lists, or a
        table that holds one of these.
    kept : bool, default False
        Whether a config.toml will hold the table.

    Returns
    -------
    dict
        The table, with graphs and matrices as ``edges``.

    Raises
    ------
    UserError
        An object is neither a graph nor W, or has too many edges for a config.toml.
    """
    if isinstance(topology, Mapping) and not issparse(topology):  # a dok_array is a dict, too
        return _tabled_parts(topology, kept)
    if isinstance(topology, Path):
        return {"file": str(topology)}
    if _is_object(topology) or isinstance(topology, list | tuple):
        return _edges_table(topology, kept)
    return {"name": topology}


def size_of(topology: Any) -> int | None:
    """Return the number of agents of a graph or matrix, or of a table that holds one; else None."""
    value = topology
    if isinstance(topology, Mapping) and not issparse(topology):
        value = topology.get("edges", topology.get("name"))
    if _is_graph(value):
        return len(value.nodes)
    shape = getattr(value, "shape", ())
    return int(next(iter(shape))) if len(shape) == 2 else None


def _tabled_parts(table: Mapping[str, Any], kept: bool) -> dict[str, Any]:
    found = dict(table)
    for side in SIDES:
        part = found.get(side)
        if isinstance(part, Mapping) or _is_object(part):
            found[side] = tabled(part, kept=kept)
    for source in ("name", "edges"):
        if _is_object(found.get(source)):
            found |= _edges_table(found.pop(source), kept)
            break
    return found


def _edges_table(value: Any, kept: bool) -> dict[str, Any]:
    edges, directed = edges_of(value)
    if kept and len(edges) > MAX_STORED_EDGES:
        raise UserError(
            f"topology: {len(edges)} entries are too many for the run's config.toml; save W, "
            'scipy.sparse.save_npz("W.npz", scipy.sparse.csr_array(W)), and give '
            'topology={"file": "W.npz"}'
        )
    return {"edges": edges, "directed": True} if directed else {"edges": edges}


def edges_of(given: Any) -> tuple[Edges, bool]:
    """Return `edges` for a graph of networkx, a matrix or nested lists, and `directed`.

    Raises UserError.
    """
    if _is_graph(given):
        return _edges_of_graph(given)
    # Also the rows of a 2 x 2 matrix of integers, which as W would not mix.
    if isinstance(given, list | tuple) and all(_is_pair(edge) for edge in given):
        return Edges([int(end) for end in edge] for edge in given), False
    try:
        found = valid_sparse(given) if issparse(given) else np.asarray(given)
    except Exception as error:
        raise UserError(
            f"topology: a {type(given).__name__} that numpy cannot read as a matrix "
            f"({contents.why(error)}); give W, shape (n, n), of numpy"
        ) from None
    n = found.shape[0] if found.ndim else 0
    W = as_mixing_matrix(found, n, "topology: this W").tocoo()
    entries = zip(W.row.tolist(), W.col.tolist(), W.data.tolist(), strict=True)
    return Edges(list(entry) for entry in entries), False


def valid_sparse(matrix: Any) -> Any:
    """Return a sparse matrix. Raises ValueError where an index is not within its shape."""
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)
    return matrix


def _is_pair(edge: Any) -> bool:
    return isinstance(edge, list | tuple) and len(edge) == 2 and all(map(is_whole, edge))


def _is_object(value: Any) -> bool:
    """Whether a value is a graph or an array of another library."""
    if isinstance(value, str):  # also numpy's, which has __array__
        return False
    return _is_graph(value) or issparse(value) or hasattr(value, "__array__")


def _is_graph(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("nodes", "edges", "is_directed"))


def _edges_of_graph(graph: Any) -> tuple[Edges, bool]:
    """Return the edges of a graph, and whether it has one without an edge back.

    Nodes that are not numbers are agents in their order.
    """
    nodes = list(graph.nodes)
    n = len(nodes)
    are_numbers = all(isinstance(node, int | np.integer) for node in nodes)
    if are_numbers and set(nodes) != set(range(n)):
        raise UserError(
            f"topology: the graph's {n} nodes are not 0..{n - 1}; number them by "
            'networkx.convert_node_labels_to_integers(graph, ordering="sorted")'
        )
    agent = {node: int(node) if are_numbers else place for place, node in enumerate(nodes)}
    if any(data.get("weight", 1) != 1 for *_, data in graph.edges(data=True)):
        raise UserError(
            "topology: the graph's edges have weights; give W itself as a matrix, or leave the "
            "weights out for those that [topology] weights names"
        )
    edges = {(agent[a], agent[b]) for a, b, *_ in graph.edges}
    directed = graph.is_directed() and any((b, a) not in edges for a, b in edges)
    # an agent without edges has a loop, so that its number occurs
    edges |= {(agent[node], agent[node]) for node in nodes if not graph.adj[node]}
    if not directed:
        edges = {(min(edge), max(edge)) for edge in edges}
    return Edges(list(edge) for edge in sorted(edges)), directed

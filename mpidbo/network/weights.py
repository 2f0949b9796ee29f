"""Mixing matrices from graphs: the weights of edges.

A graph is one of networkx, whose nodes are the agents 0..n-1, or its links: a sparse matrix whose
entry (i, j) counts the edges by which i receives from j. The weights of a graph with degrees d are

    metropolis   w_ij = 1/(1 + max(d_i, d_j))
    uniform      w_ij = 1/(1 + max_k d_k)

and w_ii is what is missing to one. A doubled edge (a torus with a side of two) counts twice in
both. In a directed graph, where agent i receives from d_i others and sends to e_i,

    metropolis   a_ij = 1/(1 + d_i)                   b_ij = 1/(1 + e_j)
    uniform      a_ij = b_ij = 1/(1 + max_k max(d_k, e_k))

where the rows of A and the columns of B sum to one. They are one W, doubly stochastic, where all
degrees are equal, and with uniform weights where d_i = e_i.

References
----------
Xiao, Boyd, Kim, Distributed average consensus with least-mean-square deviation, J. Parallel
Distrib. Comput. 67, 2007.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, issparse

from ..errors import UserError

Graph: TypeAlias = Any
"""A graph of networkx, which has no types; an edge (a, b) of a directed one leads from a to b."""
Mixing: TypeAlias = dict[str, csr_array]
"""Mixing matrices by name, with the same entries: W, which is doubly stochastic; or A, whose rows
sum to one, or B, whose columns do, or both."""
MAX_SUM_ERROR = 1e-10
"""Deviation of the sums of rows and columns of W from one."""
MAX_ROUNDING = 1e-2
"""Deviation below which a matrix of low precision counts as a rounded W."""


class _Networkx:
    """networkx, imported when it is first used: ranks that make no graph do not need it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("networkx"), name)


nx: Any = _Networkx()


def links_of(graph: Graph) -> coo_array:
    """Return the links of a graph, shape (n, n): how many edges lead to i from j, but no loops."""
    counts = nx.to_scipy_sparse_array(graph, nodelist=sorted(graph), dtype=np.float64, weight=None)
    return without_diagonal((counts.T if graph.is_directed() else counts).tocoo())


def without_diagonal(entries: coo_array) -> coo_array:
    """Return a matrix without its diagonal entries."""
    others = entries.row != entries.col
    places = (entries.row[others], entries.col[others])
    return coo_array((entries.data[others], places), shape=entries.shape)


def matrix(
    links: coo_array, weights: NDArray[np.float64], diagonal: NDArray[np.float64] | None = None
) -> csr_array:
    """Return W from a weight for each link; by default the diagonal is what rows lack of one."""
    n = links.shape[0]
    agents = np.arange(n, dtype=links.row.dtype)
    own = 1 - np.bincount(links.row, weights, n) if diagonal is None else diagonal
    rows = np.concatenate([links.row, agents])
    columns = np.concatenate([links.col, agents])
    return csr_array((np.concatenate([weights, own]), (rows, columns)), shape=links.shape)


def weigh(graph: Graph | coo_array, weights: str) -> Mixing:
    """Return W of a graph or of its links, or A and B of a directed one that has no W.

    `weights` is "metropolis" or "uniform".
    """
    links = graph if isinstance(graph, coo_array) else links_of(graph)
    heard, reached = links.sum(axis=1), links.sum(axis=0)
    rows = csr_array(links)
    if (rows != rows.T).nnz == 0:
        if weights == "metropolis":
            degree = np.maximum(heard[links.row], heard[links.col])
        else:
            degree = heard.max()
        return {"W": matrix(links, links.data / (1 + degree))}
    if weights == "metropolis":
        a, b = links.data / (1 + heard[links.row]), links.data / (1 + reached[links.col])
    else:
        a = b = links.data / (1 + max(heard.max(), reached.max()))
    A, B = matrix(links, a), matrix(coo_array(links.T), b).T.tocsr()
    return {"W": A} if (A.data == B.data).all() else {"A": A, "B": B}


def links_of_edges(ends: NDArray[np.int64], n: int, *, directed: bool) -> coo_array:
    """Return the links of edges, shape (e, 2), each once; loops are left out.

    A directed edge leads from the first agent to the second, others lead both ways.
    """
    a, b = ends[ends[:, 0] != ends[:, 1]].T
    places = (b, a) if directed else (np.concatenate([a, b]), np.concatenate([b, a]))
    found = csr_array((np.ones(len(places[0])), places), shape=(n, n))
    found.sum_duplicates()
    found.data[:] = 1
    return found.tocoo()


def links_of_pattern(pattern: coo_array, n: int, what: str, *, directed: bool) -> coo_array:
    """Return the links of a pattern, (i, j) where i receives from j.

    Raises UserError, which begins with `what`, unless it is symmetric or `directed`.
    """
    if pattern.shape != (n, n):
        raise UserError(
            f"{what} holds a pattern of shape {pattern.shape}; give one of shape ({n}, {n}), or "
            "set run.agents"
        )
    links = csr_array(pattern)
    if not directed and (links != links.T).nnz:
        raise UserError(
            f"{what} holds a pattern that is not symmetric; set directed = true if i receives from "
            "j where it has an entry (i, j), or give W itself"
        )
    ends = np.stack([pattern.col, pattern.row], axis=1).astype(np.int64)
    return links_of_edges(ends, n, directed=directed)


def summed(matrices: Sequence[csr_array]) -> csr_array:
    """Return the sum of matrices, which may be many, or the one that there is."""
    if len(matrices) == 1:
        return matrices[0]
    parts = [matrix.tocoo() for matrix in matrices]
    row, column, data = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "col", "data")
    )
    return csr_array((data, (row, column)), shape=matrices[0].shape)


def pair(A: csr_array, B: csr_array, what: str) -> Mixing:
    """Return A and B. Raises UserError, which begins with `what`, where their links differ."""
    # `as_mixing_matrix` has added the diagonals and removed other zeros.
    apart = ((A != 0) != (B != 0)).tocoo()
    off = apart.row != apart.col
    if off.any():
        i, j = int(apart.row[off][0]), int(apart.col[off][0])
        raise UserError(
            f"{what}: A and B have different links, ({i}, {j}) is in one of them; both are "
            "positive where i receives from j"
        )
    return {"A": A, "B": B}


def as_mixing_matrix(found: Any, n: int, what: str) -> csr_array:
    """Return W from a dense or sparse matrix of numbers.

    Raises UserError, which begins with `what`, for a wrong shape or type, and for what is likely to
    be a mistake: an adjacency matrix, or sums that low precision has rounded. `build` checks the
    rest.
    """
    if found.shape != (n, n) or found.dtype.kind not in "biuf":
        raise UserError(
            f"{what} holds a {found.dtype} array of shape {found.shape}; give real numbers of "
            f"shape ({n}, {n}), or set run.agents"
        )
    W = csr_array(found.astype(np.float64) if issparse(found) else np.asarray(found, np.float64))
    W.sum_duplicates()
    W.eliminate_zeros()
    errors = [abs(W.sum(axis=axis) - 1).max(initial=0) for axis in (0, 1)]
    if max(errors) > MAX_SUM_ERROR and W.nnz and np.isin(W.data, (0, 1)).all():
        raise UserError(
            f"{what} holds 0 and 1 alone, as an adjacency matrix; give W, whose rows and columns "
            "sum to one, or the edges, of which W is made: an edge list, or in Python "
            "networkx.from_numpy_array(A)"
        )
    is_low_precision = found.dtype.kind == "f" and found.dtype.itemsize < np.float64().itemsize
    rounded = [error for error in errors if MAX_SUM_ERROR < error < MAX_ROUNDING]
    if is_low_precision and rounded:
        raise UserError(
            f"{what} is {found.dtype}, whose rounding leaves sums of rows or columns "
            f"{max(rounded):.1e} "
            "from one; make it float64 before its weights are computed, or divide by the sums in "
            "float64"
        )
    links = without_diagonal(W.tocoo())
    return matrix(links, links.data, W.diagonal())  # with every diagonal entry, also those of zero

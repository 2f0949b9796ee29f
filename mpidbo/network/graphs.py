"""The named graphs, and the weights of their edges.

Nodes are the agents 0..n-1; an edge (i, j) of a directed graph: i receives from j. The weights of a graph with degrees d are

    metropolis   w_ij = 1/(1 + max(d_i, d_j))    (Xiao, Boyd, Kim, J. Parallel Distrib. Comput. 67, 2007)
    uniform      w_ij = 1/(1 + max_k d_k)

and w_ii is what is missing to one; a doubled edge (a torus with a side of two) counts twice in both.
"""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from ..errors import UserError


class _Networkx:
    """networkx, imported at its first use: the ranks that make no graph do without."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("networkx"), name)


nx: Any = _Networkx()
TRIES = 100
"""Random graphs drawn in search of a connected one."""

Graph: TypeAlias = Any  # networkx has no types


def links_of(graph: Graph) -> coo_array:
    """(n, n): how many edges join i to j; an edge from an agent to itself means nothing."""
    links = nx.to_scipy_sparse_array(graph, nodelist=sorted(graph), dtype=np.float64, weight=None).tocoo()
    others = links.row != links.col
    return coo_array((links.data[others], (links.row[others], links.col[others])), shape=links.shape)


def matrix(links: coo_array, weights: NDArray[np.float64], diagonal: NDArray[np.float64] | None = None) -> csr_array:
    """W from a weight for each link; the diagonal is what is missing to one unless given."""
    agents = np.arange(links.shape[0])
    own = 1 - np.bincount(links.row, weights, len(agents)) if diagonal is None else diagonal
    places = np.concatenate([links.row, agents]), np.concatenate([links.col, agents])
    return csr_array((np.concatenate([weights, own]), places), shape=links.shape)


def weigh(graph: Graph | coo_array, weights: str) -> csr_array:
    """W of a graph, or of its links."""
    links = graph if isinstance(graph, coo_array) else links_of(graph)
    degrees = links.sum(axis=1)
    most = np.maximum(degrees[links.row], degrees[links.col]) if weights == "metropolis" else degrees.max()
    return matrix(links, links.data / (1 + most))


def _shape(n: int, shape: list[int] | None) -> tuple[int, int]:
    near = next(a for a in range(math.isqrt(n), 0, -1) if n % a == 0)
    a, b = shape or (near, n // near)
    if a * b != n:
        raise UserError(f"shape: [{a}, {b}] holds {a * b} agents, not {n}; take [{near}, {n // near}] or leave it out")
    return a, b


def _connected(draw: Callable[[int], Graph], seed: int, what: str, larger: str) -> Graph:
    for s in range(seed, seed + TRIES):
        if nx.is_connected(graph := draw(s)):
            return graph
    raise UserError(f"{what}: no graph of the seeds {seed}..{s} is connected; take a larger {larger}")


def grid(n: int, *, shape: list[int] | None = None) -> Graph:
    """Rows and columns, agents numbered row by row; the most square shape unless one is given."""
    return nx.grid_2d_graph(*_shape(n, shape))


def torus(n: int, *, shape: list[int] | None = None) -> Graph:
    """A grid whose rows and columns are rings; the one edge of a ring of two is doubled."""
    return nx.cartesian_product(*(nx.cycle_graph(side, nx.MultiGraph) for side in _shape(n, shape)))


def complete(n: int, *, self_weight: float | None = None) -> coo_array | csr_array:
    """All to all. With self_weight W itself, whose agents keep that and share the rest out: all other eigenvalues are one number."""
    links = coo_array(1 - np.eye(n))                # as a graph of networkx they would take several times the memory
    return links if self_weight is None else matrix(links, links.data * (1 - self_weight) / max(1, n - 1))


def hypercube(n: int) -> Graph:
    """Neighbours differ in one binary digit."""
    if n & (n - 1):
        near = 1 << (n.bit_length() - 1)
        raise UserError(f"name: a hypercube has a power of two agents, not {n}; take {near} or {2 * near} agents")
    return nx.hypercube_graph(n.bit_length() - 1) if n > 1 else nx.empty_graph(1)


def exponential(n: int, *, directed: bool = False) -> Graph:
    """i receives from i - 2^k mod n, and unless directed from i + 2^k (Ying et al., NeurIPS 2021, arXiv 2110.13363)."""
    hops = [1 << k for k in range((n - 1).bit_length())]
    if not directed:
        return nx.circulant_graph(n, hops)
    graph = nx.empty_graph(n, nx.DiGraph)
    graph.add_edges_from((i, (i - hop) % n) for i in range(n) for hop in hops)
    return graph


def erdos_renyi(n: int, *, p: float | None = None, seed: int = 0) -> Graph:
    """Every edge with probability p (default 2 ln n / n); the first connected graph of seed, seed + 1, ..."""
    usual = min(1.0, 2 * math.log(n) / n)
    chance = usual if p is None else p
    larger = f"p, {usual:.2g} is usually enough"
    return _connected(lambda s: nx.gnp_random_graph(n, chance, s), seed, f"p: {chance:g} is too small", larger)


def random_regular(n: int, *, degree: int | None = None, seed: int = 0) -> Graph:
    """As many neighbours for all (default 4, or n - 1 if less); the first connected graph of seed, seed + 1, ..."""
    d = min(4, n - 1) if degree is None else degree
    if d >= n or n * d % 2:
        why = f"below {n}" if d >= n else f"even for an odd number of agents, {n}"
        raise UserError(f"degree: {d} is impossible, it must be {why}; take {min(d + 1, n - 1)}")
    if d > n / 2:  # connected; the edges that it lacks are faster to draw
        return nx.complement(nx.random_regular_graph(n - 1 - d, n, seed))
    return _connected(lambda s: nx.random_regular_graph(d, n, s), seed, f"degree: {d} is too small", "degree")


def adjusted_ring(n: int, *, self_weight: float = 0.5) -> csr_array:
    """W of a ring whose agents keep self_weight and give half of the rest to each neighbour; `lazy` still applies."""
    links = links_of(nx.cycle_graph(n, nx.MultiGraph))
    return matrix(links, links.data * (1 - self_weight) / 2)


TOPOLOGIES: dict[str, Callable[..., Any]] = {
    "ring": lambda n: nx.cycle_graph(n),
    "path": lambda n: nx.path_graph(n),
    "grid": grid,
    "torus": torus,
    "star": lambda n: nx.star_graph(n - 1),
    "complete": complete,
    "hypercube": hypercube,
    "exponential": exponential,
    "erdos-renyi": erdos_renyi,
    "random-regular": random_regular,
    "adjusted-ring": adjusted_ring,
}

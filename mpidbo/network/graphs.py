"""The named graphs, each a function of the number of agents and of its options.

Nodes are the agents 0..n-1; an edge (a, b) of a directed graph means that a sends to b. A function
returns a graph of networkx, its links, or W itself, or several of them (`changing_graphs`). The
first line of its docstring is its description in listings, and the annotations of its keyword
parameters are the checks of its options in `[topology]`.

The simplest graphs are links, since importing networkx takes longer than all else that makes them.
"""

import math
import random
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from .._fields import Form, Range, is_whole
from ..errors import UserError
from .changing_graphs import cycle, matching, one_peer_exponential
from .weights import Graph, links_of, links_of_edges, matrix, nx

MAX_DRAWS = 100
"""Random graphs drawn in search of a connected one."""
DEFAULT_DEGREE = 4
NO_EDGES = np.zeros((0, 2), np.int64)

Seed = Annotated[int, Range(0)]
Shape = Annotated[
    list[int], Form(lambda value: _is_shape(value), "two whole numbers, [rows, columns]")
]
SelfWeight = Annotated[float, Range(above=0, below=1)]


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(is_whole(side) for side in value)
        and min(value) >= 1
    )


def ring(n: int) -> coo_array:
    """Each agent and the next, and the last and the first."""
    return _circulant(n, [1])


def path(n: int) -> coo_array:
    """Each agent and the next."""
    others = np.arange(1, n)
    return links_of_edges(np.stack([others - 1, others], axis=1), n, directed=False)


def star(n: int) -> coo_array:
    """Agent 0 and each of the others."""
    others = np.arange(1, n)
    return links_of_edges(np.stack([0 * others, others], axis=1), n, directed=False)


def grid(n: int, *, shape: Shape | None = None) -> Graph:
    """Rows and columns, agents numbered row by row; the most square shape unless one is given."""
    return nx.grid_2d_graph(*_shape(n, shape))


def torus(n: int, *, shape: Shape | None = None) -> Graph:
    """A grid whose rows and columns are rings; the one edge of a ring of two is doubled."""
    rows, columns = (nx.cycle_graph(side, nx.MultiGraph) for side in _shape(n, shape))
    return nx.cartesian_product(rows, columns)


def _shape(n: int, shape: Shape | None) -> tuple[int, int]:
    """Return the sides of a grid of n agents."""
    rows = next(a for a in range(math.isqrt(n), 0, -1) if n % a == 0)
    most_square = (rows, n // rows)
    a, b = shape or most_square
    if a * b != n:
        raise UserError(
            f"shape: [{a}, {b}] holds {a * b} agents, not {n}; take {list(most_square)} or leave "
            "it out"
        )
    return a, b


def complete(n: int, *, self_weight: SelfWeight | None = None) -> coo_array | csr_array:
    """All to all. With self_weight agents keep that and share out the rest.

    Then W itself is returned, and all its eigenvalues but one are equal.
    """
    # A graph of networkx would take several times the memory.
    agents = np.arange(n, dtype=np.int32)
    receivers = np.repeat(agents, n - 1)
    senders = np.tile(agents[: n - 1], n)
    senders += senders >= receivers
    links = coo_array((np.ones(len(senders)), (receivers, senders)), shape=(n, n))
    if self_weight is None:
        return links
    return matrix(links, links.data * (1 - self_weight) / max(1, n - 1))


def hypercube(n: int) -> coo_array:
    """Neighbours differ in one binary digit."""
    if n & (n - 1):
        below = 1 << (n.bit_length() - 1)
        raise UserError(
            f"name: a hypercube has a power of two agents, not {n}; take {below} or {2 * below} "
            "agents"
        )
    agents = np.arange(n)
    others = [agents ^ (1 << k) for k in range(n.bit_length() - 1)]
    ends = [np.stack([agents, other], axis=1) for other in others]
    return links_of_edges(np.concatenate(ends) if ends else NO_EDGES, n, directed=False)


def exponential(n: int, *, directed: bool = False) -> coo_array:
    """i receives from i - 2^k mod n, and unless directed from i + 2^k.

    Ying et al., Exponential graph is provably efficient for decentralized deep training, NeurIPS
    2021, arXiv 2110.13363.
    """
    return _circulant(n, _powers_of_two(n), directed=directed)


def _powers_of_two(n: int) -> list[int]:
    """Return the powers of two below n."""
    return [1 << k for k in range((n - 1).bit_length())]


def directed_exponential(n: int) -> coo_array:
    """i sends to i + 2^k mod n, in one direction only."""
    return _circulant(n, _powers_of_two(n), directed=True)


def directed_ring(n: int) -> coo_array:
    """Each agent sends to the next, and the last to the first."""
    return _circulant(n, [1], directed=True)


def _circulant(n: int, hops: list[int], *, directed: bool = False) -> coo_array:
    """Return the links of i to i + hop mod n, unless directed in both directions."""
    senders, jumps = np.meshgrid(np.arange(n), hops)
    ends = np.stack([senders, (senders + jumps) % n], axis=-1)
    return links_of_edges(ends.reshape(-1, 2), n, directed=directed)


def directed_erdos_renyi(
    n: int, *, p: Annotated[float, Range(0, 1)] | None = None, seed: Seed = 0
) -> coo_array:
    """Each direction of a pair with probability p (default 2 ln n / n); the first connected one."""
    return _erdos_renyi(n, p, seed, directed=True)


def erdos_renyi(
    n: int, *, p: Annotated[float, Range(0, 1)] | None = None, seed: Seed = 0
) -> coo_array:
    """Every edge with probability p (default 2 ln n / n); the first connected one from seed on."""
    return _erdos_renyi(n, p, seed, directed=False)


def _erdos_renyi(n: int, p: float | None, seed: int, *, directed: bool) -> coo_array:
    enough = min(1.0, 2 * math.log(n) / n)  # connected with probability near 1 - 1/n
    probability = enough if p is None else p
    return _connected(
        lambda s: _drawn_links(n, probability, s, directed=directed),
        seed,
        f"p: {probability:g} is too small",
        f"p, {enough:.2g} is usually enough",
    )


def _drawn_links(n: int, p: float, seed: int, *, directed: bool) -> coo_array:
    """Return the links of which each is drawn with probability p, pair by pair.

    They are those of networkx.gnp_random_graph of this seed, eight times as fast: the same
    generator draws a row of numbers at once.
    """
    _, words, _ = random.Random(seed).getstate()
    rng = np.random.RandomState()
    rng.set_state(("MT19937", np.array(words[:-1], np.uint32), words[-1], 0, 0.0))
    ends = [NO_EDGES]
    for i in range(n):
        others = np.delete(np.arange(n), i) if directed else np.arange(i + 1, n)
        drawn = others[rng.random_sample(len(others)) < p]
        ends.append(np.stack([np.full(len(drawn), i), drawn], axis=1))
    return links_of_edges(np.concatenate(ends), n, directed=directed)


def random_regular(
    n: int, *, degree: Annotated[int, Range(0)] | None = None, seed: Seed = 0
) -> coo_array:
    """All with the same degree (default 4, or n - 1); the first connected one from seed on."""
    d = min(DEFAULT_DEGREE, n - 1) if degree is None else degree
    if d >= n or n * d % 2:
        why = f"below {n}" if d >= n else f"even for an odd number of agents, {n}"
        raise UserError(f"degree: {d} is impossible, it must be {why}; take {min(d + 1, n - 1)}")
    if d > n / 2:  # connected in any case; the missing edges are fewer, and faster to draw
        return nx.complement(nx.random_regular_graph(n - 1 - d, n, seed))
    return _connected(
        lambda s: links_of(nx.random_regular_graph(d, n, s)),
        seed,
        f"degree: {d} is too small",
        "degree",
    )


def _connected(draw: Callable[[int], coo_array], seed: int, what: str, larger: str) -> coo_array:
    """Return the first links of the seeds from `seed` on that connect all agents."""
    # Here, since only the rank that makes topologies needs it, and it imports more of scipy.
    from scipy.sparse.csgraph import connected_components

    last = seed + MAX_DRAWS - 1
    for s in range(seed, last + 1):
        links = draw(s)
        if connected_components(links, connection="strong", return_labels=False) == 1:
            return links
    raise UserError(
        f"{what}: no graph of the seeds {seed}..{last} is connected; take a larger {larger}"
    )


def adjusted_ring(n: int, *, self_weight: SelfWeight = 0.5) -> csr_array:
    """A ring whose agents keep self_weight and give half of the rest to each neighbour."""
    # A MultiGraph: with two agents the edge is doubled, and gets both halves.
    links = links_of(nx.cycle_graph(n, nx.MultiGraph))
    return matrix(links, links.data * (1 - self_weight) / 2)


TOPOLOGIES: dict[str, Callable[..., Any]] = {
    "ring": ring,
    "path": path,
    "grid": grid,
    "torus": torus,
    "star": star,
    "complete": complete,
    "hypercube": hypercube,
    "exponential": exponential,
    "erdos-renyi": erdos_renyi,
    "random-regular": random_regular,
    "adjusted-ring": adjusted_ring,
    "directed-ring": directed_ring,
    "directed-exponential": directed_exponential,
    "directed-erdos-renyi": directed_erdos_renyi,
    "one-peer-exponential": one_peer_exponential,
    "matching": matching,
    "cycle": cycle,
}
"""Name -> function of n and its options, which returns a graph of networkx, its links, or W; or
`Changing` of them."""
NOT_LAZY = (
    "directed-ring",
    "directed-exponential",
    "directed-erdos-renyi",
    "one-peer-exponential",
    "matching",
    "cycle",
)
"""Names that are not lazy by default: no strategy that suits them gains by it."""

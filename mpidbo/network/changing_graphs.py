"""The named topologies that change from iteration to iteration.

Which of its graphs an iteration takes is a function of the run's seed and of the iteration, so that
it is the same on any number of ranks and after a restart (`topology.ChangingTopology`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from .._fields import Form
from ..errors import UserError
from .weights import links_of_edges

MAX_MATCHINGS = 500
"""Graphs of `matching`, each of which takes an MPI communicator."""
Files = Annotated[
    list[Path],
    Form(
        lambda value: isinstance(value, list | tuple) and len(value) > 0,
        'a list of files, such as ["a.edges", "b.npy"]',
    ),
]


@dataclass(frozen=True)
class Changing:
    """The graphs of a topology that changes.

    Parameters
    ----------
    graphs : sequence
        Graphs of networkx, their links, W's, or files with one of these.
    random : bool, default False
        Whether each iteration draws one of them; otherwise it is their turn in this order.
    """

    graphs: Sequence[Any]
    random: bool = False


def one_peer_exponential(n: int) -> Changing:
    """i receives from i - 2^k mod n alone, in turn for each 2^k below n, a power of two.

    Over a turn the product of the W is the average, 11'/n. Assran, Loizou, Ballas, Rabbat, ICML
    2019, arXiv 1811.10792; Ying et al., NeurIPS 2021, arXiv 2110.13363.
    """
    if n & (n - 1):
        below = 1 << (n.bit_length() - 1)
        raise UserError(
            f"name: one-peer-exponential has a power of two agents, not {n}; take {below} or "
            f"{2 * below} agents, or matching"
        )
    agents = np.arange(n)
    hops = [1 << k for k in range(n.bit_length() - 1)] or [0]
    edges = [np.stack([(agents - hop) % n, agents], axis=1) for hop in hops]
    return Changing([links_of_edges(ends, n, directed=True) for ends in edges])


def matching(n: int) -> Changing:
    """Disjoint pairs of agents, drawn at each iteration; of odd n one agent is left out.

    They are those of a round of a tournament in which any two agents meet once (the circle method).
    Each pair is as likely as in a matching that is drawn from all, and so the mean of W'W, which is
    that of W, is the same. Of more than 500 rounds 500 are taken.
    """
    odd = n % 2  # then there is one more player, and the agent that meets it is left out
    others = n + odd - 1
    i = np.arange(1, n // 2 + odd)
    chosen = np.sort(np.random.default_rng(0).permutation(others)[:MAX_MATCHINGS])
    graphs = []
    for r in chosen:
        pairs = np.stack([(r + i) % others, (r - i) % others], axis=1)
        pairs = np.concatenate([[[r, others]], pairs])
        pairs = pairs[(pairs < n).all(axis=1)]
        graphs.append(links_of_edges(pairs, n, directed=False))
    return Changing(graphs, random=True)


def cycle(n: int, *, files: Files, directed: bool = False) -> Changing:
    """The graphs or matrices of files in turn; directed: an edge leads from the first agent."""
    return Changing([Path(file) for file in files])

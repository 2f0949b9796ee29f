"""Construction of the gossip operator of a topology."""

import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from ..parallel import HOST, Agents, Host
from .average import Average
from .changing_gossip import ChangingGossip
from .gossip import Gossip, MixingOperator
from .link_failures import FailingGossip
from .turns import Turns

if TYPE_CHECKING:
    from .topology import Topology


def gossip_of(
    topology: "Topology | None",
    agents: Agents,
    dtype: DTypeLike = np.float64,
    backend: Host = HOST,
    *,
    seed: int = 0,
    shared_memory: bool = True,
) -> MixingOperator:
    """Return the gossip operator of a topology that rank 0 alone may know; collective.

    Parameters
    ----------
    topology : Topology or None
        The topology on rank 0; the other ranks may have None.
    agents : Agents
        The distribution of agents over ranks.
    dtype : dtype, default float64
        Type of the messages.
    backend : Host, default HOST
        Where the arrays of a message are.
    seed : int, default 0
        Seed of link failures, of graphs that are drawn, and of compressors.
    shared_memory : bool, default True
        Whether ranks of a node exchange long rows through memory that they share.
    """
    form = ""
    if topology:
        turns = topology.turns
        form = json.dumps(
            [topology.is_average, topology.drop, turns.order, turns.random, turns.every]
        )
    is_average, drop, order, random, every = json.loads(agents.bcast_text(form))

    def static(graph: "Topology | None") -> MixingOperator:
        """Return the operator of one graph."""
        if is_average:
            return Average(graph, agents, dtype, backend)
        kind = partial(FailingGossip, drop=drop) if drop else Gossip
        return kind(graph, agents, dtype, backend, seed=seed, shared_memory=shared_memory)

    turns = Turns(tuple(order), random, every)
    if turns == Turns():
        return static(topology)
    return ChangingGossip(topology, agents, dtype, backend, turns=turns, build=static, seed=seed)

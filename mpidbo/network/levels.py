"""Which gossip a topology is mixed by: the plain one, an average over all agents, or one over links that fail."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..parallel.agents import Agents
from ..parallel.backend import HOST, Host
from .gossip import Average, Gossip
from .link_failures import Failing

if TYPE_CHECKING:
    from .topology import Topology


def network(topology: "Topology | None", agents: Agents, dtype: Any, backend: Host = HOST, *, centralized: bool, drop: float,
            seed: int) -> Gossip:
    """The gossip of a topology that rank 0 alone may know; what the others must know of it stands in the keywords. Collective."""
    if drop:
        return Failing(topology, agents, dtype, backend, drop=drop, seed=seed)
    return (Average if centralized else Gossip)(topology, agents, dtype, backend)


def gossip(topology: "Topology", agents: Agents, dtype: Any = np.float64, seed: int = 0) -> Gossip:
    """The gossip of a topology that every rank knows; `seed` is that of failing links. Collective."""
    from .topology import Centralized  # ranks that are told what they need do without it
    return network(topology, agents, dtype, centralized=isinstance(topology, Centralized), drop=topology.drop, seed=seed)

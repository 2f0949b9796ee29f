"""Gossip over links that fail: at iteration k an edge that drops carries nothing, its weight goes to both diagonals.

W_k is symmetric and doubly stochastic at every k. Whether an edge drops is a function of (seed, edge, iteration) alone: both ends agree,
every exchange of an iteration meets the same W_k, on any number of ranks and after a restart. Each edge has a SplitMix64 stream (Steele,
Lea, Flood, OOPSLA 2014), whose k-th number one evaluates directly, for all edges at once.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..parallel.agents import Agents
from ..parallel.backend import HOST, Host
from .gossip import Gossip, Sent

if TYPE_CHECKING:
    from .topology import Topology

Array = Any

GOLDEN = 0x9E3779B97F4A7C15


class Failing(Gossip):
    """`W_k @ s` for a symmetric W whose edges drop with probability `drop` at each iteration; `at(k)` says at which one it is.

    A lost message still travels over MPI, with weight 0, but is not counted as sent.
    """

    failing = True

    def __init__(self, topology: "Topology | None", agents: Agents, dtype: Any = np.float64, backend: Host = HOST, *, drop: float,
                 seed: int = 0) -> None:
        super().__init__(topology, agents, dtype, backend)
        W, everyone = self._W, np.arange(agents.n)
        if self._links is not None:
            everyone = np.concatenate([everyone[agents.first:agents.last], np.array(self._links.theirs, int)])
        self._row = np.repeat(np.arange(self.m), np.diff(W.indptr))
        to, of = self._row + agents.first, everyone[W.indices]
        self._own, self._others = np.flatnonzero(to == of), np.flatnonzero(to != of)
        self._weights, self._below = W.data.copy(), np.uint64(drop * 2.0**64)
        low, high = (end(to, of)[self._others].astype(np.uint64) for end in (np.minimum, np.maximum))
        self._streams = _mixed(_mixed(_mixed(np.array([seed], np.uint64)) + low) + high)
        self._failed = 0
        self.at(0)

    def at(self, k: int) -> None:
        lost = self._others[_mixed(self._streams + np.uint64((k + 1) * GOLDEN % 2**64)) < self._below]
        self._failed, data = len(lost), self._W.data
        data[:] = self._weights
        data[lost] = 0
        data[self._own] += np.bincount(self._row[lost], self._weights[lost], self.m).astype(self.dtype)
        for route in self._routes.values():
            route.reweigh()

    def mix(self, message: Any) -> Any:
        mixed = super().mix(message)
        width = sum(a.shape[1] for a in message) if type(message) is tuple else message.shape[1]
        self.lost = Sent(self.lost.floats + self._failed * width, self.lost.messages + self._failed, 0)
        return mixed


def _mixed(z: Array) -> Array:
    """SplitMix64's mixing of (m,) uint64."""
    z = z + np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

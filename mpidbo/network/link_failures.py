"""Gossip over links that fail.

At iteration k an edge that fails carries nothing in either direction, and its weight goes to
diagonal entries, so that sums stay one: of a symmetric W to both ends, of A to the agent that would
have received, of B to the one that would have sent. Whether an edge fails is a function of
(seed, edge, iteration) alone: both ends agree without a message, every exchange of an iteration
uses the same W_k, on any number of ranks and in a resumed run.

Each edge has a stream of SplitMix64, whose k-th number is computed directly, for all edges at once.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..parallel import HOST, Agents, Host
from .gossip import Gossip
from .sent import Sent
from .splitmix import BITS, GOLDEN_GAMMA, mix64

if TYPE_CHECKING:
    from .topology import Topology


class FailingGossip(Gossip):
    """`W_k @ s` for a topology whose edges fail independently at each iteration; collective.

    A lost message travels over MPI all the same, with weight 0, but counts as `lost`.

    Parameters
    ----------
    topology, agents, dtype, backend
        As of `Gossip`; W is symmetric, or there are A or B in its place.
    drop : float
        Probability with which an edge fails, at each iteration.
    seed : int, default 0
        Seed of the failures.
    shared_memory : bool, default True
        As of `Gossip`.
    """

    changes = True

    def __init__(
        self,
        topology: "Topology | None",
        agents: Agents,
        dtype: DTypeLike = np.float64,
        backend: Host = HOST,
        *,
        drop: float,
        seed: int = 0,
        shared_memory: bool = True,
    ) -> None:
        super().__init__(topology, agents, dtype, backend, seed=seed, shared_memory=shared_memory)
        self._threshold = np.uint64(drop * 2.0**BITS)
        self._of_seed = mix64(np.array([seed], np.uint64))
        pattern = next(iter(self._matrices.values()))
        column_agents = np.arange(agents.n)
        if self._links is not None:
            own = column_agents[agents.first : agents.last]
            column_agents = np.concatenate([own, np.array(self._links.theirs, int)])
        # an entry of W is w_ij for the receiver i and the sender j
        self._row = np.repeat(np.arange(self.m), np.diff(pattern.indptr))
        receiver, sender = self._row + agents.first, column_agents[pattern.indices]
        self._diagonal = np.flatnonzero(receiver == sender)
        self._edges = np.flatnonzero(receiver != sender)
        self._streams = self._streams_of(receiver[self._edges], sender[self._edges])
        self._weights = {name: matrix.data.copy() for name, matrix in self._matrices.items()}
        if "B" in self._matrices:
            # What own agents send, by receivers in agent order, on any number of ranks.
            column = self._given["B"][:, agents.first : agents.last].tocoo()
            sent = column.row != column.col + agents.first
            self._sender = column.col[sent]
            self._sent_weights = column.data[sent].astype(self.dtype)
            self._sent_streams = self._streams_of(column.row[sent], self._sender + agents.first)
        self._failures, self._offset = 0, Sent(0, 0, 0, 0)
        self.at(0)

    def _streams_of(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the streams of edges, the same for both directions."""
        low, high = np.minimum(a, b).astype(np.uint64), np.maximum(a, b).astype(np.uint64)
        return mix64(mix64(self._of_seed + low) + high)

    def at(self, k: int) -> None:
        """Begin iteration k: draw its failures and set the entries of W_k."""
        super().at(k)
        before = self.lost
        # The streams k + 1 increments on; sums of uint64 are modulo 2^64.
        offset = np.uint64((k + 1) * GOLDEN_GAMMA % 2**BITS)
        failed = self._edges[mix64(self._streams + offset) < self._threshold]
        self._failures = len(failed)
        # What was lost before, less what all messages so far would lose by these failures.
        self._offset = Sent.total([before, self._carried(-self._failures)])
        for name, matrix in self._matrices.items():
            # In place, since the routes have planned with this array.
            data, weights = matrix.data, self._weights[name]
            data[:] = weights
            data[failed] = 0
            if name == "B":
                gone = mix64(self._sent_streams + offset) < self._threshold
                lost = np.bincount(self._sender[gone], self._sent_weights[gone], self.m)
            else:
                lost = np.bincount(self._row[failed], weights[failed], self.m)
            data[self._diagonal] += lost.astype(self.dtype)
        for route in self._routes.values():
            route.reweigh()

    def reset(self) -> None:
        super().reset()
        self._offset = Sent(0, 0, 0, 0)

    @property
    def lost(self) -> Sent:
        return Sent.total([self._offset, self._carried(self._failures)])._replace(rounds=0)

"""Gossip over a graph that changes from iteration to iteration."""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ..parallel import HOST, Agents, Host
from .gossip import MixingOperator
from .sent import Sent
from .stochastic import Product
from .turns import Turns

if TYPE_CHECKING:
    from .topology import Topology


class ChangingGossip(MixingOperator):
    """`W_k @ s`, where iteration k takes one of several graphs or none, W_k = I; collective.

    Each graph has an operator of its own, planned when it is first met, so that an iteration's
    messages go along the links of its graph only. In a local step nothing is sent.

    Parameters
    ----------
    topology, agents, dtype, backend
        As of `Gossip`.
    turns : Turns
        Which graph an iteration takes.
    build : callable
        Makes the operator of one of the topology's graphs; collective.
    seed : int, default 0
        Seed of the draws.
    """

    changes = True

    def __init__(
        self,
        topology: "Topology | None",
        agents: Agents,
        dtype: DTypeLike = np.float64,
        backend: Host = HOST,
        *,
        turns: Turns,
        build: "Callable[[Topology | None], MixingOperator]",
        seed: int = 0,
    ) -> None:
        super().__init__(topology, agents, dtype, backend)
        self._graphs = topology.graphs if topology else None
        self._turns, self._build, self._seed = turns, build, seed
        self._operators: dict[int, MixingOperator] = {}
        self._current: MixingOperator | None = None
        self.at(0)

    def at(self, k: int) -> None:
        """Begin iteration k: choose its graph."""
        place = self._turns.at(k, self._seed)
        self._current = None
        if place is None:
            return
        if place not in self._operators:
            self._operators[place] = self._build(self._graphs[place] if self._graphs else None)
        self._current = self._operators[place]
        self._current.at(k)

    def mix(self, message: Any) -> Any:
        if self._current is None:
            return tuple(map(_itself, message)) if type(message) is tuple else _itself(message)
        began = perf_counter()
        mixed = self._current.mix(message)
        self.seconds += perf_counter() - began
        return mixed

    @property
    def neighbours(self) -> set[int]:
        return self._current.neighbours if self._current else set()

    @property
    def sent(self) -> Sent:
        return Sent.total(operator.sent for operator in self._operators.values())

    @property
    def lost(self) -> Sent:
        return Sent.total(operator.lost for operator in self._operators.values())

    def reset(self) -> None:
        super().reset()
        for operator in self._operators.values():
            operator.reset()

    def close(self) -> None:
        for operator in self._operators.values():
            operator.close()
        self._operators.clear()


def _itself(part: Any) -> Any:
    """Return I @ s, for a product with other weights, too; what is compressed stays as it is."""
    if type(part) is not Product:
        return part
    return (part.array, part.array) if part.compressor else part.array

"""Topologies that change from iteration to iteration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .spectrum import contraction, spectrum_of_weights
from .topology import SparseTopology, digest, has, weights_of
from .turns import Turns
from .weights import summed


@dataclass(frozen=True, eq=False)
class ChangingTopology:
    """A topology that changes from iteration to iteration.

    Parameters
    ----------
    name : str
        Its name, or that of its graph where there is only one.
    graphs : tuple of SparseTopology
        The distinct graphs.
    turns : Turns
        Which of them an iteration takes.
    """

    name: str
    graphs: tuple[SparseTopology, ...]
    turns: Turns
    is_average: ClassVar[bool] = False

    @classmethod
    def of(
        cls, name: str, graphs: Sequence[SparseTopology], *, random: bool = False, every: int = 1
    ) -> Self:
        """Return a topology of graphs of which some may be the same, as `Turns` has them."""
        place: dict[str, int] = {}
        order = [place.setdefault(graph.fingerprint, len(place)) for graph in graphs]
        distinct = tuple(graphs[order.index(i)] for i in range(len(place)))
        return cls(name, distinct, Turns(tuple(order), random, every))

    @property
    def n(self) -> int:
        return self.graphs[0].n

    @property
    def _turn(self) -> list[SparseTopology]:
        return [self.graphs[i] for i in self.turns.order]

    @cached_property
    def weights(self) -> Mapping[str, csr_array]:
        turn = self._turn
        names = ("W",) if all("W" in graph.weights for graph in turn) else ("A", "B")
        return {
            name: summed([weights_of(graph, name) for graph in turn]) / len(turn)
            for name in names
            if all(has(graph, name) for graph in turn)
        }

    @property
    def W(self) -> csr_array:
        return next(iter(self.weights.values()))

    @property
    def drop(self) -> float:
        return self.graphs[0].drop

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """Of each agent the most in a round."""
        most: NDArray[np.int64] = np.max([graph.degrees for graph in self.graphs], axis=0)
        return most

    @property
    def edges(self) -> int:
        return max(graph.edges for graph in self.graphs)

    @property
    def messages(self) -> float:
        turn = [graph.messages for graph in self._turn]
        return sum(turn) / len(turn) / self.turns.every

    @cached_property
    def symmetric(self) -> bool:
        return all(graph.symmetric for graph in self.graphs)

    @cached_property
    def rho(self) -> float:
        turn = self._turn
        if len(self.graphs) == 1:
            return turn[0].rho
        if "W" in self.weights:
            return contraction([graph.W for graph in turn], random=self.turns.random)
        moduli = []
        for name in self.weights:
            product = weights_of(turn[0], name)
            for graph in turn[1:]:
                product = weights_of(graph, name) @ product
            moduli.append(spectrum_of_weights(product).rho)
        return float(max(moduli) ** (1 / len(turn)))

    @property
    def gap(self) -> float:
        return 1 - self.rho

    @cached_property
    def lambda_min(self) -> float:
        return min(graph.lambda_min for graph in self.graphs)

    @property
    def fingerprint(self) -> str:
        turns = self.turns
        parts = [*(graph.fingerprint for graph in self.graphs), turns.order, turns.random]
        return digest(" ".join(map(str, [*parts, turns.every])).encode())

    @property
    def mean(self) -> "ChangingTopology":
        return replace(self, graphs=tuple(graph.mean for graph in self.graphs))

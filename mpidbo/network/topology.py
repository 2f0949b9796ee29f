"""Topologies: the mixing matrices of the agents, and whether they suit a strategy.

W is doubly stochastic, with w_ij > 0 where agent i receives agent j's row. A directed graph need
not have such a W: then it has A, whose rows sum to one, and B, whose columns do. With a drop
probability each edge fails at each iteration with that probability (`link_failures`).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .spectrum import Spectrum, spectrum, spectrum_of_weights
from .turns import Turns

ROUNDING = 1e-12
"""Error up to which eigenvalues, and w_ij and w_ji, count as equal."""
FINGERPRINT_DIGITS = 16


class Topology(Protocol):
    """The mixing matrices of n agents.

    `make` constructs them from a name, a file or a list of edges, `centralized` the average over
    all agents.
    """

    @property
    def name(self) -> str:
        """Name of the graph or of the file."""

    @property
    def n(self) -> int:
        """Number of agents."""

    @property
    def weights(self) -> Mapping[str, csr_array]:
        """Mixing matrices by name: W, or A or B or both.

        W is doubly stochastic, the rows of A sum to one, and so do the columns of B. All are
        float64 of shape (n, n), with the same entries: all of the diagonal and no other zero. Of a
        topology that changes each is the mean over iterations.
        """

    @property
    def W(self) -> csr_array:
        """The first of `weights`: W, or A, or B where there is neither."""

    @property
    def graphs(self) -> "Sequence[Topology]":
        """The topologies of the iterations; of one that does not change it alone."""

    @property
    def turns(self) -> Turns:
        """Which of the graphs an iteration takes."""

    @property
    def drop(self) -> float:
        """Probability with which each edge fails, at each iteration."""

    @property
    def is_average(self) -> bool:
        """Whether W = 11'/n, applied by gathering the rows."""

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Number of neighbours whose rows each agent receives, shape (n,)."""

    @property
    def edges(self) -> int:
        """Messages of all agents in a round; of graphs that change at most."""

    @property
    def messages(self) -> float:
        """Messages of all agents in a round, in the mean over iterations and link failures."""

    @property
    def symmetric(self) -> bool:
        """Whether there is a W, and W = W' up to rounding."""

    @property
    def rho(self) -> float:
        """||W - 11'/n||_2: a round of gossip multiplies the disagreement by at most this factor.

        Without a W the second largest modulus of an eigenvalue of A or B, the factor in the long
        run. Of graphs that change the factor of a round in the mean (`spectrum.contraction`).
        """

    @property
    def gap(self) -> float:
        """The spectral gap, 1 - rho."""

    @property
    def lambda_min(self) -> float:
        """The smallest eigenvalue of W, or the smallest real part of one if W is not symmetric."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the topology in a checkpoint."""

    @property
    def mean(self) -> "Topology":
        """The topology with the mean of W over link failures, I - (1 - drop)(I - W)."""


@dataclass(frozen=True, eq=False)
class SparseTopology:
    """A topology that stores the entries of its matrices.

    Parameters
    ----------
    name : str
        Name of the graph or of the file.
    weights : mapping of str to csr_array of shape (n, n)
        W; or A or B or both. float64, with sorted indices; all diagonal entries and no other zero
        are stored.
    drop : float, default 0
        Probability with which each edge fails, at each iteration.
    """

    name: str
    weights: Mapping[str, csr_array]
    drop: float = 0.0
    turns: ClassVar[Turns] = Turns()
    is_average: ClassVar[bool] = False

    @property
    def W(self) -> csr_array:
        return next(iter(self.weights.values()))

    @property
    def graphs(self) -> "tuple[SparseTopology]":
        return (self,)

    @cached_property
    def n(self) -> int:
        return int(self.W.shape[0])

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        return np.diff(self.W.indptr).astype(np.int64) - 1

    @property
    def edges(self) -> int:
        return int(self.degrees.sum())

    @property
    def messages(self) -> float:
        return self.edges * (1 - self.drop)

    @cached_property
    def symmetric(self) -> bool:
        return "W" in self.weights and bool(abs(self.W - self.W.T).max() <= ROUNDING)

    @cached_property
    def _spectrum(self) -> Spectrum:
        if "W" in self.weights:
            return spectrum(self.W, symmetric=self.symmetric)
        found = [spectrum_of_weights(matrix) for matrix in self.weights.values()]
        return Spectrum(max(each.rho for each in found), min(each.lambda_min for each in found))

    @property
    def rho(self) -> float:
        return self._spectrum.rho

    @property
    def gap(self) -> float:
        return 1 - self.rho

    @property
    def lambda_min(self) -> float:
        return self._spectrum.lambda_min

    @cached_property
    def fingerprint(self) -> str:
        # scipy chooses the index type by the size of a matrix; the digest must not depend on it.
        parts = [
            np.array(self.W.shape, "<i8"),
            self.W.indptr.astype("<i8"),
            self.W.indices.astype("<i8"),
            *(matrix.data for matrix in self.weights.values()),
        ]
        content = b"".join(part.tobytes() for part in parts)
        if "W" not in self.weights:
            content += "".join(self.weights).encode()
        if self.drop:
            content += f"drop {self.drop!r}".encode()
        return digest(content)

    @property
    def mean(self) -> "SparseTopology":
        return SparseTopology(
            self.name, {name: _mean(matrix, self.drop) for name, matrix in self.weights.items()}
        )


def _mean(matrix: csr_array, drop: float) -> csr_array:
    mean = matrix * (1 - drop)
    mean.setdiag(mean.diagonal() + drop)
    return mean


class _AverageWeights(Mapping[str, csr_array]):
    """The weights {"W": W} of an average; W, a full matrix, is made when it is asked for."""

    def __init__(self, topology: "Centralized") -> None:
        self.topology = topology

    def __getitem__(self, name: str) -> csr_array:
        if name != "W":
            raise KeyError(name)
        return self.topology.W

    def __contains__(self, name: object) -> bool:
        return name == "W"  # without making W

    def __iter__(self) -> Iterator[str]:
        return iter(("W",))

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True, eq=False)
class Centralized:
    """The average over all agents, W = 11'/n, which is not stored: `W` makes it.

    Parameters
    ----------
    n : int
        Number of agents.
    """

    n: int
    name: ClassVar[str] = "centralized"
    drop: ClassVar[float] = 0.0
    turns: ClassVar[Turns] = Turns()
    is_average: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True
    rho: ClassVar[float] = 0.0
    gap: ClassVar[float] = 1.0

    @property
    def W(self) -> csr_array:
        return csr_array(np.full((self.n, self.n), 1 / self.n))

    @property
    def weights(self) -> Mapping[str, csr_array]:
        return _AverageWeights(self)

    @property
    def graphs(self) -> "tuple[Topology]":
        return (self,)

    @property
    def degrees(self) -> NDArray[np.int64]:
        return np.full(self.n, self.n - 1)

    @property
    def edges(self) -> int:
        """As many as in a star: every agent but the centre sends its row and receives the mean."""
        return 2 * (self.n - 1)

    @property
    def messages(self) -> float:
        return self.edges

    @property
    def lambda_min(self) -> float:
        return 1.0 if self.n == 1 else 0.0

    @property
    def fingerprint(self) -> str:
        return digest(f"centralized {self.n}".encode())

    @property
    def mean(self) -> Topology:
        return self


def centralized(n: int) -> Topology:
    """Return the average over all n agents, W = 11'/n."""
    return Centralized(n)


def digest(content: bytes) -> str:
    """Return the hexadecimal digits that identify a content."""
    return hashlib.sha256(content).hexdigest()[:FINGERPRINT_DIGITS]


def has(topology: Topology, name: str) -> bool:
    """Return whether a topology has these weights, "W", "A" or "B"; a W is A and B, too."""
    return name in topology.weights or "W" in topology.weights


def weights_of(topology: Topology, name: str) -> csr_array:
    """Return weights that a topology has."""
    return topology.weights[name if name in topology.weights else "W"]

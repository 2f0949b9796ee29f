"""Who talks to whom, and with which weights: the mixing matrix W of a named graph or of a file.

W is doubly stochastic, with w_ij > 0 where agent i receives agent j's row; named graphs and weights are in graphs.py.
`lazy` mixes half as fast, W <- (I + W)/2, which makes every eigenvalue of a symmetric W nonnegative and so suits every strategy.
With `drop` each edge fails at each iteration with that probability (link_failures.py).
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigs, eigsh, svds

from ..errors import UserError, shown
from . import files as matrices
from .graphs import TOPOLOGIES, Graph, weigh
from .table import check_table, options

DENSE = 1000  # agents up to which all eigenvalues are computed
ROUNDING = 1e-12  # of an eigenvalue, and of w_ij - w_ji


@dataclass(frozen=True, eq=False)
class Topology:
    """A mixing matrix W (n, n), float64, indices sorted, with every diagonal and no other zero stored."""

    name: str
    W: csr_array
    drop: float = 0.0
    """The probability with which each edge fails, at each iteration."""

    @cached_property
    def n(self) -> int:
        return int(self.W.shape[0])

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """(n,): the number of neighbours whose rows each agent receives."""
        return np.diff(self.W.indptr).astype(np.int64) - 1

    @property
    def edges(self) -> int:
        """Messages of all agents in a round."""
        return int(self.degrees.sum())

    @cached_property
    def symmetric(self) -> bool:
        return bool(abs(self.W - self.W.T).max() <= ROUNDING)

    @property
    def rho(self) -> float:
        """||W - 11'/n||_2: the factor by which one round of gossip at least contracts the disagreement."""
        return self._spectrum[0]

    @property
    def gap(self) -> float:
        """1 - rho."""
        return 1 - self.rho

    @property
    def lambda_min(self) -> float:
        """The smallest eigenvalue of W, or the smallest real part of one if W is not symmetric."""
        return self._spectrum[1]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that tell this W from any other, for checkpoints."""
        parts = np.array(self.W.shape, "<i8"), self.W.indptr.astype("<i8"), self.W.indices.astype("<i8"), self.W.data
        told = b"".join(part.tobytes() for part in parts) + (f"drop {self.drop!r}".encode() if self.drop else b"")
        return hashlib.sha256(told).hexdigest()[:16]

    @property
    def mean(self) -> "Topology":
        """The mean over failures, I - (1 - drop)(I - W)."""
        W = self.W * (1 - self.drop)
        W.setdiag(W.diagonal() + self.drop)
        return Topology(self.name, W)

    @cached_property
    def _spectrum(self) -> tuple[float, float]:
        W, n = self.W, self.n
        if n <= DENSE and self.symmetric:
            values = np.linalg.eigvalsh(W.toarray())
            return float(np.abs(values[:-1]).max(initial=0)), float(values[0])
        if n <= DENSE:
            dense = W.toarray()
            return float(np.linalg.norm(dense - 1 / n, 2)), float(np.linalg.eigvals(dense).real.min())
        # ARPACK likes many vectors for the crowded ends of a ring's spectrum, and the deflated eigenvalue not at an end
        how = {"k": 1, "ncv": 64, "v0": np.random.default_rng(0).standard_normal(n)}
        c = 1 - (W.trace() - 1) / (n - 1)
        rest = LinearOperator((n, n), lambda v: W @ v - c * v.mean(), lambda v: W.T @ v - c * v.mean(), dtype=np.float64)
        if self.symmetric:
            largest = eigsh(rest, which="LM", return_eigenvectors=False, **how)
            smallest = eigsh(W, which="SA", return_eigenvectors=False, **how)
        else:
            largest = svds(rest, return_singular_vectors=False, **how)
            smallest = eigs(W, which="SR", return_eigenvectors=False, **how)
        return float(abs(largest[0])), float(smallest[0].real)


class Centralized(Topology):
    """The average over all agents, W = 11'/n, of which nothing is stored: `W` makes it when asked."""

    def __init__(self, n: int) -> None:
        vars(self).update(name="centralized", n=n)

    @property
    def W(self) -> csr_array:
        return csr_array(np.full((self.n, self.n), 1 / self.n))

    @property
    def degrees(self) -> NDArray[np.int64]:
        return np.full(self.n, self.n - 1)

    @property
    def edges(self) -> int:
        """As many as in a star: every agent but the centre sends its row and is sent the mean."""
        return 2 * (self.n - 1)

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"centralized {self.n}".encode()).hexdigest()[:16]

    @property
    def _spectrum(self) -> tuple[float, float]:
        return 0.0, float(self.n == 1)


def centralized(n: int) -> Topology:
    """The average over all agents, W = 11'/n."""
    return Centralized(n)


def make(spec: str | Mapping[str, Any], n: int, *, where: str = "topology", folder: Path = Path(".")) -> Topology:
    """The topology of n agents that a name or a table describes.

    A table has `name`, one of TOPOLOGIES; or `file`, relative to `folder`, W itself or an edge list (matrices.py); or `edges`, pairs
    of agents or entries (i, j, w_ij) of W. It takes `lazy` (default: true for a name, else false), `weights` ("metropolis" or
    "uniform") unless W or a `self_weight` brings its own, `drop` (default 0), for a symmetric W, and with a name the keywords of its
    function in TOPOLOGIES.
    Raises UserError, a sentence that starts with the place, `where`, and the key; also for a W that is not of size
    (n, n), finite, nonnegative, doubly stochastic to 1e-10 and connected, with rho < 1.
    """
    if n < 1 or not isinstance(spec, str | Mapping):
        raise UserError(f"{where}: {shown(spec)} is no topology of {n} agents; give a name or a table, and at least 1 agent")
    table = {"name": spec} if isinstance(spec, str) else spec
    kind = check_table(table, where)
    try:
        return _make(table, kind, n, Path(folder))
    except UserError as error:
        raise UserError(f"{where}.{error}") from None


def suits(topology: Topology, strategy_name: str, *, needs_symmetric: bool, where: str = "topology") -> None:
    """Raises UserError where the strategy diverges on this W however small the step, and warns at the edge.

    `extra` needs lambda_min > -1/3, `ed` lambda_min >= -1/3: the bounds of their recursions as the step goes to zero.
    """
    if needs_symmetric and not topology.symmetric:
        raise UserError(
            f"{where}: {strategy_name} needs a symmetric W, and {topology.name} is not; take an undirected graph "
            "(directed = false), or a strategy that stands it: sgd, dgd, gt, semi-gt, non-gt"
        )
    if strategy_name not in ("ed", "extra") or topology.W.diagonal().min() >= 1 / 2:  # Gershgorin: lambda_min >= 0
        return
    excess, extra = topology.lambda_min + 1 / 3, strategy_name == "extra"
    found = f"{where}: the smallest eigenvalue of {topology.name} is {topology.lambda_min:.6g}, and {strategy_name}"
    if excess < -ROUNDING or (extra and excess <= ROUNDING):
        raise UserError(f"{found} diverges unless it is {'above' if extra else 'at least'} -1/3; set lazy = true")
    if excess <= ROUNDING:
        warnings.warn(f"{found} is at the edge of divergence, -1/3; set lazy = true", stacklevel=2)


# From a table to W. A sentence starts with its key; `make` puts the place before it.


def _make(table: Mapping[str, Any], kind: str, n: int, folder: Path) -> Topology:
    drawn = _drawn(table, kind, n, folder)
    name = Path(str(table[kind])).name if kind != "edges" else kind
    if isinstance(drawn, csr_array) and "weights" in table:
        raise UserError(f"weights: {name} brings its own; leave the key out")
    W = drawn if isinstance(drawn, csr_array) else weigh(drawn, table.get("weights", "metropolis"))
    _check(W, kind)
    if table.get("lazy", kind == "name"):
        W = W / 2
        W.setdiag(W.diagonal() + 1 / 2)
    elif not W.diagonal().all() and connected_components(W.T @ W)[0] > 1:  # never so with a positive diagonal
        raise UserError(f"{kind}: W exchanges rows without mixing them, ||W - 11'/n|| = 1; set lazy = true")
    made = Topology(name, W, float(table.get("drop", 0)))
    if made.drop and not made.symmetric:
        raise UserError(f"drop: a link fails in both directions, and W of {made.name} is not symmetric; take an undirected graph "
                        "(directed = false), or leave the key out")
    return made


def _drawn(table: Mapping[str, Any], kind: str, n: int, folder: Path) -> Graph | csr_array:
    """The graph, its links, or W."""
    if kind == "file":
        return matrices.read(folder / table["file"], n)
    if kind == "edges":
        return matrices.linked(table["edges"], n)
    name = table["name"]
    return TOPOLOGIES[name](n, **{key: table[key] for key in options(name) if key in table})


def _check(W: csr_array, key: str) -> None:
    entries = W.tocoo()
    for wrong, what in ((~np.isfinite(entries.data), "finite"), (entries.data < 0, "zero or more")):
        if wrong.any():
            i, j, w = (part[wrong.argmax()] for part in (entries.row, entries.col, entries.data))
            raise UserError(f"{key}: the entry ({i}, {j}) of W is {w:g}; make every weight {what}")
    for sums, line in ((W.sum(axis=1), "row"), (W.sum(axis=0), "column")):
        worst = int(np.abs(sums - 1).argmax())
        if abs(sums[worst] - 1) > 1e-10:
            raise UserError(f"{key}: {line} {worst} of W sums to {sums[worst]:.12g}; make rows and columns sum to one")
    _, part = connected_components(W, connection="strong")
    if (lost := part != part[0]).any():
        far = int(lost.argmax())
        raise UserError(f"{key}: not connected, agent {far} cannot be reached from agent 0; add edges that join them")

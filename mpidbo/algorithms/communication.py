"""What a method sends in an iteration.

It is counted in two iterations on a small stand-in problem, which holds for every method, whatever
its order and inner loops.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .._types import Array, Float
from ..network import Gossip, Levels, Topology, make
from ..parallel import Agents
from ..problems import Oracle, Problem
from .base import Method
from .constants import with_estimated_constants

POWERS = ("p", "q", "pq", "p^2", "q^2", "")
"""The terms of a quadratic polynomial in p and q."""
DIMS = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3))
"""(p, q) at which its values determine its coefficients."""


class CommunicationCost(NamedTuple):
    """What goes over one topology in an iteration.

    Parameters
    ----------
    topology : Topology
    floats : int
        Floats from an agent to each of its neighbours.
    bytes : int
        Bytes in which they travel.
    rounds : int
        Rounds of gossip, each one message to each neighbour.
    """

    topology: Topology
    floats: int
    bytes: int
    rounds: int

    @property
    def edges(self) -> float:
        """Messages of all agents in a round; the mean where links fail or graphs change."""
        return self.topology.messages


def communication_cost(
    method: Method,
    levels: Mapping[str, Topology],
    dims: tuple[int, int],
    k: int = 1,
    dtype: DTypeLike = np.float64,
) -> list[CommunicationCost]:
    """Return what iteration k of a method sends, for each distinct topology of its levels.

    Parameters
    ----------
    method : Method
    levels : mapping
        Level -> its topology.
    dims : tuple of int
        (p, q), the dimensions of x and y.
    k : int, default 1
        The iteration, above 0.
    dtype : dtype, default float64
        Type of the floats.

    Returns
    -------
    list of CommunicationCost
    """
    distinct = list({id(topology): topology for topology in levels.values()}.values())
    # every topology is played by a ring of two agents, which have one neighbour each
    agents = Agents(2)
    rings = [Gossip(make("ring", 2), agents, dtype) for _ in distinct]
    W = Levels.of(rings[distinct.index(topology)] for topology in levels.values())
    oracle = Oracle([StandIn(agent, 2, dims) for agent in range(2)], agents, dtype=dtype)
    x, y = (np.ones((2, d), dtype) for d in dims)
    method = with_estimated_constants(method, oracle, x, y)
    with np.errstate(all="ignore"):
        state = method.step(0, oracle, W, method.start(x, y))
        before = [ring.sent for ring in rings]
        method.step(k, oracle, W, state)
    found = []
    for topology, ring, earlier in zip(distinct, rings, before, strict=True):
        floats = (ring.sent.floats - earlier.floats) // ring.edges
        size = (ring.sent.bytes - earlier.bytes) // ring.edges
        rounds = ring.sent.rounds - earlier.rounds
        found.append(CommunicationCost(topology, floats, size, rounds))
    return found


def communication_formula(method: Method, k: int = 1, unit: int = 1) -> tuple[str, int]:
    """Return what iteration k sends as a formula, all levels over one topology.

    Parameters
    ----------
    method : Method
    k : int, default 1
        The iteration, above 0.
    unit : int, default 1
        What a float counts: 8 for the bytes of float64, of a method that sends in full.

    Returns
    -------
    floats : str
        Floats from an agent to each neighbour, such as "p + Tq + 2Nq".
    rounds : int

    Notes
    -----
    The floats are taken to be a polynomial of degree two in p and q that is linear in the method's
    own whole numbers, such as T and N.
    """
    ring = make("ring", 2)
    levels = dict.fromkeys(method.levels, ring)
    counts = [field.name for field in fields(method) if type(field.default) is int]

    def coefficients(**values: Any) -> np.ndarray:
        """The coefficients of POWERS, with these values of the method's whole numbers."""
        rule = replace(method, **values)
        floats = [communication_cost(rule, levels, dims, k)[0].floats for dims in DIMS]
        powers = [[p, q, p * q, p * p, q * q, 1] for p, q in DIMS]
        return np.rint(np.linalg.solve(powers, floats)).astype(int)

    ones = dict.fromkeys(counts, 1)
    at_ones = coefficients(**ones)
    slopes = {name: coefficients(**{**ones, name: 2}) - at_ones for name in counts}
    constant = at_ones - sum(slopes.values())
    terms = [
        _term(unit * int(part[i]), name + power)
        for i, power in enumerate(POWERS)
        for name, part in {"": constant, **slopes}.items()
        if part[i]
    ]
    rounds = communication_cost(method, levels, (1, 1), k)[0].rounds
    return " + ".join(terms) or "0", rounds


def _term(factor: int, letters: str) -> str:
    """Return "2Nq", "p" or "3"."""
    return letters if factor == 1 and letters else f"{factor}{letters}"


class StandIn(Problem):
    """f = |x|^2/2 + |y|^2/2, g = |y|^2/2 + |x|^2/2."""

    def __init__(self, agent: int, n_agents: int, dims: tuple[int, int]) -> None:
        super().__init__(agent, n_agents, xp=np, seed=0)
        self.dims = dims

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return float(x @ x + y @ y) / 2

    def f_x(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " p"]:
        return x.copy()

    def f_y(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " q"]:
        return y.copy()

    def g_yy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " q"]:
        return v.copy()

    def g_xy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " p"]:
        return np.zeros_like(x)

    g, g_x, g_y = f, f_x, f_y

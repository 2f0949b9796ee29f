"""What a method sends, found by two iterations on a small stand-in: true for every method, whatever its order and inner loops."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from ..network.gossip import Gossip, Levels
from ..network.topology import Topology, make
from ..parallel.agents import Agents
from ..problems import Problem
from ..problems.oracle import Oracle
from . import Method
from .constants import known

Array = Any

POWERS = ("p", "q", "pq", "p^2", "q^2", "")
POINTS = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3))
"""The terms of a quadratic polynomial in p and q, and (p, q) where its values tell its coefficients."""


class Traffic(NamedTuple):
    """What goes over one topology in an iteration: floats to each neighbour, and rounds, each one message to each neighbour."""

    topology: Topology
    floats: int
    rounds: int

    @property
    def edges(self) -> float:
        """Messages of all agents in a round; where links fail, the mean."""
        return self.topology.edges * (1 - self.topology.drop)


def traffic(method: Method, levels: Mapping[str, Topology], dims: tuple[int, int], k: int = 1) -> list[Traffic]:
    """What iteration k > 0 of a method sends, for each distinct topology of its levels; no oracle of the user's is called."""
    agents = Agents(2)
    problems = [StandIn(agent, 2, dims) for agent in range(2)]
    distinct = list({id(topology): topology for topology in levels.values()}.values())
    small = [Gossip(make("ring", 2), agents) for _ in distinct]
    W, oracle = Levels.of(small[distinct.index(topology)] for topology in levels.values()), Oracle(problems, agents)
    x, y = (np.ones((2, d)) for d in dims)
    method = known(method, oracle, x, y)
    with np.errstate(all="ignore"):
        state = method.step(0, oracle, W, method.start(x, y))
        before = [gossip.sent for gossip in small]
        method.step(k, oracle, W, state)
    found = []
    for topology, gossip, earlier in zip(distinct, small, before, strict=True):
        floats, _, rounds = (now - then for now, then in zip(gossip.sent, earlier, strict=True))
        found.append(Traffic(topology, floats // gossip.edges, rounds))
    return found


def formula(method: Method, k: int = 1) -> tuple[str, int]:
    """("p + Tq + 2Nq", 20): floats to each neighbour and rounds in iteration k > 0, all levels over one topology.

    The floats are a quadratic polynomial in p and q, linear in the method's own whole numbers, such as T and N.
    """
    levels = dict.fromkeys(method.levels, make("ring", 2))

    def polynomial(**counts: int) -> np.ndarray:
        rule = replace(method, **counts)
        floats = [traffic(rule, levels, dims, k)[0].floats for dims in POINTS]
        return np.rint(np.linalg.solve([[p, q, p * q, p * p, q * q, 1] for p, q in POINTS], floats)).astype(int)

    ones = {field.name: 1 for field in fields(method) if field.type is int}
    least = polynomial(**ones)
    more = {name: polynomial(**{**ones, name: 2}) - least for name in ones}
    parts = {"": least - sum(more.values()), **more}
    terms = [(part[i], f"{count}{power}") for i, power in enumerate(POWERS) for count, part in parts.items() if part[i]]
    text = " + ".join(f"{factor if factor > 1 or not letters else ''}{letters}" for factor, letters in terms)
    return text or "0", traffic(method, levels, (1, 1), k)[0].rounds


class StandIn(Problem):
    """f = |x|^2/2 + |y|^2/2, g = |y|^2/2 + |x|^2/2."""

    def __init__(self, agent: int, n_agents: int, dims: tuple[int, int]) -> None:
        super().__init__(agent, n_agents, xp=np, seed=0)
        self.dims = dims

    def f(self, x: Array, y: Array, sample: Any) -> float:
        return float(x @ x + y @ y) / 2

    def f_x(self, x: Array, y: Array, sample: Any) -> Array:
        return x.copy()

    def f_y(self, x: Array, y: Array, sample: Any) -> Array:
        return y.copy()

    def g_yy(self, x: Array, y: Array, v: Array, sample: Any) -> Array:
        return v.copy()

    def g_xy(self, x: Array, y: Array, v: Array, sample: Any) -> Array:
        return np.zeros_like(x)

    g, g_x, g_y = f, f_x, f_y

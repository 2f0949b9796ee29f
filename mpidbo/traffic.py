"""What a method sends, found by two iterations on a small stand-in: true for every method, whatever its order and inner loops."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .agents import Agents
from .algorithms import Method
from .curvature import known
from .gossip import Gossip, Levels
from .oracles import Oracle
from .problems import Problem
from .topologies import Topology, make

Array = Any


class Traffic(NamedTuple):
    """What goes over one topology in an iteration: floats to each neighbour, and rounds, each one message to each neighbour."""

    topology: Topology
    floats: int
    rounds: int

    @property
    def edges(self) -> int:
        """Messages of all agents in a round."""
        return self.topology.edges


def traffic(method: Method, levels: Mapping[str, Topology], dims: tuple[int, int], k: int = 1) -> list[Traffic]:
    """What iteration k > 0 of a method sends, for each distinct topology of its levels; no oracle of the user's is called."""
    agents = Agents(2)
    problems = [StandIn(agent, 2, dims) for agent in range(2)]
    distinct = list({id(topology): topology for topology in levels.values()}.values())
    small = [Gossip(make("ring", 2), agents) for _ in distinct]
    W, oracle = Levels(*([small[distinct.index(topology)] for topology in levels.values()] * 3)[:3]), Oracle(problems, agents)
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
    """("p + 2q", 3): floats to each neighbour and rounds in iteration k > 0, all levels over one topology."""
    ring = make("ring", 2)

    def floats(p: int, q: int) -> tuple[int, int]:
        found, = traffic(method, dict.fromkeys(method.levels, ring), (p, q), k)
        return found.floats, found.rounds

    (one, rounds), (more_p, _), (more_q, _), (both, _) = floats(1, 1), floats(2, 1), floats(1, 2), floats(2, 2)
    mixed = both - more_p - more_q + one
    p, q = more_p - one - mixed, more_q - one - mixed
    parts = [(p, "p"), (q, "q"), (mixed, "pq"), (one - p - q - mixed, "")]
    text = " + ".join(f"{count if count > 1 or not name else ''}{name}" for count, name in parts if count)
    return text or "0", rounds


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

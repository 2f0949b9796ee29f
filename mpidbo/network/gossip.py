"""`W @ s`: the only communication verb.

A `Gossip` mixes the rows of the agents hosted by this rank with those of their neighbours. It takes an array of shape
(m, d); or a strategy's generator, where `yield s` means W @ s; or a tuple of these, in lock-step: every round of all of
them travels in one message per neighbour. The sum behind each row runs in agent order with the same kernel however
many ranks there are, so a trajectory does not depend on the number of ranks, to the bit.
"""

from collections.abc import Iterable
from time import perf_counter
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from ..errors import UserError
from ..parallel.agents import Agents
from ..parallel.backend import HOST, Cuda, Host
from ..parallel.collectives import create_graph, free
from . import gpu_exchange as staging
from .exchange import WIDE, Central, Narrow, Route, Wide, links, spread

if TYPE_CHECKING:  # networkx is for the rank that makes a topology
    from .topology import Topology

Array = Any


class Sent(NamedTuple):
    """What all agents together send: floats and messages over the edges of the graph, and rounds."""

    floats: int
    messages: int
    rounds: int


class Gossip:
    """`W @ s` for the agents of this rank; `close` frees what the MPI library holds.

    The topology is rank 0's, which tells the others their rows and columns of W; they may have None. Raises UserError when
    the ranks give messages of different sizes.
    """

    failing: ClassVar[bool] = False
    """Whether W changes from iteration to iteration, and wants to be told of each (`at`)."""
    lost = Sent(0, 0, 0)
    """Of `sent`, what was on its way to this rank's agents over links that failed."""

    def __init__(self, topology: "Topology | None", agents: Agents, dtype: Any = np.float64, backend: Host = HOST) -> None:
        self._begin(agents, dtype, backend, topology.edges if topology else 0)
        self._links, self._graph = None, None
        W = topology.W if topology else None
        if agents.comm is not None:
            self._links = links(spread(W, agents), agents)
            self._graph = create_graph(agents.comm, self._links.sources, self._links.destinations, reorder=False)
            W = self._links.W
        assert W is not None
        self._W = csr_array((W.data.astype(self.dtype), W.indices, W.indptr), shape=W.shape)
        if isinstance(backend, Cuda) and backend.buffers == "device" and self._links is not None:
            staging.verify(self._W, backend, self._links, self._graph, agents.comm, agents.first)

    def _begin(self, agents: Agents, dtype: Any, backend: Host, edges: int) -> None:
        self.agents, self.dtype, self.backend, self.m = agents, np.dtype(dtype), backend, agents.m
        self.edges = int(agents.told(str(edges)))
        self.seconds = 0.0
        self._routes: dict[Any, Route] = {}

    def __matmul__(self, what: Any) -> Any:
        if type(what) is GeneratorType:
            mixed = None
            try:
                while True:
                    mixed = self.mix(what.send(mixed))
            except StopIteration as stop:
                return stop.value
        if type(what) is tuple:
            return self._together(what)
        return self.mix(what)

    def _together(self, steps: tuple[Any, ...]) -> tuple[Any, ...]:
        results: list[Any] = list(steps)
        live: list[tuple[int, Any, Any]] = [(i, step, step.send(None)) if type(step) is GeneratorType else (i, None, step)
                for i, step in enumerate(steps)]
        while live:
            flat: list[Array] = []
            for _, _, message in live:
                flat.extend(message) if type(message) is tuple else flat.append(message)
            mixed = iter(self.mix(tuple(flat)))
            still: list[tuple[int, Any, Any]] = []
            for i, step, message in live:
                answer = tuple(next(mixed) for _ in message) if type(message) is tuple else next(mixed)
                if step is None:
                    results[i] = answer
                    continue
                try:
                    still.append((i, step, step.send(answer)))
                except StopIteration as stop:
                    results[i] = stop.value
            live = still
        return tuple(results)

    def mix(self, message: Any) -> Any:
        """W @ an array, or each of a tuple of arrays in one message."""
        began = perf_counter()
        several = type(message) is tuple
        key = tuple([a.shape for a in message]) if several else message.shape
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = self._route([a.shape for a in message] if several else [message.shape])
        route.calls += 1
        mixed = route.mix(message if several else (message,))
        self.seconds += perf_counter() - began
        return mixed if several else mixed[0]

    def _route(self, shapes: list[tuple[int, int]]) -> Route:
        wrong = next((f"W @ s: s has shape {shape}, expected ({self.m}, d), one row for each agent of this rank"
                      for shape in shapes if len(shape) != 2 or shape[0] != self.m), "")
        said = self.agents.texts(wrong or "+".join(str(shape[1]) for shape in shapes))
        for rank, theirs in enumerate(said):
            if theirs != said[0] or theirs.startswith("W"):
                mistake = UserError(theirs if theirs.startswith("W") else f"W @ s: rank {rank} sends rows of {theirs} floats, "
                                    f"rank 0 of {said[0]}; make dims the same on every agent")
                mistake.agreed = True                    # every rank was told all
                raise mistake
        return self._planned([shape[1] for shape in shapes])

    def _planned(self, widths: list[int]) -> Route:
        if isinstance(self.backend, Cuda):
            return staging.route(widths, self._W, self.backend, self._links, self._graph)
        return (Wide if sum(widths) > WIDE else Narrow)(widths, self._W, self._links, self._graph)

    def at(self, k: int) -> None:
        """From here on it is iteration k, which changes nothing unless links fail."""

    @property
    def neighbours(self) -> set[int]:
        """The ranks with which this one exchanges messages."""
        return set() if self._links is None else {*self._links.sources, *self._links.destinations}

    @property
    def sent(self) -> Sent:
        """What all agents have sent so far, had no link failed."""
        routes = self._routes.values()
        calls = sum(route.calls for route in routes)
        return Sent(self.edges * sum(route.calls * route.width for route in routes), self.edges * calls, calls)

    def close(self) -> None:
        """Free requests and the graph communicator; collective."""
        for route in self._routes.values():
            route.close()
        self._routes.clear()
        if self._graph is not None:
            free(self._graph)
            self._graph = None


class Average(Gossip):
    """J = 11'/n in place of W: rows gathered and added in agent order, the mean on every row."""

    def __init__(self, topology: "Topology | None", agents: Agents, dtype: Any = np.float64, backend: Host = HOST) -> None:
        self._begin(agents, dtype, backend, topology.edges if topology else 0)
        self._graph = None

    @property
    def neighbours(self) -> set[int]:
        return {*range(self.agents.size)} - {self.agents.rank}

    def _planned(self, widths: list[int]) -> Route:
        if isinstance(self.backend, Cuda) and self.agents.comm is None:
            return staging.Mean(widths, self.agents.n, self.dtype, self.backend)
        return Central(widths, self.agents, self.backend)


class Levels:
    """W for each level: W.x, W.y, W.z.

    `W @ (a, b, c)` is a step of all levels, in their order, at once: levels that share a topology share their messages.
    What follows the third travels with z.
    """

    def __init__(self, x: Gossip, y: Gossip, z: Gossip) -> None:
        self.x, self.y, self.z = x, y, z
        self.distinct = list({id(w): w for w in (x, y, z)}.values())
        self.failing = [w for w in self.distinct if w.failing]
        self._groups: dict[int, list[tuple[Gossip, list[int]]]] = {}

    @classmethod
    def of(cls, levels: Iterable[Gossip]) -> "Levels":
        """Of the levels that a method has, of which the last stands for those that it has not."""
        found = [*levels]
        return cls(*(found + found[-1:] * 2)[:3])

    def __matmul__(self, steps: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(self.distinct) == 1:
            return self.x @ steps
        results: list[Any] = [None] * len(steps)
        for w, places in self._grouped(len(steps)):
            for i, result in zip(places, w @ tuple([steps[i] for i in places]), strict=True):
                results[i] = result
        return tuple(results)

    def _grouped(self, count: int) -> list[tuple[Gossip, list[int]]]:
        """Of so many steps, which go over each topology."""
        if count not in self._groups:
            owners = [(self.x, self.y, self.z)[min(i, 2)] for i in range(count)]
            groups = [(w, [i for i, owner in enumerate(owners) if owner is w]) for w in self.distinct]
            self._groups[count] = [(w, places) for w, places in groups if places]
        return self._groups[count]

    def at(self, k: int) -> None:
        """From here on it is iteration k."""
        for w in self.failing:
            w.at(k)

    @property
    def seconds(self) -> float:
        return sum(w.seconds for w in self.distinct)

    @property
    def sent(self) -> Sent:
        return Sent(*map(sum, zip(*(w.sent for w in self.distinct), strict=True)))

    @property
    def lost(self) -> Sent:
        return Sent(*map(sum, zip(*(w.lost for w in self.distinct), strict=True)))

    def close(self) -> None:
        for w in self.distinct:
            w.close()

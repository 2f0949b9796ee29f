"""The gossip operator `W @ s`, the only communication primitive.

A gossip operator mixes the rows of the agents that this rank hosts with those of their neighbours.
It takes an array of shape (m, d); or a strategy's generator, where `yield s` means W @ s; or a
tuple of these, in lock-step: each round of all of them is one message per neighbour. The sum behind
each row runs in agent order with the same kernel on any number of ranks, so that a trajectory does
not depend on the number of ranks, to the bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from time import perf_counter
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array

from ..errors import UserError
from ..parallel import HOST, Agents, Cuda, Fused, Host, create_graph, free, raise_on_all_ranks
from . import gpu_exchange
from .compressed import Compressed, Keys
from .compressors import Compressor
from .computed import computed
from .exchange import MAX_NARROW_WIDTH, Narrow, Route, Wide
from .neighbours import Links, links, spread
from .sent import Sent
from .shared import SharedMemory
from .stochastic import Product

if TYPE_CHECKING:
    from mpi4py.MPI import Distgraphcomm

    from .topology import Topology


_Running: TypeAlias = tuple[int, Generator[Any, Any, Any] | None, Any]
"""Of a step in lock-step: its place, its generator or None, and its message of this round."""


class MixingOperator(ABC):
    """Base class of the operators `W @ s` on the rows of this rank's agents; collective.

    Parameters
    ----------
    topology : Topology or None
        The mixing matrix, on rank 0; the other ranks may have None.
    agents : Agents
        The distribution of agents over ranks.
    dtype : dtype, default float64
        Type of the messages.
    backend : Host, default HOST
        Where the arrays of a message are.

    Attributes
    ----------
    seconds : float
        Time spent in `W @` so far.
    edges : int
        Messages of all agents in a round.
    keys : Keys
        From which compressors derive random numbers.
    """

    changes: ClassVar[bool] = False
    """Whether W changes from iteration to iteration, so that `at` has to be called at each."""

    def __init__(
        self,
        topology: "Topology | None",
        agents: Agents,
        dtype: DTypeLike = np.float64,
        backend: Host = HOST,
    ) -> None:
        self.agents, self.m = agents, agents.m
        self.dtype, self.backend = np.dtype(dtype), backend
        self.edges = int(agents.bcast_text(str(topology.edges if topology else 0)))
        self.seconds = 0.0
        self.keys = Keys()

    @property
    @abstractmethod
    def neighbours(self) -> set[int]:
        """The ranks with which this one exchanges messages."""

    def __matmul__(self, what: Any) -> Any:
        if type(what) is GeneratorType:
            mixed = None
            try:
                while True:
                    mixed = self.mix(what.send(mixed))
            except StopIteration as stop:
                return stop.value
        if type(what) is tuple:
            return self._lockstep(what)
        return self.mix(what)

    def _lockstep(self, steps: tuple[Any, ...]) -> tuple[Any, ...]:
        """Mix arrays and run generators together, one message for each round of all."""
        results: list[Any] = list(steps)
        running: list[_Running] = [
            (i, step, step.send(None)) if type(step) is GeneratorType else (i, None, step)
            for i, step in enumerate(steps)
        ]
        while running:
            # A generator may also yield a tuple of arrays; all of them become one flat message.
            arrays: list[Any] = []
            for _, _, message in running:
                if type(message) is tuple:
                    arrays.extend(message)
                else:
                    arrays.append(message)
            mixed = iter(self.mix(tuple(arrays)))
            still_running: list[_Running] = []
            for i, step, message in running:
                if type(message) is tuple:
                    answer: Any = tuple(next(mixed) for _ in message)
                else:
                    answer = next(mixed)
                if step is None:
                    results[i] = answer
                    continue
                try:
                    still_running.append((i, step, step.send(answer)))
                except StopIteration as stop:
                    results[i] = stop.value
            running = still_running
        return tuple(results)

    @abstractmethod
    def mix(self, message: Any) -> Any:
        """Return W @ an array, or W @ each of a tuple of arrays, sent as one message; collective.

        Parameters
        ----------
        message : array of shape (m, d), or tuple of such arrays
            `A @ s` or `B @ s` in place of an array s is mixed by A or B in place of W; `C @ s` is
            compressed.

        Returns
        -------
        array of shape (m, d), or tuple of such arrays
            New arrays; for `C @ s` a pair of them, C(s) and W @ C(s).

        Raises
        ------
        UserError
            An array does not have one row for each agent of this rank, or the widths differ between
            ranks.
        """

    def at(self, k: int) -> None:
        """Begin iteration k; W changes with it only where links fail or graphs change."""
        self.keys.begin(k)

    @property
    @abstractmethod
    def sent(self) -> Sent:
        """What all agents have sent so far, as if no link had failed."""

    @property
    def lost(self) -> Sent:
        """Of `sent`, what was addressed to this rank's agents over links that failed."""
        return Sent(0, 0, 0, 0)

    def reset(self) -> None:
        """Count from zero what is sent, and the time that it takes."""
        self.seconds = 0.0

    @abstractmethod
    def close(self) -> None:
        """Free what the MPI library holds; collective."""


class RoutedOperator(MixingOperator):
    """A mixing operator that plans a route for the messages of each shape when it first meets it.

    Parameters
    ----------
    topology, agents, dtype, backend
        As of `MixingOperator`.
    """

    def __init__(
        self,
        topology: "Topology | None",
        agents: Agents,
        dtype: DTypeLike = np.float64,
        backend: Host = HOST,
    ) -> None:
        super().__init__(topology, agents, dtype, backend)
        self._routes: dict[Any, Route] = {}

    @abstractmethod
    def _planned(
        self,
        widths: list[int],
        weights: tuple[str, ...],
        compressors: tuple[Compressor | None, ...],
    ) -> Route:
        """Plan the route of messages of arrays with these widths.

        Each is mixed by the weights of its place, and compressed unless there is None.
        """

    def mix(self, message: Any) -> Any:
        began = perf_counter()
        several = type(message) is tuple
        parts = message if several else (message,)
        # Of lists: a generator expression costs more, and this runs in every round.
        key = tuple([part.shape for part in parts]) if several else message.shape
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = self._agreed_route(parts)
        if route.takes_products:
            parts = tuple([part.array if type(part) is Product else part for part in parts])
        route.calls += 1
        mixed = route.mix(parts)
        self.seconds += perf_counter() - began
        return mixed if several else mixed[0]

    def _agreed_route(self, parts: tuple[Any, ...]) -> Route:
        """Plan a route once the ranks have compared their shapes; collective."""
        products = [part if type(part) is Product else Product("W", part) for part in parts]
        shapes = tuple(product.array.shape for product in products)
        report = self._shape_error(shapes) or "+".join(str(shape[1]) for shape in shapes)
        reports = self.agents.allgather_text(report)
        for rank, theirs in enumerate(reports):
            if theirs.startswith("W"):  # an error: widths begin with a digit
                raise_on_all_ranks(UserError(theirs))
            if theirs != reports[0]:
                error = UserError(
                    f"W @ s: rank {rank} sends rows of {theirs} floats, rank 0 of {reports[0]}; "
                    "make dims the same on every agent"
                )
                raise_on_all_ranks(error)
        weights = tuple(product.weights for product in products)
        compressors = tuple(product.compressor for product in products)
        route = self._planned([shape[1] for shape in shapes], weights, compressors)
        if isinstance(self.backend, Fused):
            route = computed(route, self.backend, self)
        route.takes_products = any(type(part) is Product for part in parts)
        return route

    def _shape_error(self, shapes: tuple[tuple[int, ...], ...]) -> str:
        """Describe the first shape that is not (m, d), or return ""."""
        for shape in shapes:
            if len(shape) != 2 or shape[0] != self.m:
                return (
                    f"W @ s: s has shape {shape}, expected ({self.m}, d), one row for each agent "
                    "of this rank"
                )
        return ""

    @property
    def sent(self) -> Sent:
        return self._carried(self.edges)

    def _carried(self, edges: int) -> Sent:
        """Return what this many edges have carried so far, if no link had failed."""
        routes = self._routes.values()
        rounds = sum(route.calls for route in routes)
        floats = sum(route.calls * route.width for route in routes)
        size = sum(route.calls * route.bytes for route in routes)
        return Sent(edges * floats, edges * rounds, rounds, edges * size)

    def reset(self) -> None:
        super().reset()
        for route in self._routes.values():
            route.calls = 0

    def close(self) -> None:
        for route in self._routes.values():
            route.close()
        self._routes.clear()


class Gossip(RoutedOperator):
    """`W @ s` over the edges of a topology; collective.

    `W @ s` takes an array s of shape (m, d), one row for each agent that this rank hosts, and
    returns the rows of the product, for which neighbours exchange their rows. A strategy's
    generator `W @ step` runs with each `yield s` replaced by W @ s; a tuple of arrays and
    generators runs in lock-step, one message per neighbour and round.

    Parameters
    ----------
    topology : Topology or None
        The mixing matrices, on rank 0, which sends the other ranks their rows and columns; these
        may have None.
    agents : Agents
        The distribution of agents over ranks.
    dtype : dtype, default float64
        Type of the messages and of the entries of W.
    backend : Host, default HOST
        Where the arrays of a message are.
    seed : int, default 0
        Seed of the random numbers of compressors.
    shared_memory : bool, default True
        Whether ranks of a node exchange long rows through memory that they share.

    Raises
    ------
    UserError
        The MPI library cannot send from device memory, though `run.buffers` is "device".

    Notes
    -----
    Row i of the result is sum_j w_ij s_j over j in agent order, with the same kernel on any number
    of ranks.
    """

    def __init__(
        self,
        topology: "Topology | None",
        agents: Agents,
        dtype: DTypeLike = np.float64,
        backend: Host = HOST,
        *,
        seed: int = 0,
        shared_memory: bool = True,
    ) -> None:
        super().__init__(topology, agents, dtype, backend)
        self.keys = Keys(seed)
        self._links: Links | None = None
        self._graph: Distgraphcomm | None = None
        self._given: Mapping[str, csr_array] = topology.weights if topology else {}
        matrices = self._given
        if agents.comm is not None:
            self._given = spread(self._given, agents)
            self._links = links(self._given, agents)
            # Without reordering, a rank keeps its number, and with it its agents.
            self._graph = create_graph(
                agents.comm, self._links.sources, self._links.destinations, reorder=False
            )
            matrices = self._links.matrices
        self._shared: SharedMemory | None = None
        if shared_memory and self._links is not None:
            self._shared = SharedMemory(self._links, agents)
        self._matrices = {
            name: csr_array((W.data.astype(self.dtype), W.indices, W.indptr), shape=W.shape)
            for name, W in matrices.items()
        }
        if isinstance(backend, Cuda) and backend.buffers == "device" and self._links is not None:
            W = next(iter(self._matrices.values()))
            gpu_exchange.verify(W, backend, self._links, self._graph, agents.comm, agents.first)

    @property
    def neighbours(self) -> set[int]:
        if self._links is None:
            return set()
        return {*self._links.sources, *self._links.destinations}

    def _planned(
        self,
        widths: list[int],
        weights: tuple[str, ...],
        compressors: tuple[Compressor | None, ...],
    ) -> Route:
        matrices = [self._matrix(name) for name in weights]
        kind = Wide if sum(widths) > MAX_NARROW_WIDTH else Narrow
        if any(compressors):
            agents = [*range(self.agents.first, self.agents.last)]
            agents += self._links.theirs if self._links else []
            return Compressed(
                widths,
                matrices,
                compressors,
                kind(widths, matrices),
                agents,
                self.keys,
                self._links,
                self._graph,
                self.backend,
            )
        if isinstance(self.backend, Cuda):
            return gpu_exchange.route(widths, matrices, self.backend, self._links, self._graph)
        route = self._shared and self._shared.route(widths, matrices, narrow=kind is Narrow)
        return route or kind(widths, matrices, self._links, self._graph)

    def _matrix(self, name: str) -> csr_array:
        """Return this rank's rows of W, A or B; a W, which is doubly stochastic, is all of them."""
        found = self._matrices.get(name, self._matrices.get("W"))
        if found is None:
            error = UserError(
                f"{name} @ s: the topology has {' and '.join(self._matrices)} alone; choose a "
                "strategy that mixes by these, or a topology with other weights"
            )
            raise_on_all_ranks(error)
        return found

    def close(self) -> None:
        super().close()
        if self._shared is not None:
            self._shared.close()
        if self._graph is not None:
            free(self._graph)
            self._graph = None

"""Rows in memory that the ranks of a node share.

A rank writes its rows into a window and sends one byte to its neighbours on the node, which then
read the rows where they are. Waiting and ordering remain MPI's: a rank that has received the byte
sees what its sender wrote before. Rows of other nodes travel as messages, into the window.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._types import Array, Float
from ..parallel import (
    Agents,
    Exchange,
    allgather_text,
    create_graph,
    free,
    shared_bytes,
    split_type,
)
from .exchange import RowExchange
from .neighbours import Links

TURNS = 2
"""Buffers for the rows of a rank, which its messages fill in turn.

Two suffice: a rank fills a buffer again two messages later, and has then received the byte of the
message in between from every neighbour on its node, which each sends once it has read the first.
Therefore neighbours send each other that byte also where the graph leads only one way.
"""


class Node:
    """The neighbours of a rank that share memory with it, and those that do not; collective.

    Parameters
    ----------
    links : Links
        The rows that this rank exchanges.
    agents : Agents
        The distribution of agents over ranks.

    Attributes
    ----------
    graph : mpi4py communicator, or None
        The ranks of the node, joined where rows travel between them in either direction; None on
        every rank where all rows travel between nodes.
    near : int
        Number of this rank's neighbours in it.
    far : Links
        The links to other nodes.
    far_graph : mpi4py communicator, or None
        The graph of these; None where no rank has any.
    """

    def __init__(self, links: Links, agents: Agents) -> None:
        self.links, self.agents = links, agents
        # The module was imported with the communicator; this package does not import it.
        node = split_type(agents.comm, sys.modules["mpi4py.MPI"].COMM_TYPE_SHARED)
        ranks = [int(rank) for rank in allgather_text(node, str(agents.rank))]
        neighbours = {*links.sources, *links.destinations}
        near = [place for place, rank in enumerate(ranks) if rank in neighbours]
        self.near = len(near)
        self.far = links.between(neighbours - {*ranks})
        kinds = "".join(agents.allgather_text("n" * bool(near) + "f" * bool(neighbours - {*ranks})))
        self.graph: Any = None
        self.far_graph: Any = None
        if "n" in kinds:
            self.graph = create_graph(node, near, near, reorder=False)
            if "f" in kinds:
                self.far_graph = create_graph(
                    agents.comm, self.far.sources, self.far.destinations, reorder=False
                )
        free(node)

    def close(self) -> None:
        """Free what the MPI library holds; collective."""
        for graph in (self.graph, self.far_graph):
            if graph is not None:
                free(graph)


class Window:
    """Rows of the agents of a node, in memory that its ranks share; collective.

    Parameters
    ----------
    node : Node
    published : list of int
        Own rows, 0..m-1, that are in the window; all that other ranks need are.
    width : int
        Floats per row.
    dtype : dtype
        Type of the floats.

    Attributes
    ----------
    rows : array of shape (R, width), or None
        All rows. None on every rank of the run where some node cannot share memory.
    own : list of array
        For each turn the rows that this rank writes: those that it publishes, and those that come
        from other nodes.
    turn : int
        The turn of the last message.
    """

    def __init__(self, node: Node, published: list[int], width: int, dtype: DTypeLike) -> None:
        agents, graph, far = node.agents, node.graph, node.far
        mine = [agents.first + row for row in published]
        texts = allgather_text(graph, f"{len(far.theirs)} {' '.join(map(str, mine))}")
        # Of each rank of the node: the number of rows from other nodes, and its published agents.
        numbers = [[int(word) for word in text.split()] for text in texts]
        counts = [n_far + len(theirs) for n_far, *theirs in numbers]
        size = TURNS * counts[graph.rank] * width * np.dtype(dtype).itemsize
        memory = shared_bytes(graph, size)
        self.rows: Any = None
        failures = agents.allgather_text("none" if memory is None else "")
        if memory is None or any(failures):
            return
        self.rows = memory.view(dtype).reshape(-1, width)
        self.turn = 0
        self._where: dict[int, list[int]] = {}
        begin = 0
        for rank, ((_, *theirs), count) in enumerate(zip(numbers, counts, strict=True)):
            begins = [begin + turn * count for turn in range(TURNS)]
            if rank == graph.rank:
                self.own = [self.rows[begin : begin + count] for begin in begins]
                theirs += far.theirs
            self._where |= {agent: [b + i for b in begins] for i, agent in enumerate(theirs)}
            begin += TURNS * count
        send: Any = [np.zeros(1, np.uint8), ([1] * node.near, [0] * node.near)]
        receive: Any = [np.empty(node.near, np.uint8), ([1] * node.near, [*range(node.near)])]
        self._bytes = Exchange(graph, send, receive)
        self._far: list[RowExchange] = []
        if node.far_graph is not None:
            place = {row: i for i, row in enumerate(published)}
            links = replace(far, sent=[[place[row] for row in rows] for rows in far.sent])
            end = len(published)
            self._far = [
                RowExchange(links, node.far_graph, own[:end], own[end:]) for own in self.own
            ]

    def places(self, agents: list[int]) -> NDArray[np.int32]:
        """Return where in `rows` those of agents are; of shape (TURNS, len(agents))."""
        return np.array([self._where[agent] for agent in agents], np.int32).reshape(-1, TURNS).T

    def begin(self) -> Float[Array, "rows width"]:
        """Begin a message; return the rows to be written."""
        self.turn = (self.turn + 1) % TURNS
        return self.own[self.turn]

    def exchange(self, beside: Callable[[], None] | None = None) -> None:
        """Wait until the rows of this turn are there; work is done while those of others travel."""
        if self._far:
            self._far[self.turn](beside)
        self._bytes()

    def close(self) -> None:
        """Free what the MPI library holds; collective."""
        self._bytes.close()
        for exchange in self._far:
            exchange.close()

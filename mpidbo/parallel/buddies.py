"""Copies of a rank's rows in the memory of another rank, its buddy."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from socket import gethostname
from typing import Any

import numpy as np

from .._types import Array
from .agents import Agents
from .collectives import ireceive, isend, wait

TAG = 1
"""Of messages between buddies; nothing else is sent from rank to rank."""


class Buddies:
    """The exchange of rows with a buddy; collective.

    The ranks form a ring that goes from node to node where there are several. Each sends to the
    next one and receives from the one before.

    Parameters
    ----------
    agents : Agents

    Attributes
    ----------
    to, source : int
        The rank that keeps a copy of this one's rows, and the rank whose rows this one keeps.
    """

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        ring = ring_over(agents.allgather_text(gethostname()))
        place = ring.index(agents.rank)
        self.to, self.source = ring[(place + 1) % len(ring)], ring[place - 1]
        self._requests: list[Any] = []
        self._sent: list[Any] = []

    @property
    def first(self) -> int:
        """The first agent whose rows this rank keeps."""
        return self.agents.bounds[self.source]

    def begin(self, rows: Mapping[str, Array]) -> dict[str, Array]:
        """Begin an exchange, and return what the rows of the other rank are received in.

        Parameters
        ----------
        rows : mapping of str to array (m, ...)
            Nobody may change them before `complete`.
        """
        agents = self.agents
        if agents.comm is None:
            return {}
        m = agents.bounds[self.source + 1] - self.first
        received = {
            name: np.empty((m, *array.shape[1:]), array.dtype) for name, array in rows.items()
        }
        self._sent = [np.ascontiguousarray(array) for array in rows.values()]
        self._requests = [
            *(ireceive(agents.comm, array, self.source, TAG) for array in received.values()),
            *(isend(agents.comm, array, self.to, TAG) for array in self._sent),
        ]
        return received

    @contextmanager
    def dealing(self) -> Iterator[Callable[[Array | None, Array | None, int, int], None]]:
        """Context in which rows go from rank to rank: `deal(row, into, source, to)` on each.

        Every rank calls it in the same order. `row` is None except on the rank that has it, `into`
        except on the one that is to have it.
        """
        agents = self.agents

        def deal(row: Array | None, into: Array | None, source: int, to: int) -> None:
            if row is not None and into is not None:
                into[...] = row
            elif row is not None:
                self._requests.append(isend(agents.comm, row, to, TAG))
            elif into is not None:
                self._requests.append(ireceive(agents.comm, into, source, TAG))

        yield deal
        self.complete()

    def complete(self) -> None:
        """Wait until the rows are there and sent."""
        for request in self._requests:
            wait(request)
        self._requests, self._sent = [], []


def ring_over(hosts: list[str]) -> list[int]:
    """Return the ranks in an order in which neighbours are on different nodes, where possible.

    Parameters
    ----------
    hosts : list of str
        The node of each rank.
    """
    of_node: dict[str, list[int]] = {}
    for rank, name in enumerate(hosts):
        of_node.setdefault(name, []).append(rank)
    turns = zip_longest(*of_node.values())
    return [rank for turn in turns for rank in turn if rank is not None]

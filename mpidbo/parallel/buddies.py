"""Copies of a rank's rows in the memory of other ranks, its buddies."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from socket import gethostname
from typing import Any

import numpy as np

from .._types import Array
from .agents import Agents
from .collectives import ireceive, isend, wait

TAG = 1
"""Of messages between buddies; nothing else is sent from rank to rank."""


class Buddies:
    """The exchange of rows with buddies; collective.

    Parameters
    ----------
    agents : Agents
    count : int
        How many ranks keep a copy of this one's rows, where there are so many others.

    Attributes
    ----------
    to, sources : list of int
        The ranks that keep a copy of this one's rows, and those whose rows this one keeps.
    """

    def __init__(self, agents: Agents, count: int = 1) -> None:
        self.agents = agents
        order, distances = arranged(agents.allgather_text(gethostname()), count)
        place = order.index(agents.rank)
        self.to = [order[(place + distance) % len(order)] for distance in distances]
        self.sources = [order[place - distance] for distance in distances]
        self._requests: list[Any] = []
        self._sent: list[Any] = []

    def begin(self, rows: Mapping[str, Array]) -> list[tuple[int, dict[str, Array]]]:
        """Begin an exchange, and return what the rows of the others are received in.

        Parameters
        ----------
        rows : mapping of str to array (m, ...)
            Nobody may change them before `complete`.

        Returns
        -------
        list of (int, dict of str to array)
            For each of `sources` its first agent, and the arrays.
        """
        agents, received = self.agents, []
        self._sent = [np.ascontiguousarray(array) for array in rows.values()]
        for source in self.sources:
            first, end = agents.bounds[source : source + 2]
            arrays = {
                name: np.empty((end - first, *array.shape[1:]), array.dtype)
                for name, array in rows.items()
            }
            received.append((first, arrays))
            for array in arrays.values():
                self._requests.append(ireceive(agents.comm, array, source, TAG))
        for to in self.to:
            for array in self._sent:
                self._requests.append(isend(agents.comm, array, to, TAG))
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


def arranged(hosts: list[str], count: int) -> tuple[list[int], list[int]]:
    """Return the ranks by node, and how far each one's buddies are from it in this order.

    They are on other nodes, unless a node has more than half of the ranks.

    Parameters
    ----------
    hosts : list of str
        The node of each rank.
    count : int
        How many buddies a rank has.
    """
    order = sorted(range(len(hosts)), key=lambda rank: (hosts.index(hosts[rank]), rank))
    most = max(map(hosts.count, hosts))
    return order, [*range(most, len(hosts)), *range(1, most)][:count]

"""Waiting asleep for neighbours of the same node, where ranks outnumber its cores.

MPI libraries poll while they wait, and a rank that polls takes the core of one that computes. So
each rank has a pipe, into which its neighbours write a byte once they have sent their message.
Messages remain MPI's; a byte only says when it is worth asking for one.
"""

import os
import select
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .collectives import allgather
from .cores import core_numbers, core_quota

MAX_RANKS = 256
"""Ranks that a byte can name."""
MAX_DESCRIPTOR = 256
"""Number of a file from which on files are left to others; a process often has 1024 at most."""
MAX_CORES = 1024
"""Numbers of cores that ranks compare."""


class Bell:
    """The pipe of a rank, and those of the ranks to which it sends.

    Attributes
    ----------
    address : (5,) array of int
        The file system's two numbers of the pipe, the process and its descriptor of the pipe; and
        the most cores that the process may use at a time.
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        self.address = np.zeros(5, np.int64)
        self.address[4] = min(core_quota(), MAX_CORES)
        try:
            self._read_end, write_end = os.pipe()
        except OSError:
            return
        self._files = [self._read_end, write_end]
        status = os.fstat(write_end)
        if write_end < MAX_DESCRIPTOR:
            self.address[:4] = status.st_dev, status.st_ino, os.getpid(), write_end

    def connect(
        self,
        rank: int,
        sources: Iterable[int],
        destinations: Iterable[int],
        addresses: NDArray[np.int64],
    ) -> bool:
        """Open the pipes of the destinations.

        Parameters
        ----------
        rank : int
            The rank of this process.
        sources, destinations : iterable of int
            The ranks that send to it, and to which it sends.
        addresses : (ranks, 5) array of int
            The address of each rank's bell.

        Returns
        -------
        bool
            Whether all are of this node and could be opened.
        """
        self._name = bytes([rank])
        self._late = dict.fromkeys(map(int, sources), 0)
        self._out: list[int] = []
        try:
            for destination in destinations:
                device, number, process, descriptor, _ = addresses[destination]
                path = f"/proc/{process}/fd/{descriptor}"
                status = os.stat(path)
                if (status.st_dev, status.st_ino) != (device, number):  # of another node
                    return False
                self._out.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                self._files.append(self._out[-1])
        except OSError:
            return False
        self._poll = select.poll()
        self._poll.register(self._read_end, select.POLLIN)
        return bool(self.address[1])

    def ring(self) -> None:
        """Tell the destinations that this rank has sent its next message."""
        for source in self._late:
            self._late[source] += 1
        for descriptor in self._out:
            try:
                os.write(descriptor, self._name)
            except OSError:  # its rank has died, of which MPI reports
                continue

    def wait(self, seconds: float) -> bool:
        """Sleep until all sources have sent as many messages as this rank; at most this long.

        Returns
        -------
        bool
            Whether they have.
        """
        late = self._late
        while any([count > 0 for count in late.values()]):
            if not self._poll.poll(1e3 * seconds):
                return False
            for source in os.read(self._read_end, MAX_RANKS):
                late[source] -= 1  # below zero where the source is a message ahead
        return True

    def close(self) -> None:
        """Close all pipes."""
        while self._files:
            os.close(self._files.pop())


def cores_of_process() -> NDArray[np.uint8]:
    """Return which cores this process may use, a bit for each."""
    mask = np.zeros(MAX_CORES, np.uint8)
    mask[[number for number in core_numbers() if number < MAX_CORES]] = 1
    return np.packbits(mask)


def are_crowded(masks: NDArray[np.uint8], addresses: NDArray[np.int64]) -> bool:
    """Whether ranks outnumber the cores that they may use together.

    Parameters
    ----------
    masks : (ranks, MAX_CORES / 8) array
        `cores_of_process` of each rank.
    addresses : (ranks, 5) array of int
        The address of each rank's bell.
    """
    cores = int(np.unpackbits(np.bitwise_or.reduce(masks, axis=0)).sum())
    return len(masks) > min(cores, int(addresses[:, 4].min()))


def bell_of(graph: Any) -> Bell | None:
    """Return a bell for the ranks of a graph; collective.

    None on every rank where these do not outnumber the cores, are not all on one node, or cannot
    open each other's pipes.
    """
    if not 1 < graph.size <= MAX_RANKS:
        return None
    bell, mask = Bell(), cores_of_process()
    addresses = np.empty((graph.size, bell.address.size), bell.address.dtype)
    masks = np.empty((graph.size, mask.size), mask.dtype)
    allgather(graph, bell.address, addresses)
    allgather(graph, mask, masks)
    if are_crowded(masks, addresses):
        sources, destinations, _ = graph.Get_dist_neighbors()
        can_ring = np.array([bell.connect(graph.rank, sources, destinations, addresses)])
        everyone = np.empty(graph.size, can_ring.dtype)
        allgather(graph, can_ring, everyone)
        if everyone.all():
            return bell
    bell.close()
    return None

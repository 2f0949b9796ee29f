"""Distribution of agents over MPI ranks, and collectives in agent order."""

from itertools import pairwise
from sys import modules
from typing import TYPE_CHECKING, Any

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .agreement import allgather_text
from .collectives import allgather, allgatherv, barrier, bcast, gatherv, iallreduce

if TYPE_CHECKING:
    from mpi4py.MPI import Comm, Request

BLOCK = 1 << 19
"""Floats gathered at a time for a mean over the agents."""


class Agents:
    """The n agents of a run, in contiguous blocks over the ranks of a communicator.

    Every method except `owner` is collective. Unless it says otherwise it returns the same on every
    rank, with sums in agent order, so that the result does not depend on the number of ranks.

    Parameters
    ----------
    n : int
        Number of agents.
    comm : mpi4py communicator, optional
        The communicator; None for one process, which needs no MPI library.

    Attributes
    ----------
    n : int
        Number of agents.
    comm : mpi4py communicator or None
        None for one process.
    size, rank : int
        Number of ranks, and the number of this one.
    bounds : list of int
        Rank r hosts agents bounds[r] to bounds[r + 1] - 1.
    first, last, m : int
        This rank hosts the m agents first to last - 1.

    Raises
    ------
    UserError
        There are more ranks than agents.
    """

    def __init__(self, n: int, comm: "Comm | None" = None) -> None:
        self.comm: Any = None if comm is None or comm.size == 1 else comm
        self.n = n
        self.size: int = 1 if self.comm is None else self.comm.size
        self.rank: int = 0 if self.comm is None else self.comm.rank
        if self.size > n:
            raise UserError(
                f"run.agents: {n} agents cannot occupy {self.size} ranks; start at most {n} ranks "
                f"or set agents = {self.size}"
            )
        self.bounds = [n * rank // self.size for rank in range(self.size + 1)]
        self.first, self.last = self.bounds[self.rank], self.bounds[self.rank + 1]
        self.m = self.last - self.first

    def owner(self, agent: int) -> int:
        """Return the rank that hosts an agent."""
        return int(np.searchsorted(self.bounds, agent, side="right")) - 1

    def gather(self, rows: Float[Array, "m ..."], everywhere: bool = True) -> Float[Array, "n ..."]:
        """Gather the rows of all agents in agent order.

        Parameters
        ----------
        rows : array of shape (m, ...)
            The rows of this rank's agents.
        everywhere : bool, default True
            Whether every rank receives them. Otherwise the first does, and the others an array of
            no rows.

        Returns
        -------
        array of shape (n, ...)
        """
        if self.comm is None:
            return rows
        rows = np.ascontiguousarray(rows)
        is_receiver = everywhere or self.rank == 0
        everyone = np.empty((self.n if is_receiver else 0, *rows.shape[1:]), rows.dtype)
        width = rows[:1].size
        counts = [width * (end - start) for start, end in pairwise(self.bounds)]
        if everywhere:
            allgatherv(self.comm, rows, [everyone, counts])
        else:
            gatherv(self.comm, rows, [everyone, counts] if is_receiver else None)
        return everyone

    def mean(self, rows: Float[Array, "m d"]) -> Float[Array, " d"]:
        """Average the rows of all agents.

        Parameters
        ----------
        rows : array of shape (m, d) or (m,)
            The rows, or numbers, of this rank's agents.

        Returns
        -------
        array of shape (d,), or a number
        """
        if rows.ndim == 1:
            return self.mean(rows[:, None])[0]
        d = rows.shape[1]
        result = np.empty(d, rows.dtype)
        width = max(1, BLOCK // self.n)
        for start in range(0, d, width):
            part = self.gather(rows[:, start : start + width])
            total = part[0].copy()
            for row in part[1:]:  # one after the other: numpy's sum would add pairwise
                total += row
            np.divide(total, self.n, out=result[start : start + width])
        return result

    def allreduce_sum(self, values: Array) -> Array:
        """Add a small vector of each rank, in rank order."""
        if self.comm is None:
            return values
        everyone = np.empty((self.size, *values.shape), values.dtype)
        allgather(self.comm, np.ascontiguousarray(values), everyone)
        return everyone.sum(axis=0)

    def iallreduce_max(self, mine: Array, largest: Array) -> "Request | None":
        """Start to put the entrywise maximum over the ranks into `largest`.

        Returns
        -------
        mpi4py request, or None
            To be waited for; None where the maximum is there already.
        """
        if self.comm is None:
            largest[:] = mine
            return None
        # The module was imported with the communicator; this package does not import it.
        request: Request = iallreduce(self.comm, mine, largest, op=modules["mpi4py.MPI"].MAX)
        return request

    def bcast_text(self, text: str) -> str:
        """Return the string of rank 0 on every rank."""
        if self.comm is None:
            return text
        data = np.frombuffer(text.encode(), np.uint8)
        size = np.array([len(data)])
        bcast(self.comm, size)
        if self.rank > 0:
            data = np.empty(size[0], np.uint8)
        bcast(self.comm, data)
        return data.tobytes().decode()

    def allgather_text(self, text: str) -> list[str]:
        """Return the strings of all ranks in rank order."""
        return allgather_text(self.comm, text)

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self.comm is not None:
            barrier(self.comm)

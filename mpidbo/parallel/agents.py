"""Who is where: n agents in contiguous blocks over the ranks of a communicator, and what they agree on."""

from collections.abc import Iterator
from contextlib import contextmanager
from sys import modules
from typing import Any

import numpy as np

from ..errors import UserError, out_of_memory
from .collectives import allgather, allgatherv, barrier, bcast, gatherv, iallreduce, patient_barrier

BLOCK = 1 << 22
"""Floats gathered at a time for a mean over the agents."""


class Agents:
    """The `n` agents of a run, of which this rank hosts `first` to `last - 1`.

    `comm` is an mpi4py communicator, or None for one process. Every method but `owner` is collective over the ranks
    and gives the same answer on all of them, unless it says otherwise; sums run in agent order, so that the answer does not
    depend on the number of ranks. Raises UserError when there are more ranks than agents.
    """

    def __init__(self, n: int, comm: Any = None) -> None:
        self.comm: Any = None if comm is None or comm.size == 1 else comm
        self.n: int = n
        self.size: int = 1 if self.comm is None else comm.size
        self.rank: int = 0 if self.comm is None else comm.rank
        if self.size > n:
            raise UserError(f"run.agents: {n} agents cannot occupy {self.size} ranks; start at most {n} ranks or set agents = {self.size}")
        self.bounds = [n * r // self.size for r in range(self.size + 1)]
        self.first, self.last = self.bounds[self.rank], self.bounds[self.rank + 1]
        self.m = self.last - self.first

    def owner(self, agent: int) -> int:
        """The rank that hosts `agent`."""
        return int(np.searchsorted(self.bounds, agent, side="right")) - 1

    def gather(self, rows: np.ndarray, everywhere: bool = True) -> np.ndarray:
        """All agents' rows (n, d), in agent order, from this rank's (m, d); unless `everywhere`, (0, d) on all ranks but the first."""
        if self.comm is None:
            return rows
        rows = np.ascontiguousarray(rows)
        here = everywhere or self.rank == 0
        everyone = np.empty((self.n if here else 0, *rows.shape[1:]), rows.dtype)
        width = rows[:1].size
        counts = [width * (b - a) for a, b in zip(self.bounds, self.bounds[1:], strict=False)]
        if everywhere:
            allgatherv(self.comm, rows, [everyone, counts])
        else:
            gatherv(self.comm, rows, [everyone, counts] if here else None)
        return everyone

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """The agents' average (d,), from this rank's rows (m, d)."""
        if rows.ndim == 1:
            return self.mean(rows[:, None])[0]
        d = rows.shape[1]
        total = np.empty(d, rows.dtype)
        width = max(1, BLOCK // self.n)
        for a in range(0, d, width):
            part = self.gather(rows[:, a:a + width])
            block = part[0].copy()
            for row in part[1:]:
                block += row
            np.divide(block, self.n, out=total[a:a + width])
        return total

    def total(self, values: np.ndarray) -> np.ndarray:
        """The sum over ranks of a small vector."""
        if self.comm is None:
            return values
        everyone = np.empty((self.size, *values.shape), values.dtype)
        allgather(self.comm, np.ascontiguousarray(values), everyone)
        return everyone.sum(axis=0)

    def start_max(self, mine: np.ndarray, largest: np.ndarray) -> Any:
        """Begin to put the entrywise maximum over the ranks into `largest`; a request to wait for, or None when it is done."""
        if self.comm is None:
            largest[:] = mine
            return None
        return iallreduce(self.comm, mine, largest, op=modules["mpi4py.MPI"].MAX)

    def told(self, text: str) -> str:
        """Rank 0's text."""
        if self.comm is None:
            return text
        size = np.array([len(data := np.frombuffer(text.encode(), np.uint8))])
        bcast(self.comm, size)
        if self.rank > 0:
            data = np.empty(size[0], np.uint8)
        bcast(self.comm, data)
        return data.tobytes().decode()

    def texts(self, text: str) -> list[str]:
        """Every rank's text."""
        return texts(self.comm, text)

    def barrier(self) -> None:
        if self.comm is not None:
            barrier(self.comm)


def texts(comm: Any, text: str) -> list[str]:
    """Every rank's text, over any communicator."""
    if comm is None or comm.size == 1:
        return [text]
    mine = np.frombuffer(text.encode(), np.uint8)
    counts = np.empty(comm.size, np.int64)
    allgather(comm, np.array([mine.size]), counts)
    if not counts.any():                    # the usual case: nobody has anything to say
        return [""] * comm.size
    everyone = np.empty(int(counts.sum()), np.uint8)
    allgatherv(comm, mine, [everyone, counts.tolist()])
    ends = np.cumsum(counts)
    return [everyone[e - c:e].tobytes().decode() for c, e in zip(counts, ends, strict=True)]


@contextmanager
def agreed(comm: Any, patient: bool = False) -> Iterator[None]:
    """Run the block on every rank; a user's mistake on any of them is raised on all, in the words of the first.

    `patient` ranks sleep while they wait, where one has much more to do than the others: MPI libraries wait with a busy core.
    """
    mistake = ""
    try:
        yield
    except UserError as error:
        mistake = str(error) or type(error).__name__
    except MemoryError as error:
        mistake = str(out_of_memory(error))
    if patient and comm is not None:
        patient_barrier(comm)
    first = next(filter(None, texts(comm, mistake)), None)
    if first is not None:
        mistake_of_all = UserError(first)
        mistake_of_all.agreed = True
        raise mistake_of_all

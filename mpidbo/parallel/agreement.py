"""What all ranks agree on: short texts in rank order, and errors that every rank raises."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from .._text import first_nonempty
from ..errors import MpidboError, UserError, out_of_memory
from .collectives import allgather, allgatherv, patient_barrier

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


def is_root(comm: "Comm | None") -> bool:
    """Whether this process is rank 0 of `comm`, or the only one."""
    return comm is None or comm.rank == 0


def allgather_text(comm: "Comm | None", text: str) -> list[str]:
    """Gather a string of every rank on all ranks; collective.

    Parameters
    ----------
    comm : mpi4py communicator, or None for one process
    text : str
        The string of this rank.

    Returns
    -------
    list of str
        The strings in rank order, the same list on every rank.
    """
    if comm is None or comm.size == 1:
        return [text]
    mine = np.frombuffer(text.encode(), np.uint8)
    counts = np.empty(comm.size, np.int64)
    allgather(comm, np.array([mine.size]), counts)
    if not counts.any():  # the usual case: no rank reports anything
        return [""] * comm.size
    everyone = np.empty(int(counts.sum()), np.uint8)
    allgatherv(comm, mine, [everyone, counts.tolist()])
    ends = np.cumsum(counts)
    return [
        everyone[end - count : end].tobytes().decode()
        for count, end in zip(counts, ends, strict=True)
    ]


def raise_on_all_ranks(error: MpidboError) -> NoReturn:
    """Raise an error of which every rank knows, so that none waits for another.

    Every rank has to call this at the same point. `guarded` then lets the error pass instead of
    aborting the job.
    """
    error.agreed = True
    raise error


@contextmanager
def agreed(comm: "Comm | None", patient: bool = False) -> Iterator[None]:
    """Run the block on every rank; a UserError of any rank is raised on all. Collective at its end.

    Parameters
    ----------
    comm : mpi4py communicator, or None for one process
    patient : bool, default False
        Whether ranks sleep while they wait, for a block that takes one rank much longer than the
        others. MPI libraries keep a core busy while they wait.

    Raises
    ------
    UserError
        The message of the first rank that raised one, or that ran out of memory.
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
    first = first_nonempty(allgather_text(comm, mistake))
    if first:
        raise_on_all_ranks(UserError(first))

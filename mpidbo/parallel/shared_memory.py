"""Memory that the ranks of a node share."""

import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .agreement import allgather_text
from .collectives import allgather

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


def can_share() -> bool:
    """Return whether this system has memory as `shared_bytes` makes it."""
    return hasattr(os, "memfd_create")


def shared_bytes(node: "Comm", size: int) -> NDArray[np.uint8] | None:
    """Return memory that every rank of a node reads and writes; collective over the node.

    Parameters
    ----------
    node : mpi4py communicator
        Ranks of one node.
    size : int
        Number of bytes of this rank. Its pages are on this rank's part of the node.

    Returns
    -------
    array of uint8, or None
        Zeros: the bytes of all ranks, in rank order. None on every rank where the system gives no
        such memory, or not enough.

    Notes
    -----
    A file in memory without a name (`memfd_create` of Linux), which rank 0 makes and the others
    open through /proc. It ends with the processes, however they end; it does not count towards
    /dev/shm, which is small in containers; and all of it is reserved here, since a page that cannot
    be had later ends a process by SIGBUS. `MPI_Win_allocate_shared` takes its memory from /dev/shm:
    where that is full MPICH's processes end so, and Open MPI prints warnings of its own.
    """
    sizes = np.empty(node.size, np.int64)
    allgather(node, np.array([size]), sizes)
    if not sizes.any():
        return np.zeros(0, np.uint8)
    made, memory = -1, None
    try:
        name = ""
        if node.rank == 0:
            with suppress(OSError):
                made = os.memfd_create("mpidbo")
                os.ftruncate(made, int(sizes.sum()))
                name = f"{_identity(made)} /proc/{os.getpid()}/fd/{made}"
        name = allgather_text(node, name)[0]
        with suppress(OSError, ValueError):
            memory = _opened(name, sizes, node.rank)
        failures = allgather_text(node, "none" if memory is None else "")
    finally:
        if made >= 0:
            os.close(made)
    return None if memory is None or any(failures) else np.frombuffer(memory, np.uint8)


def _opened(name: str, sizes: NDArray[np.int64], rank: int) -> mmap.mmap:
    """Map the file and reserve the part of a rank. Raises OSError, or ValueError without a name."""
    identity, path = name.split()
    opened = os.open(path, os.O_RDWR)
    try:
        if _identity(opened) != identity:  # of a process in another container
            raise OSError(f"{path} is another file")
        if sizes[rank]:
            os.posix_fallocate(opened, int(sizes[:rank].sum()), int(sizes[rank]))
        return mmap.mmap(opened, int(sizes.sum()))
    finally:
        os.close(opened)


def _identity(descriptor: int) -> str:
    """Return what no other file of this system has."""
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}"

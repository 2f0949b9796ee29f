"""What ranks do together where others have died: agree, continue without them, and end.

It needs Open MPI 5 and `mpiexec --with-ft ulfm`; other MPI libraries end a job in which a process
has died, also those that have functions of these names.
"""

import os
import sys
from array import array
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING, Any

from .collectives import Derived, agree, iagree, shrink, wait
from .launcher import library_name

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

ENABLED = "OMPI_MCA_mpi_ft_enable"
"""What `mpiexec --with-ft ulfm` sets to 1."""
STARTED_WITH = "mpiexec --with-ft ulfm"
MAKING_S = 0.5
"""Seconds that the ranks that are left have to make a communicator which others know to be broken.
"""
_left: list["Comm"] = []
"""The communicator of the ranks that are left, in a process that must not wait for dead ones."""


def why_none_survives() -> str:
    """Return why all ranks end when one dies, with the remedy; "" where the others can continue."""
    MPI = sys.modules["mpi4py.MPI"]
    vendor, version = MPI.get_vendor()
    if vendor != "Open MPI" or version < (5,):
        return (
            f"{library_name(MPI)} ends a job in which a process has died; use Open MPI 5, "
            f"{STARTED_WITH}"
        )
    if os.environ.get(ENABLED) != "1":
        return f"Open MPI was started without fault tolerance; start with {STARTED_WITH}"
    return ""


def is_failure(error: BaseException | None) -> bool:
    """Whether an error is MPI's, such as each call raises when a rank has died."""
    return isinstance(error, sys.modules["mpi4py.MPI"].Exception)


def all_true(comm: "Comm", *conditions: bool) -> list[bool]:
    """Whether each condition is true of all ranks that are left; the same answers on each of them.

    That is so also where a rank dies meanwhile.
    """
    flag = array("i", [sum(true << i for i, true in enumerate(conditions))])
    with suppress(sys.modules["mpi4py.MPI"].Exception):  # the flag is there for all the same
        wait(iagree(comm, flag))
    return [bool(flag[0] >> i & 1) for i in range(len(conditions))]


def revoke(comm: "Comm") -> None:
    """Let every call on a communicator, and on those made from it, fail on all its ranks."""
    if not Derived.settled:  # a rank has died just then
        sleep(MAKING_S)
        Derived.settled = True
    for one in (comm, *(Derived.noted or ())):
        if one:  # not freed
            one.Revoke()
    Derived.noted = []


def shrunk(comm: "Comm") -> tuple["Comm", list[int]]:
    """Return a communicator of the ranks that are left, and who is not in it; collective.

    Parameters
    ----------
    comm : Comm
        Revoked.

    Returns
    -------
    left : Comm
        In the order of `comm`.
    dead : list of int
        Ranks of `comm`.
    """
    left = shrink(comm)
    group = type(comm.group).Difference(comm.group, left.group)
    dead = type(group).Translate_ranks(group, [*range(group.size)], comm.group)
    return left, [int(rank) for rank in dead]


def note_derived() -> None:
    """Note from now on which communicators are made from others, so that `revoke` finds them."""
    Derived.noted = []


def settle(comm: "Comm") -> None:
    """Wait until all ranks have made a communicator; collective."""
    Derived.settle(comm)


def end_with(comm: "Comm") -> None:
    """Let `end_process` end this process together with the ranks of `comm`."""
    _left[:] = [comm]


def rank_now(rank: int) -> int:
    """Return this process's rank among those that are left; `rank` where none has died."""
    return _left[0].rank if _left else rank


def end_process(code: int) -> None:
    """End the process without MPI_Finalize, which waits for ranks that have died.

    Only after `end_with`; otherwise nothing is done. A launcher may end all ranks after the first
    that returns an exit code other than 0: so they wait until all have printed what they have.
    """
    if not _left:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    failed: Any = sys.modules["mpi4py.MPI"].Exception
    with suppress(failed):
        agree(_left[0], 1)
    os._exit(code)

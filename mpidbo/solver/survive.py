"""A run that continues without ranks that have died: `run.survive`.

Every few iterations a rank leaves a snapshot of its agents with another one. When a rank dies, the
others make a communicator of those that are left and start the run again on it, from the newest
snapshot of which they have the rows of all agents; so a recovery is a restart from a checkpoint
that is in memory. docs/reliability.md has what that does not cover.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..config import Config
from ..errors import STOPPED, UserError
from ..parallel import (
    abort,
    all_true,
    allgather_text,
    end_with,
    is_failure,
    is_root,
    note_derived,
    raise_on_all_ranks,
    revoke,
    settle,
    shrunk,
    why_none_survives,
)
from ..storage import files, release_lock_of
from .copies import REMEDY, Copies
from .folder import Resume

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

T = TypeVar("T")
Attempt = Callable[["Comm | None", Resume, Copies | None], T]
"""It runs on a communicator, resuming from copies where there are any."""


def survived(attempt: Attempt[T], config: Config, comm: "Comm | None", resume: Resume) -> T:
    """Run, and run again on the ranks that are left whenever one has died; collective.

    Parameters
    ----------
    attempt : callable
        `attempt(comm, resume, copies)` runs to the end, or raises what MPI raises.
    config : Config
        With `run.survive`; without it, and for one process, there is one attempt without copies.
    comm : Comm, optional
    resume : {"auto", "never", "must"}
        What the first attempt does with a folder that has files of this run.

    Raises
    ------
    UserError
        The MPI library, or its launcher, ends a job in which a rank has died.
    Stopped
        The ranks that are left have neither the rows of all agents nor a checkpoint.
    """
    if not config.run.survive or comm is None:
        return attempt(comm, resume, None)
    refuse(config, comm)
    folder = Path(str(config.run.out))
    processes = _processes(comm)

    def report(message: str) -> None:
        if is_root(comm):
            print(message, flush=True)
            with suppress(OSError), (folder / files.SURVIVED).open("a") as log:
                log.write(f"{message}\n")

    copies = Copies(config.run.survive, config.run.buddies, report)
    note_derived()
    while True:
        end_with(comm)
        error: BaseException | None = None
        try:
            settle(comm)
            result = attempt(comm, resume, copies)
        except BaseException as problem:
            if not (is_failure(problem) or getattr(problem, "agreed", False)):
                raise
            error = problem
        noticed = perf_counter()
        if is_failure(error):
            revoke(comm)
        if all(all_true(comm, not is_failure(error))):
            if error is not None:
                raise error
            return result
        revoke(comm)
        comm, dead = _left(comm, error)
        # Some may have come further than others, which have to do the same again.
        has_setup, has_begun = all_true(comm, copies.setup is not None, copies.begun)
        if not has_setup:
            copies.setup = None
        if has_begun:
            resume = "auto"  # by now the folder is this run's
        if is_root(comm):
            for rank in dead:
                release_lock_of(folder, processes[rank].host, processes[rank].pid)
        copies.lose([str(processes[rank]) for rank in dead], noticed, error)
        processes = [process for rank, process in enumerate(processes) if rank not in dead]


def _left(comm: "Comm", error: BaseException | None) -> tuple["Comm", list[int]]:
    """`shrunk`; the error that MPI raised where none has died.

    Where this fails the job ends, since others may continue to wait for this rank.
    """
    try:
        left, dead = shrunk(comm)
    except Exception as problem:
        message = (
            f"mpidbo: run.survive: MPI fails for the ranks that are left ({problem}); {REMEDY}"
        )
        abort(comm, message, STOPPED)
        raise
    if not dead:
        raise error or RuntimeError("MPI has failed on another rank")
    return left, dead


class Process(NamedTuple):
    """A rank, by its number when the run began, and its process."""

    rank: int
    pid: int
    host: str

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.pid} on {self.host})"


def _processes(comm: "Comm") -> list[Process]:
    """The process of each rank; collective."""
    texts = allgather_text(comm, f"{os.getpid()} {gethostname()}")
    return [Process(rank, int(pid), host) for rank, (pid, host) in enumerate(map(str.split, texts))]


def refuse(config: Config, comm: "Comm") -> None:
    """Raise UserError, on every rank, where a run cannot survive the death of a rank."""
    run = config.run
    mistake = why_none_survives()
    if mistake:
        mistake = f"{mistake}, or leave run.survive out"
    elif run.agents is None:
        mistake = "set run.agents, since there are fewer ranks once one has died"
    if any(allgather_text(comm, mistake)):
        raise_on_all_ranks(UserError(f"run.survive: {mistake}"))

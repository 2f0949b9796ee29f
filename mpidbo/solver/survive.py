"""A run that goes on without a rank that has died: `run.survive`.

Every few iterations a rank leaves a snapshot of its agents with its buddy. When a rank dies, the
others make a communicator of those that are left and start the run again on it, from the newest
snapshot of which they have the rows of all agents; so a recovery is a restart from a checkpoint
that is in memory.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .._text import plural
from .._types import Array
from ..config import Config
from ..errors import UserError
from ..parallel import (
    Agents,
    Buddies,
    agree,
    allgather_text,
    alltoall,
    is_root,
    library_name,
    raise_on_all_ranks,
    revoke,
    shrink,
)
from ..storage import Snapshot
from .folder import Resume

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

ENABLED = "OMPI_MCA_mpi_ft_enable"
"""What `mpiexec --with-ft ulfm` sets to 1."""

T = TypeVar("T")


@dataclass
class Generation:
    """A snapshot as a rank has it in memory.

    Parameters
    ----------
    manifest : mapping
        What a checkpoint's manifest has of it.
    parts : dict of int to dict of str to array
        First agent -> the rows of consecutive agents, by path.
    """

    manifest: Mapping[str, Any]
    parts: dict[int, dict[str, Array]] = field(default_factory=dict)

    @property
    def iteration(self) -> int:
        return int(self.manifest["iteration"])

    def agents(self) -> dict[int, tuple[int, int]]:
        """Agent -> the part that has its row, and the place of the row in it."""
        return {
            first + i: (first, i)
            for first, part in self.parts.items()
            for i in range(len(next(iter(part.values()))))
        }


class Copies:
    """An observer that keeps the two newest snapshots, with rows of this rank and of another.

    It outlives the run that it observes: the next one resumes from it.

    Parameters
    ----------
    every : int
        Iterations between two snapshots.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.generations: list[Generation] = []
        self._coming: tuple[int, dict[str, Array]] | None = None

    def observe(self, agents: Agents, snapshot: Callable[[int, Any], Snapshot]) -> None:
        """Observe a run from now on; collective.

        Parameters
        ----------
        agents : Agents
        snapshot : callable
            Returns the snapshot of a state after k iterations; collective.
        """
        self.agents, self.snapshot, self.buddies = agents, snapshot, Buddies(agents)
        self._coming = None

    def next(self, k: int) -> int:
        return k + 1 if self._coming else k - k % self.every + self.every

    def look(self, k: int, state: Any, last: bool) -> str | None:
        if self._coming:
            self.buddies.complete()
            first, rows = self._coming
            self.generations[-1].parts[first] = rows
            self._coming = None
        if k % self.every == 0 or not self.generations:
            self._begin(k, state)
        return None

    def _begin(self, k: int, state: Any) -> None:
        """Begin a generation, and forget all but the one before it."""
        snapshot = self.snapshot(k, state)
        # That was collective: on every rank the generation before is complete.
        manifest = {
            "iteration": k,
            "counts": snapshot.counts,
            "history": snapshot.history,
            "best": snapshot.about_best(),
        }
        rows = snapshot.arrays()
        new = Generation(manifest, {self.agents.first: rows})
        self.generations = [*self.generations[-1:], new]
        if self.agents.comm is not None:
            self._coming = self.buddies.first, self.buddies.begin(rows)

    def newest(self, like: Any) -> Snapshot | None:
        """Return the newest snapshot of all agents, with the rows of this rank's; collective.

        Parameters
        ----------
        like : NamedTuple
            A state of the form of the snapshot's.
        """
        agents = self.agents
        mine = {g.iteration: sorted(g.agents()) for g in self.generations}
        holders: dict[int, dict[int, int]] = {}
        for rank, text in enumerate(agents.allgather_text(json.dumps(mine))):
            for k, found in json.loads(text).items():
                for agent in found:
                    holders.setdefault(int(k), {}).setdefault(agent, rank)
        complete = [k for k, holder in holders.items() if len(holder) == agents.n]
        if not complete:
            self.generations = []
            return None
        k = max(complete)
        self.generations = [g for g in self.generations if g.iteration <= k]
        return self._dealt(self.generations[-1], holders[k], like)

    def _dealt(self, generation: Generation, holder: Mapping[int, int], like: Any) -> Snapshot:
        """The snapshot of a generation, with the rows of this rank's agents; collective."""
        agents, where = self.agents, generation.agents()
        outgoing: list[dict[int, dict[str, Array]]] = [{} for _ in range(agents.size)]
        for agent, rank in holder.items():
            if rank == agents.rank:
                first, i = where[agent]
                row = {path: rows[i] for path, rows in generation.parts[first].items()}
                outgoing[agents.owner(agent)][agent] = row
        incoming = outgoing if agents.comm is None else alltoall(agents.comm, outgoing)
        rows = {
            path: np.empty(array.shape, array.dtype)
            for path, array in Snapshot.like(like, generation.manifest).items()
        }
        for part in incoming:
            for agent, row in part.items():
                for path, values in row.items():
                    rows[path][agent - agents.first] = values
        return Snapshot.of(generation.manifest, like, rows)


Attempt = Callable[["Comm | None", Resume, Copies | None], T]
"""It runs on a communicator, resuming from copies where there are any."""


def survived(attempt: Attempt[T], config: Config, comm: "Comm | None", resume: Resume) -> T:
    """Run, and run again on the ranks that are left whenever one has died; collective.

    Parameters
    ----------
    attempt : callable
        `attempt(comm, resume, copies)` runs to the end, or raises what MPI raises.
    config : Config
        With `run.survive`; without it there is one attempt, which has no copies.
    comm : Comm, optional
    resume : {"auto", "never", "must"}
        What the first attempt does with a folder that has files of this run.

    Raises
    ------
    UserError
        The MPI library, or its launcher, ends a job in which a rank has died.
    """
    if not config.run.survive or comm is None:
        return attempt(comm, resume, None)
    refuse(config, comm)
    copies, failed = Copies(config.run.survive), sys.modules["mpi4py.MPI"].Exception
    # Also what goes on in the buffers of a failed run must not be freed before it has ended.
    wreck: BaseException | None = None
    while True:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = attempt(comm, resume, copies)
        except failed as problem:
            error = wreck = problem
            revoke(comm)
        except BaseException as problem:
            if not getattr(problem, "agreed", False):
                raise
            error = problem
        if _all_well(comm, not isinstance(error, failed), failed):
            if error is not None:
                raise error
            return result  # type: ignore[return-value]
        began = perf_counter()
        revoke(comm)
        left = shrink(comm)
        if left.size == comm.size:  # no rank has died
            raise error or wreck or RuntimeError("MPI has failed on another rank")
        if copies.generations:
            resume = "auto"  # by now the folder is this run's
        if is_root(left):
            gone = comm.size - left.size
            newest = copies.generations[-1].iteration if copies.generations else 0
            print(
                f"{plural(gone, 'rank')} of {comm.size} died; {plural(left.size, 'rank')} go on "
                f"from about iteration {newest}, agreed in {perf_counter() - began:.3f} s",
                flush=True,
            )
        comm = left


def _all_well(comm: "Comm", well: bool, failed: type[BaseException]) -> bool:
    """Whether every rank has come through an attempt; the same on every rank that is left."""
    try:
        return bool(agree(comm, int(well)))
    except failed:  # a rank has died since
        return False


def refuse(config: Config, comm: "Comm") -> None:
    """Raise UserError, on every rank, where a run cannot survive the death of a rank."""
    MPI = sys.modules["mpi4py.MPI"]
    run, mistake = config.run, ""
    if MPI.get_vendor()[0] != "Open MPI":
        mistake = (
            f"{library_name(MPI)} ends a job in which a process has died; use Open MPI 5, "
            "mpiexec --with-ft ulfm, or leave run.survive out"
        )
    elif os.environ.get(ENABLED) != "1":
        mistake = "Open MPI was started without it; start with mpiexec --with-ft ulfm"
    elif run.device != "cpu":
        mistake = 'on GPUs it is not possible yet; set run.device = "cpu"'
    elif run.trace or run.log:
        mistake = "not possible with run.trace or run.log yet; leave one of the two out"
    elif config.auto:
        mistake = f'{" and ".join(config.auto)} = "auto" is not possible with it; give numbers'
    if any(allgather_text(comm, mistake)):
        raise_on_all_ranks(UserError(f"run.survive: {mistake}"))

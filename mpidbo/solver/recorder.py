"""The files of a run, written along it and at its end."""

from collections.abc import Mapping
from contextlib import suppress
from socket import gethostname
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from .._pytree import mapped
from .._version import __version__
from ..errors import Diverged, UserError
from ..parallel import agreed, host
from ..storage import (
    DIGEST,
    Best,
    Checkpoints,
    Done,
    Snapshot,
    files,
    history_arrays,
    identity,
    method_name,
    provenance_of,
    trees,
    write_arrays,
    write_best,
    write_text,
)
from .best import Keeper
from .evaluation import Evaluation
from .folder import Folder

if TYPE_CHECKING:
    from ..network import Topology

HISTORY_INTERVAL_S = 5.0
"""Shortest time between two writings of history.h5 along a run."""
BEST_INTERVAL_S, BEST_SHARE = 5.0, 0.05
"""Shortest time between two writings of best.h5 along a run, and their share of the run at most."""


class Recorder:
    """An observer that writes checkpoints and the history along a run, and its result at the end.

    Parameters
    ----------
    folder : Folder
        The run's folder.
    evaluation : Evaluation
        Has the history, and the check for divergence that precedes each checkpoint.
    topologies : mapping of str to Topology
        The topology of each level, on rank 0.
    keeper : Keeper, optional
        Has the best iterate.
    """

    def __init__(
        self,
        folder: Folder,
        evaluation: Evaluation,
        topologies: "Mapping[str, Topology]",
        keeper: Keeper | None = None,
    ) -> None:
        self.folder, self.evaluation, self.agents = folder, evaluation, folder.agents
        self.keeper = keeper
        table = folder.tables["checkpoint"]
        self.every: int = table["every"]
        self.checkpoints = Checkpoints(
            folder.path,
            folder.agents,
            keep=table["keep"],
            tables=folder.tables,
            topologies={level: topology.fingerprint for level, topology in topologies.items()},
            contents=folder.contents,
            verify=folder.verify,
            differs=folder.differences,
        )
        self._last_checkpoint, self._next_advance = -1, 0
        self._written_at = monotonic()
        self._best_written: Best | None = None
        self._best_due = monotonic() + BEST_INTERVAL_S

    def resume(self, start: Any) -> Snapshot | None:
        """Return the checkpoint to resume from, for a state of the form of `start`; collective.

        Raises UserError where one is needed and there is none.
        """
        folder, agents = self.folder, self.agents
        if agents.rank == 0:
            # From now on the run has neither diverged nor been stopped.
            with suppress(OSError):
                for marker in (files.DIVERGED, files.STOPPED):
                    (folder.path / marker).unlink(missing_ok=True)
        if folder.resume == "never":
            return None
        snapshot, damages = self.checkpoints.newest(start)
        if agents.rank == 0:
            for damage in damages:
                folder.warn(damage)
            if snapshot:
                folder.log(f"resuming from iteration {snapshot.iteration}")
                if self.keeper and not self.keeper.is_of_this(snapshot.best):
                    folder.log(
                        f"run.best: the checkpoint has no best {self.keeper.metric}, so that the "
                        f"best is that from iteration {snapshot.iteration} on"
                    )
            elif damages:
                folder.warn(
                    f"STARTING FROM ITERATION 0: NO CHECKPOINT IN {folder.path} IS COMPLETE AND "
                    "UNDAMAGED"
                )
        with agreed(agents.comm):
            if snapshot is None and folder.resume == "must":
                reason = f" ({damages[0]})" if damages else ""
                raise UserError(
                    f"{folder.path}: holds no verified checkpoint{reason}; "
                    "start again with --resume never"
                )
        return snapshot

    def next(self, k: int) -> int:
        if self.folder.is_lost:
            return k + 1
        due = [self.evaluation.next(k)]
        if self.every:
            due.append(k - k % self.every + self.every)
        if not self.checkpoints.writing.idle:
            due.append(max(k + 1, self._next_advance))
        return min(due)

    def look(self, k: int, state: Any, last: bool) -> str | None:
        if self.folder.is_lost:
            self.folder.verify()
        if last or (self.every and k % self.every == 0 and k > 0):
            self._begin_checkpoint(k, state)
        elif k >= self._next_advance:
            self.checkpoints.writing.advance()
            # The distance to the next look is that since the checkpoint began, plus one: it
            # doubles each time, so that a long writing costs few collective calls.
            self._next_advance = k + (k - self._last_checkpoint) + 1
        if last:
            self.checkpoints.writing.advance(wait=True)
            with agreed(self.agents.comm):
                self._write_history()
            self._write_best()
        elif monotonic() - self._written_at > HISTORY_INTERVAL_S:
            self._write_history()
        if not last and self._is_best_due():
            self._write_best()
        return None

    def leave(self, error: BaseException) -> None:
        """Keep what can be kept of a run that ends with this error."""
        with suppress(UserError):
            # Completing a checkpoint is collective: only where every rank has the error.
            if self.agents.comm is None or getattr(error, "agreed", False):
                self.checkpoints.writing.advance(wait=True)
            else:
                self.checkpoints.writing.abandon()
        with suppress(UserError):
            if self.agents.comm is None or getattr(error, "agreed", False):
                self._write_best()
        with suppress(UserError):
            if isinstance(error, Diverged) and self.agents.rank == 0:
                self.folder.verify()
                write_text(self.folder.path / files.DIVERGED, f"{error}\n")
        with suppress(UserError):
            self._write_history()

    def stop(self, reason: str) -> None:
        """Write down why the run was stopped before its end; collective."""
        with agreed(self.agents.comm):
            if self.agents.rank == 0:
                with self.folder.writing():
                    write_text(self.folder.path / files.STOPPED, f"{reason}\n")

    def finish(
        self,
        rows: Mapping[str, Any],
        average: Mapping[str, Any],
        iteration: int,
        reason: str,
        threads: int,
        workers: int,
        *,
        done: bool,
    ) -> None:
        """Write the result, and after it the marker that the run has finished; collective.

        Parameters
        ----------
        rows : mapping of str to array (m, d)
            The variables of this rank's agents.
        average : mapping of str to tree
            Their average in the problem's own form; it has a file of its own unless it is a vector.
        iteration, reason : int and str
            Where and why the run ended.
        threads : int
            `run.threads`, for the provenance.
        workers : int
            Threads among which this rank's agents were divided, for the provenance.
        done : bool
            Whether the run has finished; otherwise the same command resumes it.
        """
        folder, agents = self.folder, self.agents
        everyone = {name: agents.gather(part, everywhere=False) for name, part in rows.items()}
        hosts = agents.allgather_text(gethostname())
        has_trees = not trees.are_vectors(average)
        with agreed(agents.comm), folder.writing():
            if agents.rank > 0:
                return  # out of the block, at whose end it agrees with rank 0
            attributes = {**self._attributes(reason), "iteration": iteration, "trees": has_trees}
            provenance = provenance_of(agents.comm, hosts, threads, workers)
            write_arrays(
                folder.path / files.RESULT, everyone, attributes, {"provenance": provenance}
            )
            if has_trees:
                trees.write(folder.path / files.TREES, average, iteration)
            folder.verify()
            if done:
                # The marker is last: with it the run counts as finished.
                marker = Done(
                    iteration, attributes[DIGEST], __version__, folder.defaulted, folder.contents
                )
                write_text(folder.path / files.DONE, str(marker))

    def _begin_checkpoint(self, k: int, state: Any) -> None:
        """Begin to write a checkpoint, once for an iteration; collective."""
        if self._last_checkpoint == k:
            return
        self.evaluation.divergence.check(k, state)
        self.checkpoints.begin(snapshot_of(self.evaluation, self.keeper, k, state))
        self._last_checkpoint, self._next_advance = k, k + 1

    def _is_best_due(self) -> bool:
        """Whether to write best.h5 now, by the clock of rank 0; collective where it changed."""
        if self.keeper is None or self.keeper.end is self._best_written:
            return False
        due = self.agents.rank == 0 and monotonic() >= self._best_due
        return bool(self.agents.allreduce_sum(np.array([due], np.int64))[0])

    def _write_best(self) -> None:
        """Write best.h5, on rank 0, unless it has the best iterate already; collective."""
        if self.keeper is None or self.keeper.end is self._best_written:
            return
        began = monotonic()
        best = self.keeper.best("root")
        assert best is not None  # as nothing was written, or something else
        with agreed(self.agents.comm), self.folder.writing():
            if self.agents.rank == 0:
                reason = f"the best {best.metric}, {best.value:.6g}"
                write_best(self.folder.path / files.BEST, best, self._attributes(reason))
        self._best_written = self.keeper.end
        taken = monotonic() - began
        self._best_due = monotonic() + max(BEST_INTERVAL_S, taken / BEST_SHARE)

    def _attributes(self, reason: str) -> dict[str, Any]:
        """The attributes that a result has, but for the iteration."""
        return {
            "reason": reason,
            "method": method_name(self.folder.tables),
            "version": __version__,
            "config": self.folder.config_text(),
            DIGEST: identity.digest(self.folder.tables),
        }

    def _write_history(self) -> None:
        """Write history.h5, on rank 0; it alone may raise UserError."""
        if self.agents.rank > 0:
            return
        with self.folder.writing():
            write_arrays(
                self.folder.path / files.HISTORY,
                history_arrays(self.evaluation.history),
                {"version": __version__, "method": method_name(self.folder.tables)},
            )
        self._written_at = monotonic()


def snapshot_of(evaluation: Evaluation, keeper: Keeper | None, k: int, state: Any) -> Snapshot:
    """Return where a run is after k iterations; collective."""
    history = {name: [*values] for name, values in evaluation.history.items()}
    best = keeper.regular if keeper else None
    return Snapshot(k, mapped(host, state), evaluation.counts(), history, best)

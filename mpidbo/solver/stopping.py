"""Ends of a run before its last iteration, by a signal or the clock.

All ranks stop after the same iteration.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from time import localtime, monotonic, strftime, time
from typing import TYPE_CHECKING, Any

import numpy as np

from .._signals import SIGNALS, Held, asked
from .._warning import warn
from ..errors import Stopped, shown
from ..parallel import Agents, allgather_text, wait

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

LOOK_INTERVAL_S = 0.01
"""About the time between two looks: that long, and as much again, a request to stop may wait."""
SLURM_MARGIN_S = 120.0
"""Time before the end of a Slurm job at which to stop; at most a quarter of the time left."""
MAX_JOB_DURATION_S = 10 * 366 * 86400.0
"""The longest that a job may last; Slurm gives one without a limit a year."""
JOB_END = "SLURM_JOB_END_TIME"
INTERRUPT = signal.SIGINT.name
SIGNAL_NAMES = [*(number.name for number in SIGNALS), INTERRUPT]


class Stopping(Held):
    """An observer that ends a run on SIGTERM or SIGUSR1, on an interrupt, and by the clock.

    The clock is `run.max_seconds`, and the end of a Slurm job.

    As a context it catches the signals. The request of one rank reaches all by a non-blocking
    maximum, begun at one look and read at the next: no rank waits for another in between.

    Parameters
    ----------
    agents : Agents
        The agents of the run.
    max_seconds : float, optional
        Seconds after which to stop; default: no limit.
    since : float, optional
        From when they count, by `monotonic`; default: from now.
    """

    def __init__(
        self, agents: Agents, max_seconds: float | None = None, since: float | None = None
    ) -> None:
        super().__init__()
        self.agents = agents
        now, end = monotonic(), job_end()
        left = end - time()
        self.limits = {
            f"the Slurm job ends at {_clock(end)}": now + left - min(SLURM_MARGIN_S, left / 4),
            f"run.max_seconds = {max_seconds or 0:.12g}": (
                np.inf if max_seconds is None else (since or now) + max_seconds
            ),
        }
        """The causes by the clock, and when each is due."""
        self.deadline = min(self.limits.values())
        # What a rank sends: a cause, its number from the last and from the first, and its
        # seconds for an iteration.
        self._mine, self._largest = np.zeros(4), np.zeros(4)
        self._pending: Any = None
        self._next_look, self._stride = 0, 1
        self._last_look, self._clock = 0, monotonic()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # A request has to be completed; after an error of this rank alone the others do not come.
        if error is None or getattr(error, "agreed", False):
            self._complete()
        super().__exit__(kind, error, trace)

    def next(self, k: int) -> int:
        return max(k + 1, self._next_look)

    def look(self, k: int, state: Any, last: bool) -> str | None:
        self._complete()
        if last:
            return None
        cause, from_last, from_first, seconds = self._largest
        if cause:
            self.reason = self._reason(int(cause), int(from_last), int(from_first))
            return self.reason
        if seconds > 0:
            # The slowest rank decides the distance of looks, which at most doubles.
            self._stride = max(1, min(2 * self._stride, int(LOOK_INTERVAL_S / seconds)))
        self._begin(k)
        return None

    def raise_if_asked(self, when: str) -> None:
        """Raise Stopped on all ranks where any wants to stop, or KeyboardInterrupt; collective.

        Parameters
        ----------
        when : str
            How far the work has come of which nothing is kept, for the message.
        """
        self._begin(0)
        self._complete()
        cause, from_last, from_first = map(int, self._largest[:3])
        if not cause:
            return
        self.reason = self._reason(cause, from_last, from_first)
        if cause == len(self.limits) + len(SIGNAL_NAMES):  # an interrupt, the last of the names
            interrupt: Any = KeyboardInterrupt(f"{self.reason}, {when}")
            interrupt.agreed = True
            raise interrupt
        remedy = ", and needs more time" if cause <= len(self.limits) else ""
        raise Stopped(f"{self.reason}, {when}; the same command starts again{remedy}")

    def _begin(self, k: int) -> None:
        """Send whether this rank wants to stop, to be read at the next look."""
        now = monotonic()
        cause, rank, size = self._cause(now), self.agents.rank, self.agents.size
        seconds = (now - self._clock) / max(1, k - self._last_look)
        # The maximum of size - rank is that of the first rank that wants to stop, the maximum of
        # rank + 1 that of the last.
        from_last, from_first = (size - rank, rank + 1) if cause else (0, 0)
        self._mine[:] = (cause, from_last, from_first, seconds)
        self._clock, self._last_look, self._next_look = now, k, k + self._stride
        self._pending = self.agents.iallreduce_max(self._mine, self._largest)

    def _complete(self) -> None:
        """Receive what was sent at the last look, if anything was."""
        if self._pending is not None:
            wait(self._pending)
            self._pending = None

    def _cause(self, now: float) -> int:
        """Why this rank wants to stop, as a number: 0 for no reason, then limits and signals."""
        if self.asked:
            return 1 + len(self.limits) + SIGNAL_NAMES.index(self.asked)
        if now > self.deadline:
            return 1 + [*self.limits.values()].index(self.deadline)
        return 0

    def _reason(self, cause: int, from_last: int, from_first: int) -> str:
        """The reason from the largest cause, and the largest numbers of ranks that want to stop."""
        if cause <= len(self.limits):
            return because([*self.limits][cause - 1])
        first, last = self.agents.size - from_last, from_first - 1
        name = SIGNAL_NAMES[cause - len(self.limits) - 1]
        return because(name, [first, last] if self.agents.size > 1 else [])


def because(cause: str, ranks: Sequence[int] = ()) -> str:
    """Return the reason to stop as a message.

    Parameters
    ----------
    cause : str
        A limit or the name of a signal.
    ranks : sequence of int, optional
        The ranks that got the signal; a single one is named.
    """
    where = f" on rank {ranks[0]}" if len(set(ranks)) == 1 else ""
    return f"interrupted{where}" if cause == INTERRUPT else f"stopped on request: {cause}{where}"


def stop_if_asked(comm: "Comm | None") -> None:
    """Raise Stopped on all ranks when any has got a signal before the loop; collective.

    Parameters
    ----------
    comm : Comm or None
        The communicator, None for one process.
    """
    names = allgather_text(comm, asked())
    ranks = [rank for rank, name in enumerate(names) if name]
    if ranks:
        # The maximum is the name of a signal, since "" is smaller than any.
        reason = because(max(names), ranks if len(names) > 1 else [])
        raise Stopped(f"{reason}, before the first iteration; the same command starts again")


def job_end() -> float:
    """Return when the Slurm job ends, in seconds since 1970; infinity where that is not known."""
    text = os.environ.get(JOB_END, "").strip()
    with suppress(ValueError):
        now = time()
        if text and now < float(text) < now + MAX_JOB_DURATION_S:
            return float(text)
    if text:
        warn(
            f"{JOB_END} = {shown(text[:40])} is not a time at which this job can end, so it is "
            "ignored: as a limit set run.max_seconds"
        )
    return np.inf


def _clock(end: float) -> str:
    return strftime("%F %T", localtime(end)) if end < np.inf else "no time"

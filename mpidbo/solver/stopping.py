"""Stopping well: a signal or the clock on any rank, and all ranks stop after the same iteration."""

import os
import warnings
from contextlib import suppress
from time import localtime, monotonic, strftime, time
from typing import Any

import numpy as np

from .._signals import SIGNALS, Held, asked
from ..errors import Stopped, shown
from ..parallel.agents import Agents, texts
from ..parallel.collectives import wait

BETWEEN = 0.01
"""Seconds between two looks, about: that long, and as much again, a wish to stop may wait."""
AHEAD = 120.0
"""Seconds before the end of a Slurm job at which to stop; a quarter of the time left at the start if that is less."""
JOB_END = "SLURM_JOB_END_TIME"
LONGEST = 10 * 366 * 86400.0
"""Seconds that a job may last; Slurm gives one without a limit a year."""
NAMES = [number.name for number in SIGNALS]


class Stopping(Held):
    """An observer that ends the run on SIGTERM, SIGUSR1, after `max_seconds`, and ahead of a Slurm job's end.

    At each look the ranks start to agree, and at the next one they know: no rank waits for another in between. As a context
    it holds the signals.
    """

    def __init__(self, agents: Agents, max_seconds: float | None = None) -> None:
        super().__init__()
        self.agents = agents
        now, end = monotonic(), job_end()
        left = end - time()
        self.limits = {f"the Slurm job ends at {_clock(end)}": now + left - min(AHEAD, left / 4),
                       f"run.max_seconds = {max_seconds or 0:.12g}": np.inf if max_seconds is None else now + max_seconds}
        self.deadline = min(self.limits.values())
        self._mine, self._all, self._pending = np.zeros(4), np.zeros(4), None
        self._due, self._stride, self._before, self._clock = 0, 1, 0, monotonic()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._pending is not None and (error is None or getattr(error, "agreed", False)):
            wait(self._pending)
        super().__exit__(kind, error, trace)

    def next(self, k: int) -> int:
        return max(k + 1, self._due)

    def look(self, k: int, state: Any, last: bool) -> str | None:
        if self._pending is not None:
            wait(self._pending)
            self._pending = None
        *asked_by, seconds = self._all
        if last:
            return None
        if asked_by[0]:
            self.reason = self._reason(*map(int, asked_by))
            return self.reason
        if seconds > 0:
            self._stride = max(1, min(2 * self._stride, int(BETWEEN / seconds)))
        now = monotonic()
        cause, rank, size = self._cause(now), self.agents.rank, self.agents.size
        self._mine[:] = cause, cause and size - rank, cause and rank + 1, (now - self._clock) / max(1, k - self._before)
        self._clock, self._before, self._due = now, k, k + self._stride
        self._pending = self.agents.start_max(self._mine, self._all)
        return None

    def _cause(self, now: float) -> int:
        """Why this rank wants to stop, as a number: 0 for no reason, then the limits and the signals."""
        if self.asked:
            return len(self.limits) + 1 + NAMES.index(self.asked)
        return 1 + [*self.limits.values()].index(self.deadline) if now > self.deadline else 0

    def _reason(self, cause: int, from_last: int, last: int) -> str:
        """From the ranks' largest cause, and the first and last rank that want to stop, counted from the other end and from 1."""
        if cause <= len(self.limits):
            return because([*self.limits][cause - 1])
        first = self.agents.size - from_last
        return because(NAMES[cause - len(self.limits) - 1], [first, last - 1] if self.agents.size > 1 else [])


def because(cause: str, ranks: list[int] | None = None) -> str:
    """The reason to stop: a limit, or a signal and the rank that got it, if it was one alone."""
    return f"stopped on request: {cause}{f' on rank {ranks[0]}' if ranks and len(set(ranks)) == 1 else ''}"


def stop_if_asked(comm: Any) -> None:
    """Raise Stopped on every rank when a signal came to any before there was anything to keep; collective."""
    said = {rank: text for rank, text in enumerate(texts(comm, asked())) if text}
    if said:
        ranks = list(said) if comm is not None and comm.size > 1 else []
        raise Stopped(f"{because(max(said.values()), ranks)}, before the first iteration; the same command starts again")


def job_end() -> float:
    """When the Slurm job ends, in seconds since 1970; infinity without one, or where what its variable says cannot be."""
    text = os.environ.get(JOB_END, "").strip()
    with suppress(ValueError):
        if text and (now := time()) < float(text) < now + LONGEST:
            return float(text)
    if text:
        warnings.warn(f"{JOB_END} = {shown(text[:40])} is no time at which this job can end, so it is ignored: as a limit set "
                      "run.max_seconds", stacklevel=3)
    return np.inf


def _clock(end: float) -> str:
    return strftime("%F %T", localtime(end)) if end < np.inf else "no time"

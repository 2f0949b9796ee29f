"""Stopping well: a signal or the clock on any rank, and all ranks stop after the same iteration."""

import os
import signal
from contextlib import suppress
from time import monotonic, time
from types import FrameType
from typing import Any

import numpy as np

from .agents import Agents
from .collectives import wait

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
BETWEEN = 0.01
"""Seconds between two looks, about: that long, and as much again, a wish to stop may wait."""
AHEAD = 120.0
"""Seconds before the end of a Slurm job at which to stop; a quarter of the time left at the start if that is less."""


class Held:
    """Notes a wish to stop while it is entered, also one that came too late for the run it interrupted."""

    def __init__(self) -> None:
        self.asked = ""
        self._kept: dict[int, Any] = {}

    def __enter__(self) -> Any:
        with suppress(ValueError):                      # only the main thread may; elsewhere the clock alone counts
            self._kept = {number: signal.signal(number, self.ask) for number in SIGNALS}
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)

    def ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = signal.Signals(number).name


class Stopping(Held):
    """An observer that ends the run on SIGTERM, SIGUSR1, after `max_seconds`, and ahead of a Slurm job's end.

    At each look the ranks start to agree, and at the next one they know: no rank waits for another in between. As a context
    it holds the signals.
    """

    def __init__(self, agents: Agents, max_seconds: float | None = None) -> None:
        super().__init__()
        self.agents = agents
        self.deadline = np.inf if max_seconds is None else monotonic() + max_seconds
        with suppress(KeyError, ValueError):
            left = float(os.environ["SLURM_JOB_END_TIME"]) - time()
            self.deadline = min(self.deadline, monotonic() + left - min(AHEAD, left / 4))
        self.reason = ""
        self._mine, self._all, self._pending = np.zeros(2), np.zeros(2), None
        self._due, self._stride, self._before, self._clock = 0, 1, 0, monotonic()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._pending is not None and (error is None or getattr(error, "agreed", False)):
            wait(self._pending)
        super().__exit__(kind, error, trace)
        if self.asked and not self.reason:              # too late for this run; who held the signals before hears of it
            holder = getattr(self._kept.get(signal.SIGTERM), "__self__", None)
            if isinstance(holder, Held):
                holder.asked = self.asked

    def next(self, k: int) -> int:
        return max(k + 1, self._due)

    def look(self, k: int, state: Any, last: bool) -> str | None:
        if self._pending is not None:
            wait(self._pending)
            self._pending = None
        wished, seconds = self._all
        if last:
            return None
        if wished:
            self.reason = "stopped on request"
            return self.reason
        if seconds > 0:
            self._stride = max(1, min(2 * self._stride, int(BETWEEN / seconds)))
        now = monotonic()
        self._mine[:] = bool(self.asked) or now > self.deadline, (now - self._clock) / max(1, k - self._before)
        self._clock, self._before, self._due = now, k, k + self._stride
        self._pending = self.agents.start_max(self._mine, self._all)
        return None

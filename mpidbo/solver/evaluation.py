"""Evaluation along a run: rows of its history, with metrics and costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from .._types import Array, Float
from ..config import place
from ..errors import UserError
from ..parallel import Agents, agreed
from ..problems import ORACLES, Point
from ..storage import PARTS
from .divergence import DivergenceCheck
from .loop import Loop
from .measures import Measures
from .stop_rules import StopRule


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that was just made.

    Parameters
    ----------
    iteration : int
        Iterations done.
    row : mapping of str to float
        The row of the history, the same on every rank.
    point : Point
        The rows of this rank's agents and their averages, on the host.
    state : NamedTuple of arrays (m, d)
        The state of the method; never changed in place, so it may be kept.
    """

    iteration: int
    row: Mapping[str, float]
    point: Point
    state: Any


Watcher = Callable[[Evaluated], str | None]
"""It is given each new evaluation on every rank, and returns a reason to stop the run, the same on
every rank, or None."""


class Evaluation:
    """An observer that adds rows to the history, and stops a run by its rules.

    The state is checked for divergence each time.

    Parameters
    ----------
    loop : Loop
        Counts the costs of the run.
    agents : Agents
        The agents of the run.
    problems : list of Problem
        The problems of this rank's agents.
    every : int
        Iterations between two evaluations.
    start : mapping
        "x" and "y" -> where the run started, (p,) and (q,).
    requested : tuple of str, optional
        The metrics on request, `run.metrics`.
    stop : sequence of StopRule, optional
        The first that applies to the history stops the run.
    watchers : sequence of Watcher, optional
        Called with each evaluation, in this order, after the row is in the history.
    smaller : str, optional
        See `DivergenceCheck`.

    Attributes
    ----------
    history : dict of str to list of float
        The columns, the same on every rank.
    seconds : float
        Time of all evaluations.
    divergence : DivergenceCheck
        The check, which remembers the last finite state.
    """

    def __init__(
        self,
        loop: Loop,
        agents: Agents,
        problems: list[Any],
        *,
        every: int,
        start: Mapping[str, Float[Array, " d"]],
        requested: tuple[str, ...] = (),
        stop: Sequence[StopRule] = (),
        watchers: Sequence[Watcher] = (),
        smaller: str = "",
    ) -> None:
        self.loop, self.agents, self.every = loop, agents, every
        self.stop, self.watchers = stop, watchers
        self.measures = Measures(loop.method, problems, loop.oracle, agents, requested, start)
        self.divergence = DivergenceCheck(loop, agents, smaller)
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._costs_before: Mapping[str, float] = {}
        self._resumed_at = -1

    def next(self, k: int) -> int:
        return k - k % self.every + self.every

    def resume(
        self, k: int, state: Any, counts: Mapping[str, float], history: Mapping[str, list[float]]
    ) -> None:
        """Continue the history of a checkpoint after k iterations.

        Its last row is dropped if only the end of the earlier run had made it; it is made again
        when it is due.

        Parameters
        ----------
        k : int
            Iterations done.
        state : NamedTuple of arrays (m, d)
            The state then.
        counts : mapping of str to float
            `counts` then.
        history : mapping of str to list of float
            The columns then.
        """
        self.divergence.keep(k, state)
        self._costs_before = counts
        kept = [i for i, at in enumerate(history["iteration"]) if at % self.every == 0 or at < k]
        self.history = {name: [values[i] for i in kept] for name, values in history.items()}
        self._resumed_at = k
        self._check_rules()

    def counts(self) -> dict[str, float]:
        """Return messages, oracle calls and seconds since the run first started; collective."""
        now = self._costs()
        return {name: value + self._costs_before.get(name, 0) for name, value in now.items()}

    def look(self, k: int, state: Any, last: bool) -> str | None:
        iterations = self.history.get("iteration", [])
        if iterations and iterations[-1] == k:
            # Where the run resumes: it may have stopped here by a rule, and been killed before it
            # wrote its result.
            return self._reason_to_stop() if k == self._resumed_at else None
        if k == self._resumed_at and not last:
            return None  # not a regular evaluation, so its row was dropped when the run was resumed
        began = perf_counter()
        self.divergence.check(k, state)
        point = self.measures.point(k, state)
        metrics = self.measures.row(state, point)
        row: dict[str, float] = {"iteration": k, **metrics, **self.counts()}
        self._append(row)
        self._check_rules()
        self.seconds += perf_counter() - began
        reasons = [self._reason_to_stop()]
        reasons += [watch(Evaluated(k, row, point, state)) for watch in self.watchers]
        return next((reason for reason in reasons if reason), None)

    def _reason_to_stop(self) -> str | None:
        """The reason of the first rule that applies to the history so far."""
        reasons = [rule(self.history) for rule in self.stop]
        return next((reason for reason in reasons if reason), None)

    def _append(self, row: Mapping[str, float]) -> None:
        """Add a row to the history, with NaN in columns that it or earlier rows lack."""
        earlier = len(self.history.get("iteration", ()))
        for name in dict.fromkeys((*self.history, *row)):
            column = self.history.setdefault(name, [np.nan] * earlier)
            column.append(row.get(name, np.nan))

    def _check_rules(self) -> None:
        """Raise UserError on all ranks where a rule has a metric that is not in the history."""
        for i, rule in enumerate(self.stop):
            mistake = rule.mistake(self.history, place(self.stop, i))
            if mistake:
                with agreed(self.agents.comm):
                    raise UserError(mistake)

    def _costs(self) -> dict[str, float]:
        """Messages, oracle calls and seconds (mean over ranks) since this start of the run."""
        loop, reached = self.loop, self.loop.reached
        sent, lost = reached.sent, reached.lost
        called = [reached.calls[name] for name in ORACLES]
        mine = [*called, lost.floats, lost.messages, lost.bytes]
        *calls, lost_floats, lost_messages, lost_bytes = self.agents.allreduce_sum(
            np.array(mine)
        ).tolist()
        parts = [loop.oracle.seconds, loop.W.seconds, loop.seconds_of_updates, self.seconds]
        seconds = self.agents.allreduce_sum(np.array(parts)) / self.agents.size
        costs: dict[str, float] = {
            "floats": sent.floats - lost_floats,
            "bytes": sent.bytes - lost_bytes,
            "messages": sent.messages - lost_messages,
            "rounds": sent.rounds,
        }
        for name, count in zip(ORACLES, calls, strict=True):
            if name not in ("f", "g"):  # methods call derivatives alone
                costs[f"calls_{name}"] = count
        for part, value in zip(PARTS, seconds.tolist(), strict=True):
            costs[f"seconds_{part}"] = value
        return costs

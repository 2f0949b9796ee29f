"""Short runs from the start of a run, with step sizes that are to be tried."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import ceil, inf, isfinite
from typing import Any, NamedTuple

import numpy as np

from .._linalg import added
from ..algorithms import Method, Power, Schedule, curvature
from ..errors import UserError
from ..parallel import Threads, host, raise_on_all_ranks
from ..problems import EXACT, METRICS, ROUGH, Point
from .loop import Loop
from .measures import Measures
from .setup import Setup
from .stopping import Stopping

MAX_GROWTH = 1e6
"""Of the distance from the start to which x may move in a pilot, relative to 1 + |x0|."""

MAX_DISTANCE = 10.0
"""Of y from y*(x), relative to 1, its size, the distance at the start, and how far it has moved."""
MAX_RISE = 0.25
"""Of the metric at the end of a pilot, relative to what it had fallen before."""
MAX_CALLS, ALWAYS_ALLOWED = 4, 100
"""Calls of an agent's oracles after which a judgement is given up: relative to the most that one
of a pilot took that did not diverge, and at least.
"""
POWER_ITERATIONS = 10
"""For the curvature of g where a pilot ended: growth by much less than the margin that step sizes
have does not matter.
"""
FEW = (0.1, 0.2, 0.4, 1.0)
"""As `MANY` where each judgement is expensive."""
PARTS = (0.25, 0.5, 1.0)
"""Of a pilot's iterations, after which the metric judges it."""
MANY = (0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The same of a pilot that is to show whether it oscillates; at first where one of 0.4 times its
length was judged, since it continues there.
"""

Key = tuple[tuple[str, float], ...]
"""Step sizes with their numbers."""


class Cost(NamedTuple):
    """What pilots took."""

    iterations: int
    calls: int
    """Calls of oracles and losses, total over agents."""
    judging: int
    """Of these calls those that the judgement took."""
    of_judgement: float
    """Calls that the next judgement is expected to take, by those of pilots that did not diverge:
    as many as the last ones on average, and as the last one, which grows by the same factor again
    where it took more than that before.
    """

    def expected(self, iterations: int, judgements: int) -> float:
        """Return the calls that more of them would take, total over agents."""
        of_iteration = (self.calls - self.judging) / max(self.iterations, 1)
        return iterations * of_iteration + judgements * self.of_judgement


class _Reached(NamedTuple):
    """Where a pilot is; without a state where it diverged."""

    key: Key | None
    k: int
    state: Any


class Pilots:
    """Runs from the start of a run with different step sizes, each judged by one number.

    All of them start at the same point and draw the same samples. One that continues where it was
    gives the same bits as one that begins again. Every method is collective and has the same answer
    on every rank, whatever their number.

    Parameters
    ----------
    setup : Setup
        The run, which is left as it was.
    stopping : Stopping
        What may end a pilot: every method then raises Stopped, or KeyboardInterrupt, on all ranks.

    Attributes
    ----------
    judge : str
        The metric that judges, "phi" where the method and the problem have it, or "upper_loss".
    at_start : float
        Its value at the start.
    """

    def __init__(self, setup: Setup, stopping: Stopping) -> None:
        self.setup, self.oracle = setup, setup.oracle.twin()
        self.stopping = stopping
        self._threads = Threads(setup.config.run.threads)
        self.iterations, self.judging = 0, 0
        self._of_judgements = list[int]()
        self._most_calls = 0
        # Of large problems a state takes much memory: only those of two pilots are kept.
        self._last = self._best = _Reached(None, 0, None)
        self._best_score = inf
        self._first: tuple[Any, float] | None = None
        self._measured: dict[tuple[Key, int], float] = {}
        self.measures = Measures(
            setup.method,
            setup.problems,
            self.oracle,
            setup.agents,
            setup.config.run.metrics,
            {"x": setup.x0, "y": setup.y0},
        )
        self.judge = self._judge()
        self.at_start = self.metric({}, 0)
        if self.judge == "phi" and not isfinite(self.at_start):
            self.judge = "upper_loss"
            self._measured.clear()
            self.at_start = self.metric({}, 0)

    def score(
        self, steps: Mapping[str, float], iterations: int, parts: Sequence[float] = PARTS
    ) -> float:
        """Return the judgement of a pilot; infinite where it diverged.

        It is the mean of the metric after a quarter, a half and all of the iterations: of two which
        end at the same value that is better which was there earlier. One whose metric rises again
        by much of what it had fallen counts as diverged.

        Parameters
        ----------
        steps : mapping
            Step size -> its number, or the first value of the method's own schedule.
        iterations : int
        parts : sequence of float, optional
            Where the metric is taken, as parts of the iterations; `PARTS` or `MANY`.
        """
        values, known = list[float](), len(self._of_judgements)
        for part in parts:
            values.append(self.metric(steps, ceil(part * iterations)))
            if not isfinite(values[-1]):
                break
        least = min(values)
        risen = max(values[values.index(least) :]) - least
        has_risen = not risen <= MAX_RISE * max(0.0, self.at_start - least)
        score = inf if has_risen else added(values) / len(values)
        if has_risen:  # a high price, which no other pilot pays
            del self._of_judgements[known:]
        else:
            self._most_calls = max([self._most_calls, *self._of_judgements[known:]])
        if self._best.key == self._last.key or score <= self._best_score:
            self._best, self._best_score = self._last, score
        return score

    def metric(self, steps: Mapping[str, float], k: int) -> float:
        """Return the metric of a pilot after k iterations; infinite where it diverged."""
        key = _key(steps)
        if (key, k) in self._measured:
            return self._measured[key, k]
        state, before = self._run(steps, key, k), self.judging
        with self._threads.limited(), np.errstate(all="ignore"):
            value = inf if state is None else self._metric(k, state)
        if state is not None:
            self._of_judgements.append(self.judging - before)
        self._measured[key, k] = value
        return value

    def curvature(self, steps: Mapping[str, float], iterations: int) -> float:
        """Return the largest curvature of g where a pilot is after so many iterations.

        It may be infinite or NaN; 0 where the pilot diverged before.
        """
        state = self._run(steps, _key(steps), iterations)
        if state is None:
            return 0.0
        with self._threads.limited(), np.errstate(all="ignore"):
            found = curvature(self.oracle, host(state.x), host(state.y), POWER_ITERATIONS)
        self.judging += found.calls
        return found.value

    def _run(self, steps: Mapping[str, float], key: Key, k: int) -> Any:
        """Run a pilot to iteration k, from where it is kept; return its state, None if diverged."""
        setup = self.setup
        known = [
            reached for reached in (self._last, self._best) if reached.key == key and reached.k <= k
        ]
        try:
            method = with_numbers(setup.method, steps)
        except UserError:  # a step size that the method refuses, on every rank
            self._last = _Reached(key, k, None)
            return None
        done, state = known[0][1:] if known else (0, self._start(method))
        loop = Loop(method, self.oracle, setup.W)
        with self._threads.limited(), np.errstate(all="ignore"):
            if state is not None and k > done:
                for _ in loop.run(state, done, k, [self.stopping]):
                    pass
                self.stopping.raise_if_asked("before step sizes were found")
                state = loop.reached.state
                self.iterations += k - done
                if not self._is_finite(state):
                    state = None
        self._last = _Reached(key, k, state)
        return state

    def cost(self) -> Cost:
        """Return what all pilots took; collective."""
        agents = self.setup.agents
        mine = np.array([sum(self.oracle.calls.values())])
        calls = int(agents.allreduce_sum(mine)[0])
        *_, before, last = recent = [0, 0, *self._of_judgements[-len(PARTS) :]]
        growth = last / before if before else 1.0
        expected = max(last * max(growth, 1.0), sum(recent) / len(PARTS))
        return Cost(self.iterations, calls + self.judging, self.judging, expected)

    def _judge(self) -> str:
        method, averaged = self.setup.method, self.measures.averaged
        has_phi = method.bilevel and not method.personalized
        if not averaged.defines("f"):
            error = UserError(
                'steps: "auto" judges step sizes by the upper loss, and the problem does not '
                "define f; define it, or give numbers"
            )
            raise_on_all_ranks(error)
        needs = METRICS["phi"].needs
        return (
            "phi" if has_phi and all([averaged.defines(need) for need in needs]) else "upper_loss"
        )

    def _start(self, method: Method) -> Any:
        x, y = self.setup.rows()
        rows = self.setup.backend.rows
        return method.start(rows(x), rows(y))

    def _metric(self, k: int, state: Any) -> float:
        # The start is what the run itself reports of it.
        accuracy = ROUGH if k else EXACT
        if self._most_calls:
            limit = max(ALWAYS_ALLOWED, MAX_CALLS * self._most_calls / self.setup.agents.n)
            accuracy = accuracy._replace(calls=min(limit, accuracy.calls))
        point = self.measures.point(k, state, accuracy)
        moved = point.moved("x")
        if not moved <= MAX_GROWTH * (1 + float(np.linalg.norm(self.setup.x0))):
            return inf
        columns = METRICS[self.judge].columns(point)
        n = self.setup.agents.n
        self.judging += n + (point.lower_solution.calls if self.judge == "phi" else 0)
        value = columns[self.judge]
        has_y = self.judge != "phi" or self._follows(point)
        return value if has_y and isfinite(value) else inf

    def _follows(self, point: Point) -> bool:
        """Whether y is not much farther from y*(x) than it was at the start or y*(x) has moved."""
        solution, y = point.lower_solution.y, point.means["y"]
        if self._first is None:
            self._first = solution, float(np.linalg.norm(y - solution))
        before, distance = self._first
        scale = 1 + distance + np.linalg.norm(solution - before) + np.linalg.norm(solution)
        return not np.linalg.norm(y - solution) > MAX_DISTANCE * scale

    def _is_finite(self, state: Any) -> bool:
        """Whether the variables of all agents, and their squares, are finite; collective."""
        limit = np.sqrt(np.finfo(self.oracle.dtype).max)
        levels = [level for level in ("x", "y", "z", "t") if hasattr(state, level)]
        broken = [not np.abs(host(getattr(state, level))).max() < limit for level in levels]
        return not self.setup.agents.allreduce_sum(np.array([any(broken)], np.int64))[0]


def _key(steps: Mapping[str, float]) -> Key:
    return tuple(sorted(steps.items()))


def with_numbers(method: Method, steps: Mapping[str, float]) -> Method:
    """Return a method with these step sizes; where its own default varies, scaled to begin there.

    Parameters
    ----------
    method : Method
    steps : mapping
        Step size -> the number.
    """
    defaults = {field.name: field.default for field in fields(method)}
    schedules: dict[str, Any] = {key: scaled(defaults[key], value) for key, value in steps.items()}
    return replace(method, **schedules)


def scaled(default: Any, value: float) -> Schedule:
    """Return a schedule of the shape of another that begins with this value."""
    return replace(default, start=value) if isinstance(default, Power) else Power(value)


def first_value(method: Method, key: str) -> float:
    """Return a step size of a method at iteration 0."""
    schedule: Schedule = getattr(method, key)
    return schedule(0)

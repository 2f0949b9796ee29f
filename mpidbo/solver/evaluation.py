"""What is measured along a run: one row of history at each evaluation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import Diverged, UserError, did_you_mean, shown
from ..parallel.agents import Agents, agreed
from ..parallel.backend import host
from ..problems import ORACLES
from ..problems.metrics import ON_REQUEST, Averaged
from ..problems.oracle import Oracle, returned
from .loop import Loop

Array = Any

STEP_OF = {"x": "alpha", "y": "beta", "z": "gamma", "t": "gamma"}
"""The variables of the methods, and what scales their steps."""
OWN = ("iteration", "upper_loss", "lower_loss", "consensus_", "calls_", "seconds_", "floats", "messages", "rounds")
"""How the names of an evaluation's own figures begin."""
RESERVED = {"distance", "residual", "consensus", *ON_REQUEST}
"""Further names of an evaluation's own figures."""


@dataclass(frozen=True)
class StopRule:
    """Stop once `metric` is below (or above) a bound."""

    metric: str
    below: float = -np.inf
    above: float = np.inf

    def __call__(self, row: Mapping[str, float]) -> str | None:
        value = row.get(self.metric, np.nan)
        if value < self.below:
            return f"{self.metric} = {value:.3g} is below {self.below:g}"
        if value > self.above:
            return f"{self.metric} = {value:.3g} is above {self.above:g}"
        return None


class Evaluation:
    """An observer that evaluates every `every` iterations: losses and accuracy at the agents' averages, consensus distances,
    what was sent, calls and seconds; and ends a run that diverged.

    `history` maps a name to the list of its values, the same on every rank. `told(row)` is called with each row.
    """

    def __init__(self, loop: Loop, agents: Agents, problems: list[Any], *, every: int,
                 requested: tuple[str, ...] = (), stop: StopRule | None = None,
                 told: Callable[[Mapping[str, float]], None] = lambda row: None) -> None:
        self.loop, self.agents, self.problems, self.every = loop, agents, problems, every
        self.requested, self.stop, self.told = requested, stop, told
        self.averaged = Averaged(loop.oracle.twin(), agents)
        self.losses = {name: loss for loss, name in (("f", "upper_loss"), ("g", "lower_loss"))
                       if self._all(getattr(p, loss, None) is not None for p in problems)}
        self.solution = self._solution() if loop.method.bilevel and not loop.method.personalised else None
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.sound: tuple[int, Any] | None = None
        self.before: Mapping[str, float] = {}
        self.resumed_at = -1

    def _all(self, true: Iterable[bool]) -> bool:
        """Whether that holds for every agent; collective."""
        return not self.agents.total(np.array([not all(true)], np.int64))[0]

    def _solution(self) -> Array:
        """x* where every agent knows it, else None."""
        problem, p = self.problems[0], self.averaged.p
        x = problem.solution() if hasattr(problem, "solution") else None
        with agreed(self.agents.comm):
            if x is not None and (got := returned(x)) != f"shape ({p},)":
                raise UserError(f"problem {type(problem).__name__}.solution(): {got}; return x* of shape ({p},), or None")
        return host(x) if self._all([x is not None]) else None

    def next(self, k: int) -> int:
        return k - k % self.every + self.every

    def go_on(self, k: int, state: Any, counts: Mapping[str, float], history: Mapping[str, list[float]]) -> None:
        """Take up a run where a checkpoint left it: a row that only its end at k had made is taken again when it is due."""
        self.sound, self.before = (k, state), counts
        rows = [i for i, at in enumerate(history["iteration"]) if at % self.every == 0 or at < k]
        self.history = {name: [values[i] for i in rows] for name, values in history.items()}
        self.resumed_at = k

    def counts(self) -> dict[str, float]:
        """What was sent, called and taken in all, over restarts too; collective."""
        now = self._counts()
        return {name: value + self.before.get(name, 0) for name, value in now.items()}

    def look(self, k: int, state: Any, last: bool) -> str | None:
        seen = self.history.get("iteration")
        if seen and seen[-1] == k:                      # a run that stopped here and was ended before it could say so
            return self.stop({name: values[-1] for name, values in self.history.items()}) if self.stop and k == self.resumed_at else None
        if k == self.resumed_at and not last:
            return None
        began = perf_counter()
        self.assure_finite(k, state)
        row = self._row(k, state)
        rows = len(self.history.get("iteration", ()))
        for name in dict.fromkeys((*self.history, *row)):           # a problem may name a metric late, or once only
            self.history.setdefault(name, [np.nan] * rows).append(row.get(name, np.nan))
        if self.stop is not None and self.stop.metric not in self.history:
            with agreed(self.agents.comm):
                raise UserError(f"run.stop.metric: this run has no metric {shown(self.stop.metric)}; "
                                f"{did_you_mean(self.stop.metric, row)}")
        self.seconds += perf_counter() - began
        self.told(row)
        return self.stop(row) if self.stop else None

    def _row(self, k: int, state: Any) -> dict[str, float]:
        agents, method = self.agents, self.loop.method
        rows = {level: host(getattr(state, level)) for level in {"x": 0, "y": 0, **method.levels}}
        means = {level: agents.mean(part) for level, part in rows.items()}
        x, y = means["x"], means["y"]
        row: dict[str, float] = {"iteration": k}
        met = self._heads(x, y, state) if method.personalised else y
        for name, loss in self.losses.items():
            row[name] = float(agents.mean(self.averaged.oracle.losses(loss, x, met)))
        for level in method.levels:
            row[f"consensus_{level}"] = self._spread(rows[level], means[level])
        row |= self._own_metrics(x, met)
        if self.solution is not None:
            row["distance"] = self._spread(rows["x"], self.solution)
        row |= self._residual(x, y, means.get("t"))
        if "hypergradient_norm" in self.requested:
            row["hypergradient_norm"] = float(np.linalg.norm(self.averaged.hypergradient(x, y)))
        if "curvature" in self.requested:
            row["curvature"] = self.averaged.curvature(x, y, means["z"])
        return row | self.counts()

    def _spread(self, rows: Array, center: Array) -> float:
        """The root mean square over agents of the distance to a point."""
        return float(np.sqrt(self.agents.mean(np.array([float(d @ d) for d in rows - center]))))

    def _heads(self, x: Array, y: Array, state: Any) -> Array:
        """Each agent's own lower variable, (m, q), at the averages x and y."""
        x, y = (self.averaged.oracle.backend.rows(np.repeat(part[None], self.agents.m, axis=0)) for part in (x, y))
        return host(self.loop.method.heads(self.averaged.oracle, x, y, state))

    def _own_metrics(self, x: Array, y: Array) -> dict[str, float]:
        """The problem's own at a common y or each agent's, averaged over the agents that have them."""
        x, y = (self.averaged.oracle.backend.array(part) for part in (x, y))
        with agreed(self.agents.comm):
            found = [_checked(p, p.metrics(x, y if y.ndim == 1 else y[i])) for i, p in enumerate(self.problems) if hasattr(p, "metrics")]
        mine = "\n".join({name for row in found for name in row})
        names = sorted({name for text in self.agents.texts(mine) for name in text.split("\n") if name})
        if taken := [name for name in names if name.startswith(OWN) or name in RESERVED]:
            with agreed(self.agents.comm):
                raise UserError(f"problem {type(self.problems[0]).__name__}.metrics: {taken[0]} is a name of mpidbo's own; choose another")
        row = {}
        for name in names:
            values = self.agents.gather(np.array([d.get(name, np.nan) for d in found]))
            row[name] = float(sum(v for v in values.tolist() if v == v) / max(1, int(np.sum(values == values))))
        return row

    def _residual(self, x: Array, y: Array, t: Array | None) -> dict[str, float]:
        """G - V of SUN-DSBO, of F2SA G - min G, at the averages: a lower bound with t as it is, and refined on request."""
        if t is None or "lower_loss" not in self.losses:
            return {}
        lam, g = self.loop.method.lam, float(self.averaged("g", x, y))  # type: ignore[attr-defined]
        row = {"residual": g - float(self.averaged("g", x, t)) - float((t - y) @ (t - y)) / (2 * lam)}
        if "refined_residual" in self.requested:
            row["refined_residual"] = g - self.averaged.envelope(x, y, t, lam)
        return row

    def _counts(self) -> dict[str, float]:
        loop, sent, lost = self.loop, self.loop.W.sent, self.loop.W.lost
        *totals, floats, messages = self.agents.total(np.array([*(loop.oracle.calls[name] for name in ORACLES), *lost[:2]])).tolist()
        sent = sent._replace(floats=sent.floats - floats, messages=sent.messages - messages)
        seconds = self.agents.total(np.array([
            loop.oracle.seconds, loop.W.seconds, loop.seconds_of_updates, self.seconds])) / self.agents.size
        return (sent._asdict() | {f"calls_{name}": count for name, count in zip(ORACLES, totals, strict=True) if name not in "fg"}
                | {f"seconds_{part}": value for part, value in
                   zip(("oracle", "exchange", "update", "evaluation"), seconds.tolist(), strict=True)})

    def assure_finite(self, k: int, state: Any) -> None:
        """Raise Diverged unless every level is finite; the steps since the last sound state are taken again to find where."""
        levels = self._broken(state)
        if not levels:
            self.sound = (k, state)
            return
        first, cause = k, ""
        if self.sound is not None:
            for done in range(self.sound[0], k):
                before = self.sound[1]
                state = self.loop.steps(before, done, done + 1)
                if self._broken(state):
                    first, cause = done + 1, self._cause(before, done)
                    levels = self._broken(state) if cause else [self._largest(before, self._broken(state))]
                    break
                self.sound = (done + 1, state)
        steps = " or ".join(dict.fromkeys(f"steps.{STEP_OF[level]}" for level in levels))
        raise Diverged(f"diverged: {'levels' if len(levels) > 1 else 'level'} {' and '.join(levels)} not finite after iteration {first}, "
                       f"found by iteration {k}" + (f"; first was {cause}; mend it, or reduce {steps}" if cause else f"; reduce {steps}"))

    def _cause(self, state: Any, k: int) -> str:
        """The oracle and the agent that make step k from this state lose its numbers; "" when no oracle does."""
        loop, watch = self.loop, _Watch(self.loop.oracle)
        loop.method.step(k, watch, loop.W, state)    # type: ignore[arg-type]
        return next(filter(None, self.agents.texts(watch.found)), "")

    def _largest(self, state: Any, levels: list[str]) -> str:
        """The level that has grown most: when one overflows, it takes the others with it in the same step."""
        sizes = self.agents.gather(np.array([[float(abs(getattr(state, level)[i]).max()) for level in levels]
                                             for i in range(self.agents.m)]))
        return levels[int(sizes.max(axis=0).argmax())]

    def _broken(self, state: Any) -> list[str]:
        """The variables with an entry that is no number, or whose square is none."""
        levels, limit = [name for name in STEP_OF if hasattr(state, name)], np.sqrt(np.finfo(self.loop.oracle.dtype).max)
        bad = self.agents.total(np.array([not np.abs(getattr(state, level)).max() < limit for level in levels], np.int64))
        return [level for level, count in zip(levels, bad, strict=True) if count]


class _Watch:
    """An oracle that notes the first answer that is not finite though the question was."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.found = oracle, ""

    def draw(self, *sample: Any, **among: Any) -> "_Watch":
        self.oracle.draw(*sample, **among)
        return self

    def __getattr__(self, name: str) -> Callable[..., Array]:
        def asked(*rows: Array) -> Array:
            answer = getattr(self.oracle, name)(*rows)
            if name not in ORACLES:
                return answer
            bad = ~np.isfinite(host(answer)).all(axis=1)
            if bad.any() and not self.found and all(np.isfinite(host(part)).all() for part in rows):
                self.found = f"{name} of agent {self.oracle.agents.first + int(bad.argmax())}"
            return answer
        return asked


def _checked(problem: Any, row: Any) -> dict[str, float]:
    """A problem's own metrics. Raises UserError unless they are numbers under names."""
    where = f"problem {type(problem).__name__}.metrics"
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: {shown(row)} is no dictionary; return {{name: number}}, or {{}}")
    for name, value in row.items():
        if not isinstance(name, str) or not name or set(name) & set("/\n"):
            raise UserError(f"{where}: {shown(name)} cannot be a metric's name; give a text without a slash")
        if returned(value) != "shape ()":
            raise UserError(f"{where}: {name} is {shown(value)}, which is no number; return one")
    return {name: float(value) for name, value in row.items()}


def check_request(requested: tuple[str, ...], method: Any, problems: list[Any], agents: Agents) -> None:
    """UserError, on all ranks, when a requested metric cannot be had."""
    with agreed(agents.comm):
        for name in requested:
            missing = [o for o in ON_REQUEST[name] if any(getattr(p, o, None) is None for p in problems)]
            level = {"curvature": "z", "refined_residual": "t"}.get(name)
            if missing:
                raise UserError(f"run.metrics: {name} needs {', '.join(missing)}, which the problem does not define; leave it out")
            if level and level not in method.levels:
                raise UserError(f"run.metrics: {name} needs a method with a variable {level}; leave it out or choose another method")
            if name == "hypergradient_norm" and method.personalised:
                raise UserError("run.metrics: hypergradient_norm is of one y for the network, here each agent has its own; leave it out")

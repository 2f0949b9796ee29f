"""Step sizes for a run whose configuration leaves them to it: `steps = "auto"`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from math import ceil, inf, isfinite, log2
from typing import Any, NamedTuple

from ..algorithms import Method, Power, Schedule
from ..config import plain
from ..errors import UserError
from ..parallel import raise_on_all_ranks
from .lower_steps import SHARE, LowerSteps, stable_lower_steps
from .pilots import FEW, MANY, PARTS, Pilots, first_value, with_numbers
from .setup import Setup
from .step_search import counted, lengths, search
from .stopping import Stopping

FALLBACK = 0.01
"""Where the search begins if the problem's own alpha is 0."""
DIGITS = 3
"""Significant digits of the numbers that are found."""
BUDGET = 0.3
"""Of the oracle calls of the run, that the search may take."""
MAX_CURVATURE = 8.0
"""Of g where a pilot ends, relative to the start: beyond, x is mostly far off."""
MAX_USED = 1.25
"""Growth of the curvature in the last pilot beyond which beta and gamma get their margin back."""
DECAY = 0.5
"""The least a of (1 + k/K)^-a, as which a found alpha falls; K: iterations of the last pilot.

Pilots are too short to see an instability that grows slowly.
"""
INCREASE = 1.5
"""Factor of beta and gamma that is tried once, where alpha is about known."""
REDUCTION, MAX_REDUCTIONS = 0.25, 6
"""Factor of beta and gamma where every pilot diverges, and how often it is applied at most: not
again once the pilots have taken as many iterations as the run.
"""


class Tried(NamedTuple):
    """A pilot, as the record has it."""

    steps: Mapping[str, float]
    iterations: int
    value: float


class Tuning(NamedTuple):
    """Step sizes, and how they were found."""

    steps: dict[str, float]
    start: LowerSteps
    """Those by the curvature at the start."""
    lower: LowerSteps
    """Those that were found."""
    tried: list[Tried]
    pilots: Pilots
    ended: int
    """Iterations of the pilots that the budget did not allow any more; 0 where it sufficed."""
    growth: float
    """The a of k^a, as which the curvature of g is going to outgrow them; 0 where it is not."""

    def record(self) -> dict[str, Any]:
        """Return the section `[tuning]` of the run's configuration; collective."""
        cost = self.pilots.cost()
        agents, run = self.pilots.setup.agents, self.pilots.setup.config.run
        calls = cost.calls + self.start.calls
        of_run = cost.expected(run.iterations, 0)
        return {
            "found": {},
            "judge": self.pilots.judge,
            "at_start": self.pilots.at_start,
            **self._curvature(),
            "pilot": [
                {**tried.steps, "iterations": tried.iterations, "value": tried.value}
                for tried in self.tried
            ],
            "iterations": cost.iterations,
            "calls": calls // agents.n,
            **({"share": rounded(calls / of_run)} if of_run else {}),
            **({"ended_before": f"a pilot of {self.ended} iterations"} if self.ended else {}),
        }

    def _curvature(self) -> dict[str, Any]:
        if not self.lower.limits:
            return {}
        found = {"curvature": self.start.L, "limits": self.start.limits}
        if self.lower.L > self.start.L:
            found["curvature_of_pilots"] = self.lower.L
        if self.growth:
            found["curvature_growth"] = self.growth
        return found


Watch = Callable[[Tried], None]
"""Called on every rank with each pilot, once it is judged."""


def tuned(
    setup: Setup, stopping: Stopping | None = None, watch: Watch = lambda tried: None
) -> Setup:
    """Return the setup of a run with the step sizes that its configuration leaves open; collective.

    It is the same on every rank, whatever their number. Nothing is written, and the counts of the
    run do not include what it took, which the section `[tuning]` of its configuration has.

    Parameters
    ----------
    setup : Setup
        Its configuration has the keys in `auto`.
    stopping : Stopping, optional
        What may end the pilots, and the run after them; default: signals and `run.max_seconds` from
        now on.
    watch : callable, optional
        Called on every rank with each pilot.

    Raises
    ------
    UserError
        On all ranks: no step size works, or the curvature of g is unknown.
    Stopped, KeyboardInterrupt
        On all ranks: a signal came to any of them, or the time is up.
    """
    config = setup.config
    if not config.auto:
        return setup
    stopping = stopping or Stopping(setup.agents, config.run.max_seconds)
    with stopping:
        found = tune(setup, stopping, watch)
    setup.W.reset()
    method = _falling(with_numbers(setup.method, found.steps), found)
    steps = {**config.steps, **{key: _stored(getattr(method, key)) for key in found.steps}}
    record = {**found.record(), "found": {key: steps[key] for key in config.auto}}
    # The order of the keys of the record is that of the explanation.
    config = replace(config, steps=steps, auto=(), tuning=plain(record))
    return replace(setup, config=config, method=method)


def tune(setup: Setup, stopping: Stopping, watch: Watch) -> Tuning:
    """Find the step sizes of `config.auto`; collective. Parameters and errors as of `tuned`."""
    auto, iterations = setup.config.auto, setup.config.run.iterations
    pilots = Pilots(setup, stopping)
    start = lower = stable_lower_steps(setup, [key for key in auto if key != "alpha"])
    tried, growth = list[Tried](), 0.0
    shortest, second, *_, last = lengths(iterations)

    def steps_with(alpha: float | None) -> dict[str, float]:
        steps = {key: rounded(value) for key, value in lower.steps.items()}
        return steps if alpha is None else {"alpha": rounded(alpha), **steps}

    def judge(alpha: float | None, length: int, parts: Sequence[float] = PARTS) -> float:
        steps = steps_with(alpha)
        value = pilots.score(steps, length, parts)
        if lower.limits and length < last and isfinite(value):
            curvature = pilots.curvature(steps, length)
            value = value if curvature <= MAX_CURVATURE * start.L else inf
        tried.append(Tried(steps, length, value))
        watch(tried[-1])
        return value

    def settle(alpha: float | None, length: int) -> None:
        """Reduce beta and gamma where the curvature along the winner's pilot outgrows them.

        Where it never did, larger ones are tried after the second round.
        """
        nonlocal lower
        curvature = pilots.curvature(steps_with(alpha), length) if lower.limits else 0.0
        if lower.is_stable(curvature):
            if length == second and lower == start and lower.limits and affordable(length):
                increase(alpha, length)
            return
        # Where it falls already, they need no margin.
        grows = pilots.curvature(steps_with(alpha), ceil(length / 2)) < curvature
        lower = lower.at(curvature, SHARE if grows else 1.0)

    def increase(alpha: float | None, length: int) -> None:
        nonlocal lower
        before, value = lower, pilots.score(steps_with(alpha), length)
        lower = lower.times(INCREASE)
        if not judge(alpha, length) < value:
            lower = before

    def affordable(length: int) -> bool:
        """Whether the budget allows a pilot and the last one.

        That may begin from the start, with a smaller beta.
        """
        cost = pilots.cost()
        if lower.L == start.L and length > shortest:
            more = cost.expected(last, len(PARTS) + len(FEW) - 1)
        else:
            more = cost.expected(length, len(PARTS)) + cost.expected(last, len(FEW))
        return within_budget(more)

    def within_budget(more: float) -> bool:
        cost = pilots.cost()
        budget = BUDGET * cost.expected(counted(iterations), 0)
        return not cost.iterations or cost.calls + start.calls + more <= budget

    def confirm(alpha: float | None, length: int) -> float:
        """Judge the last pilot, more closely where what it took so far allows it."""
        nonlocal growth, lower
        steps = steps_with(alpha)
        for part in FEW[:-1]:
            pilots.metric(steps, ceil(part * length))
        rest = pilots.cost().expected(length - ceil(FEW[-2] * length), len(MANY) - len(FEW) + 1)
        parts = MANY if within_budget(rest) else FEW
        before = pilots.curvature(steps, ceil(length / 2)) if lower.limits else 0.0
        value = judge(alpha, length, parts)
        growth = 0.0
        if before > 0 and isfinite(value):
            after = pilots.curvature(steps, length)
            growth = outgrown(before, after)
            used = lower.at(after, lower.share)
            if not growth and lower.is_stable(after) and MAX_USED * lower.L < used.L < inf:
                lower = used
        return value

    def outgrown(before: float, after: float) -> float:
        """Return the a of k^a, as which the curvature will have outgrown beta and gamma, or 0."""
        if not before < after < inf:
            return 0.0
        a = log2(after / before)
        at_end = after * max(1.0, iterations / last) ** a
        return 0.0 if lower.is_stable(at_end) else rounded(a)

    first = first_value(setup.method, "alpha") or FALLBACK
    alpha, ended = None, 0
    for _ in range(MAX_REDUCTIONS + 1):
        if "alpha" in auto:
            alpha, value, _, ended = search(judge, confirm, first, iterations, affordable, settle)
        else:
            value = confirm(None, last)
        if isfinite(value):
            return Tuning(steps_with(alpha), start, lower, tried, pilots, ended, growth)
        if not lower.steps or pilots.iterations > counted(iterations):
            break
        lower = lower.times(REDUCTION)
    error = UserError(
        'steps: "auto" finds no step size with which '
        f"a run of {last} iterations does not diverge; "
        "give numbers, or look at the problem by mpidbo check"
    )
    raise_on_all_ranks(error)
    raise error


def _falling(method: Method, found: Tuning) -> Method:
    """Return a method whose constant step sizes, of those that were found, fall as 1/k^growth.

    The product of each with the curvature of g then stays below what it was in the last pilot.
    alpha falls as 1/k^0.5 at least.
    """
    *_, offset = lengths(found.pilots.setup.config.run.iterations)
    schedules: dict[str, Any] = {}
    for key in found.steps:
        schedule = getattr(method, key)
        a = max(found.growth, DECAY) if key == "alpha" else found.growth
        if a and isinstance(schedule, Power) and schedule.exponent == 0:
            schedules[key] = replace(schedule, exponent=-a, offset=float(offset))
    return replace(method, **schedules)


def rounded(value: float) -> float:
    """Return a step size of three digits, which a user can read and copy."""
    return float(f"{value:.{DIGITS}g}")


def _stored(schedule: Schedule) -> Any:
    """A step size as a configuration states it."""
    assert isinstance(schedule, Power)
    if schedule.exponent == 0:
        return schedule.start
    table = {"kind": schedule.kind, **asdict(schedule)}
    return table if schedule.warmup else {k: v for k, v in table.items() if k != "warmup"}

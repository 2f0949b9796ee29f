"""Detection of divergence: the first iteration, level, agent and oracle that are not finite."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._text import first_nonempty
from .._types import Array
from ..errors import Diverged
from ..parallel import Agents, host
from ..problems import Oracle, Sample
from .loop import Loop
from .outline import Outline, outlined

STEP_OF_LEVEL = {"x": "alpha", "y": "beta", "z": "gamma", "t": "gamma"}
"""The variables of the methods, and the step size that scales the steps of each."""


class DivergenceCheck:
    """A check that states are finite, which remembers the last one that was.

    Checking every iteration would cost a reduction over the ranks each time, so a run checks only
    where it evaluates or writes a checkpoint. Since draws are functions of k and no state is
    changed in place, the iterations since the last finite state can then be repeated one by one to
    find the first that failed.

    Parameters
    ----------
    loop : Loop
        Repeats iterations.
    agents : Agents
        The agents of this rank.
    smaller : str, optional
        Keys and numbers that an error recommends, in place of step sizes that were found.

    Attributes
    ----------
    last_finite : tuple of (int, state), or None
        The iterations done and the state of the last check that passed; an `Outline` of a large
        state, from which iterations cannot be repeated.
    """

    def __init__(self, loop: Loop, agents: Agents, smaller: str = "") -> None:
        self.loop, self.agents, self.smaller = loop, agents, smaller
        self.last_finite: tuple[int, Any] | None = None

    def check(self, k: int, state: Any) -> None:
        """Raise Diverged unless the state after k iterations is finite; collective."""
        levels = self._broken_levels(state)
        if not levels:
            self.keep(k, state)
            return
        first, cause, seen = k, "", f"found by iteration {k}"
        if self.last_finite is not None:
            done, before = self.last_finite
            if isinstance(before, Outline):
                seen = f"finite after iteration {done}"
            else:
                first, levels, cause = self._find_first(done, before, k, levels)
        steps = " or ".join(dict.fromkeys(f"steps.{STEP_OF_LEVEL[level]}" for level in levels))
        if self.smaller:
            steps = f'the step sizes that "auto" found to a quarter: {self.smaller}'
        remedy = f"first was {cause}; fix it, or reduce {steps}" if cause else f"reduce {steps}"
        plural, named = "s" if len(levels) > 1 else "", " and ".join(levels)
        error = Diverged(
            f"diverged: level{plural} {named} not finite after iteration {first}, {seen}; {remedy}"
        )
        error.iteration, error.level = first, named
        raise error

    def keep(self, k: int, state: Any) -> None:
        """Remember a state that is finite after k iterations."""
        self.last_finite = (k, outlined(state, self.agents))

    def _find_first(
        self, start: int, before: Any, k: int, levels: list[str]
    ) -> tuple[int, list[str], str]:
        """Repeat the iterations from a finite state, after `start` of them, up to k.

        Returns
        -------
        tuple of (int, list of str, str)
            The first iteration that fails, its levels, and the oracle and agent that failed or "".
        """
        for done in range(start, k):
            state = self.loop.steps(before, done, done + 1)
            broken = self._broken_levels(state)
            if broken:
                cause = self._cause(before, done)
                # Without a failing oracle a step was too long: the largest level overflowed first.
                return done + 1, broken if cause else [self._largest_level(before, broken)], cause
            self.last_finite = (done + 1, state)
            before = state
        return k, levels, ""

    def _cause(self, state: Any, k: int) -> str:
        """The oracle and agent whose answer makes iteration k not finite; "" for none."""
        recorder = _FailureRecorder(self.loop.oracle)
        self.loop.method.step(k, recorder, self.loop.W, state)  # type: ignore[arg-type]
        found = self.agents.allgather_text(recorder.found)
        return first_nonempty(found)

    def _largest_level(self, state: Any, levels: list[str]) -> str:
        """The level with the largest entry over all agents."""
        mine = [
            [float(abs(getattr(state, level)[i]).max()) for level in levels]
            for i in range(self.agents.m)
        ]
        sizes = self.agents.gather(np.array(mine))
        return levels[int(sizes.max(axis=0).argmax())]

    def _broken_levels(self, state: Any) -> list[str]:
        """The levels with an entry that is not finite, or whose square is not."""
        limit = np.sqrt(np.finfo(self.loop.oracle.dtype).max)
        levels = [level for level in STEP_OF_LEVEL if hasattr(state, level)]
        # `not <`, as a comparison with NaN is false
        mine = [not np.abs(getattr(state, level)).max() < limit for level in levels]
        counts = self.agents.allreduce_sum(np.array(mine, np.int64))
        return [level for level, count in zip(levels, counts, strict=True) if count]


class _FailureRecorder:
    """An oracle that records the first answer that is not finite at arguments that are."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.found = oracle, ""

    def draw(self, *draw: Any, **options: Any) -> "_RecordedSample":
        return _RecordedSample(self, self.oracle.draw(*draw, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.oracle, name)

    def record(self, name: str, rows: tuple[Array, ...], answer: Array) -> None:
        """Note which agent's answer is not finite, unless another one was found before."""
        bad = ~np.isfinite(host(answer)).all(axis=1)
        if bad.any() and not self.found and all(np.isfinite(host(part)).all() for part in rows):
            agent = self.oracle.agents.first + int(bad.argmax())
            self.found = f"{name} of agent {agent}"


class _RecordedSample:
    """A draw whose answers are shown to a recorder."""

    def __init__(self, recorder: _FailureRecorder, sample: Sample) -> None:
        self.recorder, self.sample = recorder, sample

    def __getattr__(self, name: str) -> Callable[..., Array]:
        oracle = getattr(self.sample, name)

        def recorded(*rows: Array) -> Array:
            answer = oracle(*rows)
            self.recorder.record(name, rows, answer)
            return answer

        return recorded

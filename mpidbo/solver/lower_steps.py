"""Step sizes of the lower level, from the curvature of g and the spectra of the topologies."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf
from typing import Self

import numpy as np

from ..algorithms import SAFETY_FACTOR, Method, largest_curvature
from ..parallel import Threads, agreed
from .pilots import first_value
from .setup import Setup

SHARE = 0.5
"""Of the largest stable step size."""
LEVELS = {"beta": ("y",), "gamma": ("z", "t")}
"""Step size -> the levels that take it."""


@dataclass(frozen=True)
class LowerSteps:
    """Step sizes of the lower level, and what they follow from."""

    method: Method
    others: dict[str, float]
    """Those that do not depend on g."""
    limits: dict[str, float]
    """Step size -> its product with the curvature up to which the strategies are stable."""
    L: float = 0.0
    """Estimate of the largest curvature of g in y."""
    share: float = SHARE
    """Of the largest stable step sizes."""
    calls: int = 0
    """Calls of oracles, total over agents."""

    @property
    def steps(self) -> dict[str, float]:
        """Step size -> its value."""
        curvatures = self.method.curvatures(self.L)
        steps = {key: self.share * limit / curvatures[key] for key, limit in self.limits.items()}
        others = {key: self.share / SHARE * value for key, value in self.others.items()}
        return {**others, **steps}

    def is_stable(self, curvature: float) -> bool:
        """Return whether they are stable for another curvature of g, or that is not finite."""
        return not self.L < self.share * (curvature + _ridge(self.method)) < inf

    def at(self, curvature: float, share: float) -> Self:
        """Return a share of the largest stable ones for another curvature of g."""
        return replace(self, L=SAFETY_FACTOR * (curvature + _ridge(self.method)), share=share)

    def times(self, factor: float) -> Self:
        """Return all of them times a factor."""
        return replace(self, share=factor * self.share)


def stable_lower_steps(setup: Setup, keys: Collection[str]) -> LowerSteps:
    """Return half of the largest stable step sizes of the lower level; collective.

    Parameters
    ----------
    setup : Setup
    keys : collection of str
        Those of "beta" and "gamma" that are wanted. One that does not depend on g is the method's,
        as is one of a problem without g.
    """
    method = setup.method
    lacking = [getattr(problem, "g_y", None) is None for problem in setup.problems]
    has_g = not setup.agents.allreduce_sum(np.array([any(lacking)], np.int64))[0]
    wanted = [key for key in keys if has_g and key in method.curvatures(1.0)]
    others = {key: first_value(method, key) for key in keys if key not in wanted}
    if not wanted:
        return LowerSteps(method, others, {})
    with Threads(setup.config.run.threads).limited():
        found = largest_curvature(
            setup.oracle, *setup.rows(), f"steps.{wanted[0]}", "give a number in place of auto"
        )
    L = SAFETY_FACTOR * (found.value + _ridge(method))
    return LowerSteps(method, others, _limits(setup, wanted), L, calls=found.calls)


def _ridge(method: Method) -> float:
    return 0.0 if method.lower_ridge is None else method.lower_ridge.largest


def _limits(setup: Setup, keys: Collection[str]) -> dict[str, float]:
    """Largest stable products of step size and curvature, by the spectra that rank 0 knows."""
    text = ""
    with agreed(setup.agents.comm):
        if setup.agents.rank == 0:
            text = " ".join(repr(_limit(setup, LEVELS[key])) for key in keys)
    values = map(float, setup.agents.bcast_text(text).split())
    return dict(zip(keys, values, strict=True))


def _limit(setup: Setup, levels: Collection[str]) -> float:
    """The largest stable product at the levels of a step size; 2 where none of them gossips."""
    limit = 2.0
    strategies = setup.method.strategies()
    for level in levels:
        if level not in strategies:
            continue
        topology = setup.levels[level]
        for graph in topology.graphs:
            stable = strategies[level].max_step(min(graph.mean.lambda_min, 1.0))
            limit = min(limit, stable / topology.turns.every)
    return limit

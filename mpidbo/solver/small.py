"""Whether a problem is small: then an evaluation may solve its lower level."""

from math import prod
from typing import Any

import numpy as np

from ..parallel import Agents

MAX_DIMENSION = 100
"""Of y: conjugate gradients take up to as many products for a step of Newton's method."""
MAX_AGENTS = 64
MAX_NUMBERS = 200_000
"""In the data of all agents, which each of these products goes through."""
MAX_DEPTH = 4
"""Of containers in a problem that are searched for data."""


def is_small(problems: list[Any], agents: Agents) -> bool:
    """Return whether the lower level can be solved at every evaluation; collective.

    It depends on dims, the number of agents and the size of their data, never on time, and not on
    the number of ranks.

    Parameters
    ----------
    problems : list of Problem
        The problems of this rank's agents.
    agents : Agents
    """
    own = np.array([sum(numbers_in(_data(problem)) for problem in problems)])
    total = agents.allreduce_sum(own)[0]
    _, q = problems[0].dims
    return bool(q <= MAX_DIMENSION and agents.n <= MAX_AGENTS and total <= MAX_NUMBERS)


def _data(problem: Any) -> dict[str, Any]:
    """Its attributes, without the oracles of `Stackable`, which have its data once more."""
    return {name: value for name, value in vars(problem).items() if name != "_alone"}


def numbers_in(value: Any, depth: int = 0) -> int:
    """Count the numbers in arrays and tensors of a value, in containers and objects of mpidbo."""
    if depth > MAX_DEPTH:
        return 0
    if isinstance(value, dict):
        return sum(numbers_in(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(numbers_in(item, depth + 1) for item in value)
    if hasattr(value, "__dict__") and type(value).__module__.startswith("mpidbo."):
        return numbers_in(vars(value), depth + 1)
    shape = getattr(value, "shape", None)
    return prod(shape) if isinstance(shape, tuple) else 0

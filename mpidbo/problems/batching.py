"""Stacked oracles of a problem, and the choice of those that are exact.

A stacked oracle answers for all agents of a rank in one call.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._types import Array, Float
from .._warning import warn
from ..parallel import ALONE, Host, Workers
from .base import ORACLES, PRODUCTS
from .blocks import Blocks
from .stackable import Stackable

Stacked = Mapping[str, Callable[..., Array]]
"""Stacked oracles by their names."""
Draw = Callable[[Iterable[np.random.Generator]], Sequence[Any]]
"""The samples of agents, given their generators, each of which is valid until the next is taken."""


def stack_of(problems: list[Any], workers: Workers = ALONE) -> Any:
    """Return what the problem's class offers for all these agents at once, or None.

    With several workers each has the agents of its own part at once.
    """
    cls = type(problems[0])
    if not hasattr(cls, "stacked"):
        return None
    parts = [problems[part.start : part.stop] for part in workers.parts(len(problems))]
    stacks = [cls.stacked(part) for part in parts]
    if len(stacks) == 1 or None in stacks:
        return stacks[0]
    return Blocks(np, stacks, [len(part) for part in parts], workers)


def stacked_oracles(stack: Any) -> dict[str, Callable[..., Array]]:
    """Return the oracles of `stack_of` by name."""
    return {name: getattr(stack, name) for name in ORACLES if hasattr(stack, name)}


def stacked_draw(stack: Any, problems: list[Any]) -> Draw:
    """Return the function from the agents' generators to their samples.

    It is that of the stack where the agents' own `draw` is defined by it.
    """
    if stack is not None and getattr(type(problems[0]), "draw", None) is Stackable.draw:
        draw: Draw = stack.draw
        return draw
    return lambda rngs: [problem.draw(rng) for problem, rng in zip(problems, rngs, strict=True)]


def exact_oracles(
    stacked: Stacked,
    problems: list[Any],
    samples: Sequence[Any],
    start: tuple[Float[Array, " p"], Float[Array, " q"]],
    backend: Host,
    dtype: Any,
) -> dict[str, Callable[..., Array]]:
    """Return the stacked oracles that give the bits of their agents; warn of the others.

    Each is tried at one point near `start`, with these samples.
    """
    rng = np.random.default_rng(0)
    x, y = start
    point = [
        backend.array((part + rng.standard_normal(part.shape) / 10).astype(dtype))
        for part in (x, y, y)
    ]
    exact = {}
    with np.errstate(all="ignore"):
        for name, oracle in stacked.items():
            taken = point if name in PRODUCTS else point[:2]  # x and y, or also v
            if _is_exact(oracle, name, problems, samples, taken, backend):
                exact[name] = oracle
    inexact = [name for name in stacked if name not in exact]
    if inexact:
        warn(
            f"problem {type(problems[0]).__name__}: its stacked {', '.join(inexact)} gives other "
            "bits than its agents, so "
            'they are called one by one; run.batched = "always" is faster, with numbers that '
            "depend on the number of ranks"
        )
    return exact


def _is_exact(
    oracle: Callable[..., Array],
    name: str,
    problems: list[Any],
    samples: Sequence[Any],
    point: Sequence[Array],
    backend: Host,
) -> bool:
    """Whether the stacked oracle returns what each agent returns at a common point, to the bit."""
    stacked_point = [backend.xp.repeat(part[None], len(problems), axis=0) for part in point]
    rows = oracle(*stacked_point, samples)
    for row, problem, sample in zip(rows, problems, samples, strict=True):
        single = getattr(problem, name)(*point, sample)
        both_nan = (row != row) & (single != single)
        if not bool(((row == single) | both_nan).all()):
            return False
    return True

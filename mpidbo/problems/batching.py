"""Stacked oracles of a problem, and the choice of those that are exact.

A stacked oracle answers for all agents of a rank in one call.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._types import Array, Float
from .._warning import warn
from ..parallel import Host
from .base import ORACLES, PRODUCTS

Stacked = Mapping[str, Callable[..., Array]]
"""Stacked oracles by their names."""


def stacked_oracles(problems: list[Any]) -> dict[str, Callable[..., Array]]:
    """Return the oracles that the problem's class offers for all these agents at once, by name."""
    cls = type(problems[0])
    stacked = cls.stacked(problems) if hasattr(cls, "stacked") else None
    return {name: getattr(stacked, name) for name in ORACLES if hasattr(stacked, name)}


def exact_oracles(
    stacked: Stacked,
    problems: list[Any],
    samples: list[Any],
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
    samples: list[Any],
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

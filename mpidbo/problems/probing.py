"""First calls of a problem's oracles, before a run starts.

They show whether all that the method needs is there, in the right shapes.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .answers import check_answer, returned
from .base import DERIVATIVES, PRODUCTS, width
from .oracle import Oracle


def require(problems: list[Any], names: Iterable[str], method: str) -> None:
    """Raise UserError if a problem lacks one of these oracles, which `method` needs."""
    missing = [name for name in names if any(getattr(p, name, None) is None for p in problems)]
    if missing:
        pronoun = "it" if len(missing) == 1 else "them"
        raise UserError(
            f"problem {type(problems[0]).__name__}: {' and '.join(missing)} missing, needed by "
            f"{method}; define {pronoun} or choose a method that does without (see: mpidbo methods)"
        )


def probe(
    oracle: Oracle, names: Iterable[str], x: Float[Array, " p"], y: Float[Array, " q"]
) -> dict[str, Float[np.ndarray, " m"]]:
    """Call the losses, the projections and the named oracles of every agent once, at (x, y).

    Returns
    -------
    dict
        f and g of the agents on their full batch, as far as they are defined.

    Raises
    ------
    UserError
        A loss is not a number, or an answer has not the shape or the place of the run's arrays.
    """

    def point(name: str = "") -> list[Array]:
        """The arguments of an oracle, copied: a problem's mistake must not change the start."""
        parts = [x, y, y] if name in PRODUCTS else [x, y]
        return [oracle.backend.array(part.copy()) for part in parts]

    problems = oracle.problems
    losses = {
        loss: oracle.losses(loss, *point())
        for loss in ("f", "g")
        if all(getattr(problem, loss, None) is not None for problem in problems)
    }
    for level, part in zip("xy", point(), strict=True):
        if level in oracle.constrained:
            _check_projection(problems[0], level, part)
    samples = oracle.draw(0).samples
    for name in names:
        columns = width(name, oracle.dims)
        for i, (problem, sample) in enumerate(zip(problems, samples, strict=True)):
            answer = getattr(problem, name)(*point(name), sample)
            agent = oracle.agents.first + i
            check_answer(problem, name, agent, answer, columns, oracle.backend.xp)
        if name in oracle.stacked:
            rows = [np.repeat(part[None], len(problems), axis=0) for part in point(name)]
            _check_stacked(problems, name, oracle.stacked[name](*rows, samples), columns)
    return losses


def seconds_of_call(
    oracle: Oracle, names: Iterable[str], x: Float[Array, " p"], y: Float[Array, " q"]
) -> float:
    """Return the mean time of a call for all agents at (x, y), over the derivatives of `names`."""
    trial, m, rows = oracle.twin(), len(oracle.problems), oracle.backend.rows
    sample = trial.draw(0)
    trial.seconds = 0.0  # without the draw
    x, y = (rows(np.repeat(part[None], m, axis=0)) for part in (x, y))
    called = [name for name in names if name in DERIVATIVES]
    with np.errstate(all="ignore"):
        for name in called:
            getattr(sample, name)(x, y, *([y] if name in PRODUCTS else []))
    return trial.seconds / max(1, len(called))


def _check_projection(problem: Any, level: str, part: Array) -> None:
    name = f"project_{level}"
    answer, expected = returned(getattr(problem, name)(part)), f"shape ({part.size},)"
    if answer != expected:
        raise UserError(
            f"problem {type(problem).__name__}.{name}: returns {answer}, expected {expected}; "
            "fix it"
        )


def _check_stacked(problems: list[Any], name: str, answer: Any, columns: int) -> None:
    if np.shape(answer) != (len(problems), columns):
        raise UserError(
            f"problem {type(problems[0]).__name__}.stacked: its {name} returns shape "
            f"{np.shape(answer)}, expected ({len(problems)}, {columns}); fix it, or leave it out"
        )

"""The section `[tune]` of a study; see tuning.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from .._fields import Doc, Range, from_table
from ..errors import UserError, shown

MIN_HALVING_ITERATIONS = 9
"""The first trials of halving take a ninth of the iterations of a full one."""


@dataclass(frozen=True)
class Tuning:
    """Keys of `[tune]`."""

    how: Literal["grid", "halving"] = "grid"
    budget: Annotated[
        int, Range(1), Doc("iterations of all trials of one method on one topology")
    ] = 10000
    iterations: Annotated[int, Range(1), Doc("iterations of a full trial")] = 1000
    seed: Annotated[int, Range(0), Doc("seed of the trials")] = 1000
    extend: Annotated[
        int, Range(0), Doc("how often choices are added beyond a winner at their edge")
    ] = 0
    steps: Annotated[Mapping[str, Any], Doc("choices of step sizes")] = field(default_factory=dict)
    method: Annotated[Mapping[str, Any], Doc("choices of the methods' own constants")] = field(
        default_factory=dict
    )


def tuning_of(value: Any) -> Tuning:
    """Return the checked keys of `[tune]`. Raises UserError."""
    tune = from_table(Tuning, value, "tune")
    if tune.how == "halving" and tune.iterations < MIN_HALVING_ITERATIONS:
        raise UserError(
            f"tune.iterations: {tune.iterations} is out of range; "
            f"halving needs at least {MIN_HALVING_ITERATIONS}"
        )
    if tune.budget < tune.iterations:
        raise UserError(
            f"tune.budget: {tune.budget} iterations are not enough for one trial of "
            f"{tune.iterations}; give more"
        )
    if not tune.steps and not tune.method:
        raise UserError(
            "tune.steps: nothing to choose from; write for example steps.alpha = [0.001, 0.01, 0.1]"
        )
    for section, table in (("steps", tune.steps), ("method", tune.method)):
        for key, choices in table.items():
            if not isinstance(choices, list) or not choices:
                raise UserError(
                    f"tune.{section}.{key}: {shown(choices)} is not a list of choices; "
                    "write one such as [0.001, 0.01, 0.1]"
                )
    return tune

"""Exact Diffusion or EXTRA for y and z, gradient tracking for x alone, in data hyper-cleaning."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..._types import Array, Float
from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, grid, study_tables
from .comparison import AS_GOOD, Comparison, as_good, better, mean_std
from .corrected_strategies import CHOICES, cleaning, dtype, error
from .outcome import Outcome
from .panels import panels

PURE = {"sparkle-ed-gt": "sparkle-ed", "sparkle-extra-gt": "sparkle-extra"}
GT = "sparkle-gt"
SIZES = {"quick": (8, 300, 5), "standard": (10, 600, 10), "full": (10, 5000, 5)}
"""n, T, seeds."""


class MixedStrategies(Claim):
    """Floats are counted until the error stays within a tenth of GT's own at the end."""

    statement = (
        "SPARKLE-ED-GT and EXTRA-GT are as good as ED and EXTRA, and reach the accuracy of GT with "
        "fewer floats"
    )
    source = "SPARKLE, sections 3 and 5 (Zhu et al., NeurIPS 2024, arXiv 2411.14166)"
    rule = (
        "hyper-cleaning at corruption 0.3, steps tuned for each method by the same number of "
        "trials, ring: the mixed method's test error at the end is at most 1.1 times that of the "
        "pure one; it comes within 1.1 times GT's error at the end, and stays there, with fewer "
        "floats than GT"
    )
    full_hours = 10

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, T, seeds = SIZES[size]
        return {
            "cleaning": study_tables(
                [*PURE, *PURE.values(), GT],
                ["ring"],
                seeds,
                "test_accuracy",
                problem=cleaning(size),
                tune=grid(4 * T, T, **CHOICES[size]),
                run={
                    "agents": n,
                    "iterations": T,
                    "evaluate_every": T // 30,
                    "dtype": dtype(size),
                },
            )
        }

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        outcome = found["cleaning"]
        errors = {method: error(outcome, method, "ring") for method in outcome.methods}
        targets = AS_GOOD * errors[GT]
        floats = {method: floats_until(outcome, method, targets) for method in outcome.methods}
        for mixed, pure in PURE.items():
            yield as_good(
                f"{mixed}, error",
                f"{mixed} {mean_std(errors[mixed])}, {pure} {mean_std(errors[pure])}",
                errors[pure],
                errors[mixed],
            )
        for mixed in PURE:
            yield better(
                f"{mixed}, millions of floats",
                f"{mixed} {in_millions(floats[mixed])}, {GT} {in_millions(floats[GT])}",
                floats[GT],
                floats[mixed],
            )

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        outcome = found["cleaning"]
        shown: dict[str, dict[str, tuple[Array, Array]]] = {}
        for column, name in (("iteration", "iterations"), ("floats", "floats sent")):
            panel = shown[f"against {name}"] = {}
            for method in outcome.methods:
                x, accuracy = outcome.curve(method, "ring", x=column)
                panel[method] = (x, 1 - accuracy)
        return [panels(out, "curves", shown, "", "test error", log=True)]


def in_millions(floats: Float[Array, " seeds"]) -> str:
    """Millions of floats, with how many seeds never reached the target."""
    never = int(np.isinf(floats).sum())
    if not never:
        return mean_std(floats / 1e6)
    return f"{np.median(floats) / 1e6:.3g}, {never} of {len(floats)} never"


def floats_until(
    outcome: Outcome, method: str, targets: Float[Array, " seeds"]
) -> Float[Array, " seeds"]:
    """The floats until the mean error of all later evaluations is at most the seed's target.

    inf where it never is.
    """
    floats = outcome.column(method, "ring", "floats")
    errors = 1 - outcome.column(method, "ring")
    evaluations_left = np.arange(errors.shape[1], 0, -1)
    mean_of_rest = np.cumsum(errors[:, ::-1], axis=1)[:, ::-1] / evaluations_left
    good = mean_of_rest <= targets[:, None]
    first = np.take_along_axis(floats, good.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(good.any(axis=1), first, np.inf)

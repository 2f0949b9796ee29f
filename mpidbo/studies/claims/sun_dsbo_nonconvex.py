"""SUN-DSBO-GT on MEHA's toy problem, whose lower level has many minimizers, beside SPARKLE."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..._types import Array, Bool, Float
from ...reports import COLUMN_WIDTH, FigureFolder, new_figure
from ..study import Tables
from .base import Claim, Size, grid, study_tables
from .comparison import Comparison, better, mean_std
from .outcome import Outcome
from .panels import panels

SUN, SPARKLE = "sun-dsbo-gt", ("sparkle-gt", "sparkle-ed")
TOPOLOGY = "ring"
STEPS: dict[str, list[float]] = {
    "alpha": [0.03, 0.1, 0.3, 1.0],
    "beta": [0.1, 0.3],
    "gamma": [0.1, 0.3],
}
SIZES = {"quick": (4, 1200, 6, 5), "standard": (10, 3000, 24, 20), "full": (10, 10000, 100, 10)}
"""n, T, starts, seeds of the residual."""
FARTHEST = 10.0
"""Starts are drawn from -FARTHEST to FARTHEST."""
MAX_DISTANCE = 0.1
"""A run that ends nearer to x* has arrived."""
LIGHT = 60
"""Percent above which a number is white on dark."""
MIN_SHARE = 0.05
"""A difference of shares that matters."""


class SunDsboNonconvex(Claim):
    """Every method from every start with every choice of step sizes.

    The minimizers of g are the branches y = c - x - pi/2 + 2 pi k. With small steps a method
    descends f along the branch where it starts, and ends at the best point of that branch; larger
    steps of x may change the branch. SUN-DSBO moves y between branches while mu is large. y starts
    at 0.
    """

    statement = (
        "SUN-DSBO-GT solves a bilevel problem with a nonconvex lower level on which SPARKLE fails, "
        "and its residual G - V decreases"
    )
    source = (
        "SUN-DSBO (Ma, Wang, Yao, Zhang, arXiv 2601.22682); the toy is MEHA's (Liu et al., ICML "
        "2024), x* = 3 pi/4"
    )
    rule = (
        "agents with different f and g, ring, starts x drawn from -10 to 10, 16 choices of step "
        "sizes: the share of choices that end within 0.1 of x* is, averaged over starts, larger "
        "for SUN-DSBO-GT than for SPARKLE-GT and ED; from x = -6 the refined residual G - V of "
        "SUN-DSBO-GT, steps tuned, falls to a tenth of its largest value"
    )
    full_hours = 5

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, T, starts, seeds = SIZES[size]
        mu = {"kind": "power", "start": 0.5, "exponent": -0.49}
        methods: list[dict[str, Any]] = [
            {"name": SUN, "lam": 0.9, "mu": mu},
            *({"name": name} for name in SPARKLE),
        ]
        problem = {"name": "nonconvex-toy", "heterogeneity": 0.5, "noise": 0.1}
        run = {"agents": n, "iterations": T, "evaluate_every": T // 40}
        with_steps = [
            {
                **method,
                "steps": dict(zip(STEPS, values, strict=True)),
                "label": label(method["name"], values),
            }
            for method in methods
            for values in product(*STEPS.values())
        ]
        found = {
            "residual": study_tables(
                methods[:1],
                [TOPOLOGY],
                seeds,
                problem=problem,
                tune=grid(16 * (T // 2), T // 2, **STEPS),
                run={**run, "metrics": ["refined_residual"]},
            )
        }
        for x in np.random.default_rng(0).uniform(-FARTHEST, FARTHEST, starts).round(2).tolist():
            found[f"from {x:g}"] = study_tables(
                with_steps, [TOPOLOGY], 1, problem={**problem, "x0": x}, run=run
            )
        return found

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        sun = shares(found, SUN)
        for method in SPARKLE:
            theirs = shares(found, method)
            yield Comparison(
                f"share of steps that arrive, {method}",
                f"{SUN} {mean_std(sun)}, {method} {mean_std(theirs)}",
                sun - theirs,
                effect=MIN_SHARE,
            )
        largest = found["residual"].column(SUN, TOPOLOGY, "refined_residual").max(axis=1)
        late = found["residual"].end(SUN, TOPOLOGY, name="refined_residual")
        words = f"largest {mean_std(largest)}, at the end {mean_std(late)}"
        yield better("G - V", words, largest, late, times=10)

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        starts = np.array([float(key.removeprefix("from ")) for key in found if is_start(key)])
        order = np.argsort(starts)
        arrived = {
            method: (starts[order], shares(found, method)[order][None])
            for method in (SUN, *SPARKLE)
        }
        shown = {"share of the choices of step sizes that arrive": arrived}
        return [panels(out, "curves", shown, "start x", "share"), draw_steps(out, found)]


def label(method: str, steps: Sequence[float]) -> str:
    """The label of a method with step sizes."""
    return " ".join([method, *(f"{step:g}" for step in steps)])


def is_start(key: str) -> bool:
    """Whether a study is that of a start."""
    return key.startswith("from ")


def shares(found: Mapping[str, Any], method: str) -> Float[Array, " starts"]:
    """For each start the share of the choices of step sizes that end at x*."""
    return arrivals(found, method).mean(axis=1)


def arrivals(found: Mapping[str, Any], method: str) -> Bool[Array, "starts choices"]:
    """Whether the run from a start with a choice of step sizes ends at x*."""
    labels = [label(method, values) for values in product(*STEPS.values())]
    ends = [
        [found[key].end(name, TOPOLOGY)[0] for name in labels] for key in found if is_start(key)
    ]
    return np.array(ends) < MAX_DISTANCE


def draw_steps(out: FigureFolder, found: Mapping[str, Any]) -> Path:
    """Draw the share of the starts that arrive, for each choice of step sizes."""
    alphas, others = STEPS["alpha"], [*product(STEPS["beta"], STEPS["gamma"])]
    methods = (SUN, *SPARKLE)
    with out.text():
        if out.column:
            figure = new_figure(COLUMN_WIDTH, 1.9 * len(methods))
            axes = figure.subplots(len(methods), 1, squeeze=False, sharex=True)
        else:
            figure = new_figure(9.0, 3.2)
            axes = figure.subplots(1, len(methods), squeeze=False, sharey=True)
        for ax, method in zip(axes.flat, methods, strict=True):
            share = 100 * arrivals(found, method).mean(axis=0).reshape(len(alphas), len(others))
            ax.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto")
            for (row, column), value in np.ndenumerate(share):
                color = "white" if value > LIGHT else "black"
                ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=color)
            ax.set_title(method)
            ax.set_xticks(range(len(others)), [f"{beta:g}, {gamma:g}" for beta, gamma in others])
            ax.set_yticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
        for ax in axes[-1]:
            ax.set_xlabel("beta, gamma")
        for ax in axes[:, 0]:
            ax.set_ylabel("alpha")
        figure.suptitle("% of the starts that arrive", fontsize="medium")
        return out.save(figure, "steps")

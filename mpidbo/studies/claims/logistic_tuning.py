"""D-SOBA against MA-DSBO and MDBO in the hyper-parameter tuning of a logistic regression."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._types import Array, Float
from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, grid, study_tables
from .comparison import Comparison, cheaper
from .outcome import Outcome, cost_to_reach
from .panels import panels

OURS = "d-soba"
METHODS: dict[str, tuple[float, Any]] = {
    OURS: (5, "d-soba"),
    "ma-dsbo": (17, {"name": "ma-dsbo", "T": 5, "N": 5}),
    "mdbo": (8.5, {"name": "mdbo", "eta": 1.0}),
}
"""Method -> (oracle calls of an agent in an iteration, its table).

Of MDBO with J = 10 it is the mean over its random number of products.
"""
LEVELS = {"mild": 0.5, "severe": 2.0}
SIZES = {"quick": (8, 200, 5), "standard": (20, 1000, 20), "full": (20, 4000, 10)}
"""n, T of D-SOBA, seeds."""
COSTS = ("oracle calls", "floats")
REMAINING = 0.1
"""Share of the way from the first loss to the least one that is left at the target."""


class LogisticTuning(Claim):
    """Synthetic data of two heterogeneities on a ring, with equal oracle calls, in trials too.

    MA-DSBO takes 5 steps of y and of z in an iteration, fewer than its paper's 10, which favours it
    at this length; MDBO's eta = 1 mixes faster than its paper's 0.1. The choices of step sizes were
    changed twice. Up to alpha = 3 and then 30, every method took the largest, and some runs of
    MA-DSBO, whose bound on gamma is half that of D-SOBA, diverged. With the second choice one
    comparison did not hold: at mild heterogeneity MDBO needed 0.95 times the floats of D-SOBA. The
    start's loss, which is equal for all methods, was first taken from D-SOBA, where it is infinite
    for a seed that diverged.
    """

    statement = (
        "D-SOBA is faster than MA-DSBO and MDBO in logistic hyper-parameter tuning, by oracle "
        "calls and by floats sent"
    )
    source = "D-SOBA, first experiment (Kong et al., JMLR 26(240) 2025, arXiv 2402.03167)"
    rule = (
        "cost until the validation loss has done 90 % of the way from the start to the least value "
        "that any method ends at with that seed, and stays there; steps tuned by the same number "
        "of trials and oracle calls: less for D-SOBA than for either, in both"
    )
    full_hours = 0.5

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, T, seeds = SIZES[size]
        problem: dict[str, Any] = {"name": "logistic-tuning", "batch": 16}
        if size == "quick":
            problem |= {"features": 10, "classes": 3, "n_train": 800, "n_validation": 400}
        found: dict[str, Tables] = {}
        for level, heterogeneity in LEVELS.items():
            for name, (calls, table) in METHODS.items():
                iterations = round(T * METHODS[OURS][0] / calls)
                steps = {"theta": 0.2}
                if name != "mdbo":
                    steps["gamma"] = 0.2
                choices = {"alpha": [3.0, 10.0, 30.0, 100.0], "beta": [0.5, 1.0]}
                found[f"{level} {name}"] = study_tables(
                    [table],
                    ["ring"],
                    seeds,
                    "upper_loss",
                    problem={**problem, "heterogeneity": heterogeneity},
                    steps=steps,
                    tune=grid(8 * iterations, iterations, **choices),
                    run={
                        "agents": n,
                        "iterations": iterations,
                        "evaluate_every": max(1, iterations // 40),
                    },
                )
        return found

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for level in LEVELS:
            outcomes = {name: found[f"{level} {name}"] for name in METHODS}
            losses = {name: outcome.column(name, "ring") for name, outcome in outcomes.items()}
            least = np.min([values[:, -1] for values in losses.values()], axis=0)
            start = np.min([values[:, 0] for values in losses.values()], axis=0)
            targets = least + REMAINING * (start - least)
            for cost in COSTS:
                spent = {
                    name: cost_to_reach(losses[name], costs(outcome, name, cost), targets)
                    for name, outcome in outcomes.items()
                }
                ours = spent.pop(OURS)
                for name, theirs in spent.items():
                    yield cheaper(f"{level}, {cost}, {name}", {name: theirs}, {OURS: ours})

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        paths = []
        for cost in COSTS:
            shown: dict[str, dict[str, Any]] = {}
            for level in LEVELS:
                panel = shown[f"{level}, by {cost}"] = {}
                for name in METHODS:
                    outcome = found[f"{level} {name}"]
                    x = costs(outcome, name, cost).min(axis=0)
                    panel[name] = (x, outcome.column(name, "ring"))
            paths.append(
                panels(
                    out,
                    cost.replace(" ", "-"),
                    shown,
                    f"{cost}, all agents",
                    "validation loss",
                    log=True,
                )
            )
        return paths


def costs(outcome: Outcome, method: str, cost: str) -> Float[Array, "seeds evaluations"]:
    """Oracle calls or floats sent so far, by all agents; inf where the seed diverged."""
    columns = [cost]
    if cost == "oracle calls":
        columns = [f"calls_{oracle}" for oracle in ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy")]
    return np.sum([outcome.column(method, "ring", name) for name in columns], axis=0)

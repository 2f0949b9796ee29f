"""Gradients that differ without bound: SPARKLE converges, D-SOBA keeps a bias."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, halving, study_tables
from .comparison import Comparison, better, mean_std
from .outcome import Outcome
from .panels import panels

SPARKLE = ("sparkle-ed", "sparkle-extra", "sparkle-gt")
TOPOLOGY = "adjusted-ring"
LEVELS = {"mild": 0.5, "severe": 2.0}
SIZES = {"quick": (8, 2000, 5), "standard": (16, 6000, 20), "full": (16, 20000, 10)}
"""n, T, seeds."""
EXACT, BIASED = 1e-4, 1e-2
"""Distances to x* below which a method is exact, and above which it is biased."""
SMALLEST = 1e-12
"""Distances below count as this one, for their logarithm."""


class UnboundedDissimilarity(Claim):
    """f_i = x'A_i x + y'A_i y, whose gradients differ by 2 (A_i - A)(x, y).

    No constant bounds that. There is no noise, so that what is left at the end is bias. |x*| is
    about 1.
    """

    statement = (
        "SPARKLE needs no bound on the dissimilarity of gradients: it converges where there is "
        "none, and D-SOBA does not"
    )
    source = (
        "SPARKLE (Zhu et al., NeurIPS 2024, arXiv 2411.14166); the bound is an assumption of "
        "D-SOBA (Kong et al., JMLR 26(240) 2025)"
    )
    rule = (
        "distance to x* at the end, no noise, steps tuned for each method, a mild and a severe "
        "level: every SPARKLE's is below 1e-4, D-SOBA's above 1e-2"
    )
    full_hours = 0.3

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, T, seeds = SIZES[size]
        steps = {"alpha": [0.003, 0.01, 0.03, 0.1], "beta": [0.03, 0.1, 0.3], "gamma": [0.1, 0.3]}
        return {
            level: study_tables(
                [*SPARKLE, "d-soba"],
                [TOPOLOGY],
                seeds,
                problem={"name": "unbounded-dissimilarity", "heterogeneity": heterogeneity},
                tune=halving(3 * T, T // 2, **steps),
                run={"agents": n, "iterations": T, "evaluate_every": T // 40},
            )
            for level, heterogeneity in LEVELS.items()
        }

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for level, outcome in found.items():
            for method in SPARKLE:
                end = outcome.end(method, TOPOLOGY, 0.1)
                exact = np.full(len(end), EXACT)
                left = np.maximum(end, SMALLEST)
                yield better(f"{level}, {method}", mean_std(end), exact, left)
            end = outcome.end("d-soba", TOPOLOGY, 0.1)
            biased = np.full(len(end), BIASED)
            yield better(f"{level}, d-soba", mean_std(end), end, biased)

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        shown = {
            f"{level}, h = {LEVELS[level]:g}": {
                method: outcome.curve(method, TOPOLOGY) for method in outcome.methods
            }
            for level, outcome in found.items()
        }
        return [panels(out, "figure", shown, "iterations", "distance to x*", log=True)]

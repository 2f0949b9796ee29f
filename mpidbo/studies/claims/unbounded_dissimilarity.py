"""Gradients that differ without bound: SPARKLE converges, D-SOBA keeps a bias."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers
from .panels import panels

SPARKLE = ("sparkle-ed", "sparkle-extra", "sparkle-gt")
TOPOLOGY = "adjusted-ring"
LEVELS = {"mild": 0.5, "severe": 2.0}
EXACT, BIASED = 1e-4, 1e-2


class UnboundedDissimilarity(Claim):
    """f_i = x'A_i x + y'A_i y, whose gradients differ by 2 (A_i - A)(x, y), which no constant bounds.

    Without noise, so that what is left at the end is a bias and nothing else. |x*| is about 1. The full size takes about 15 minutes of CPU.
    """

    says = "SPARKLE needs no bound on the dissimilarity of gradients: it converges where there is none, and D-SOBA does not"
    source = "SPARKLE (Zhu et al., NeurIPS 2024, arXiv 2411.14166); the bound is an assumption of D-SOBA (Kong et al., JMLR 26(240) 2025)"
    rule = ("distance to x* at the end, no noise, steps tuned for each method, a mild and a severe level: every SPARKLE's is below 1e-4, "
            "D-SOBA's above 1e-2")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        n, T, seeds = (16, 20000, 10) if full else (8, 2000, 5)
        return {level: {
            "study": {"methods": [*SPARKLE, "d-soba"], "topologies": [TOPOLOGY], "seeds": seeds, "metric": "distance"},
            "tune": {"how": "halving", "budget": 3 * T, "iterations": T // 2,
                     "steps": {"alpha": [0.003, 0.01, 0.03, 0.1], "beta": [0.03, 0.1, 0.3], "gamma": [0.1, 0.3]}},
            "problem": {"name": "unbounded-dissimilarity", "heterogeneity": size},
            "run": {"agents": n, "iterations": T, "evaluate_every": T // 40}} for level, size in LEVELS.items()}

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        for level, outcome in found.items():
            for method in SPARKLE:
                end = outcome.end(method, TOPOLOGY, 0.1)
                yield Finding(f"{level}, {method}", numbers(end), log_ratio(EXACT, np.maximum(end, 1e-12)))
            end = outcome.end("d-soba", TOPOLOGY, 0.1)
            yield Finding(f"{level}, d-soba", numbers(end), log_ratio(end, BIASED))

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        curves = {f"{level}, h = {LEVELS[level]:g}": {
            method: (outcome.column(method, TOPOLOGY, "iteration")[0], outcome.column(method, TOPOLOGY))
            for method in outcome.methods} for level, outcome in found.items()}
        return [*super().draw(found, out), panels(out / "figure.png", curves, "iterations", "distance to x*", log=True)]

"""A graph for each level in data hyper-cleaning: which of them may be sparse."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers
from .corrected_strategies import TOLERANCE, choices, cleaning, error
from .panels import panels

METHODS = ("sparkle-ed", "sparkle-extra", "sparkle-gt")
DENSE: dict[str, Any] = {"name": "complete"}
SPARSE: dict[str, Any] = {"name": "adjusted-ring", "self_weight": 0.9}
GRAPHS = {
    "all dense": {"upper": DENSE, "lower": DENSE},
    "x sparse": {"upper": SPARSE, "lower": DENSE},
    "y and z sparse": {"upper": DENSE, "lower": SPARSE},
}


class SparseUpperGraph(Claim):
    """Of 10 agents the sparse graph has 1 - rho = 0.01. Full size: some 25 CPU hours."""

    says = "a sparser graph for x costs little, one for y and z much"
    source = "SPARKLE, the transient iterations of each level and the first experiment (Zhu et al., NeurIPS 2024, arXiv 2411.14166)"
    rule = ("test error of hyper-cleaning at corruption 0.3 after equal iterations, steps tuned for each method and choice of graphs by "
            "the same number of trials: with x on an adjusted ring instead of the complete graph it is at most 1.1 times as large, "
            "with y and z there more than 1.1 times as large as with x there; for ED, EXTRA and GT")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        T = 5000 if full else 150
        return {"cleaning": {
            "study": {"methods": [*METHODS], "topologies": [{"label": label, **graphs} for label, graphs in GRAPHS.items()],
                      "seeds": 5, "metric": "test_accuracy"},
            "tune": {"how": "grid", "budget": 4 * T, "iterations": T, "steps": choices(full)},
            "problem": cleaning(full),
            "run": {"agents": 10, "iterations": T, "evaluate_every": T // 15, "dtype": "float32" if full else "float64"}}}

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        for method in METHODS:
            dense, x, yz = (error(found["cleaning"], method, graphs) for graphs in GRAPHS)
            yield Finding(f"{method}, x", f"sparse {numbers(x)}, dense {numbers(dense)}", log_ratio(dense, x) + np.log10(TOLERANCE))
            yield Finding(f"{method}, y and z", f"sparse {numbers(yz)}, x sparse {numbers(x)}", log_ratio(yz, x) - np.log10(TOLERANCE))

    def draw(self, found: Mapping[str, Outcome], out: Path) -> list[Path]:
        outcome = found["cleaning"]
        shown = {method: {graphs: (outcome.column(method, graphs, "iteration")[0], 1 - outcome.column(method, graphs)) for graphs in GRAPHS}
                 for method in METHODS}
        return [panels(out / "curves.png", shown, "iterations", "test error", log=True)]

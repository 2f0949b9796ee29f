"""A graph for each level in data hyper-cleaning: which of them may be sparse."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..._types import Array
from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, grid, study_tables
from .comparison import AS_GOOD, Comparison, as_good, better, mean_std
from .corrected_strategies import CHOICES, cleaning, dtype, error
from .outcome import Outcome
from .panels import panels

METHODS = ("sparkle-ed", "sparkle-extra", "sparkle-gt")
SIZES = {"quick": (150, 5), "standard": (600, 10), "full": (5000, 5)}
"""T, seeds."""
DENSE: dict[str, Any] = {"name": "complete"}
SPARSE: dict[str, Any] = {"name": "adjusted-ring", "self_weight": 0.9}
GRAPHS = {
    "all dense": {"upper": DENSE, "lower": DENSE},
    "x sparse": {"upper": SPARSE, "lower": DENSE},
    "y and z sparse": {"upper": DENSE, "lower": SPARSE},
}


class SparseUpperGraph(Claim):
    """With 10 agents the sparse graph has 1 - rho = 0.01. The full size takes some 25 CPU hours."""

    statement = "a sparser graph for x costs little, one for y and z much"
    source = (
        "SPARKLE, the transient iterations of each level and the first experiment "
        "(Zhu et al., NeurIPS 2024, arXiv 2411.14166)"
    )
    rule = (
        "test error of hyper-cleaning at corruption 0.3 after equal iterations, steps tuned for "
        "each method and choice of graphs by the same number of trials: with x on an adjusted ring "
        "instead of the complete graph it is at most 1.1 times as large, with y and z there more "
        "than 1.1 times as large as with x there; for ED, EXTRA and GT"
    )

    def studies(self, size: Size) -> Mapping[str, Tables]:
        T, seeds = SIZES[size]
        return {
            "cleaning": study_tables(
                METHODS,
                [{"label": label, **graphs} for label, graphs in GRAPHS.items()],
                seeds,
                "test_accuracy",
                problem=cleaning(size),
                tune=grid(4 * T, T, **CHOICES[size]),
                run={
                    "agents": 10,
                    "iterations": T,
                    "evaluate_every": T // 15,
                    "dtype": dtype(size),
                },
            )
        }

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for method in METHODS:
            dense, x, yz = (error(found["cleaning"], method, graphs) for graphs in GRAPHS)
            yield as_good(
                f"{method}, x", f"sparse {mean_std(x)}, dense {mean_std(dense)}", dense, x
            )
            yield better(
                f"{method}, y and z",
                f"sparse {mean_std(yz)}, x sparse {mean_std(x)}",
                yz,
                x,
                AS_GOOD,
            )

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        outcome = found["cleaning"]
        shown: dict[str, dict[str, tuple[Array, Array]]] = {}
        for method in METHODS:
            panel = shown[method] = {}
            for graphs in GRAPHS:
                k, accuracy = outcome.curve(method, graphs)
                panel[graphs] = (k, 1 - accuracy)
        return [panels(out, "curves", shown, "iterations", "test error", log=True)]

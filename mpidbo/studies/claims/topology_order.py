"""D-SOBA's error on four graphs, by rho: complete, exponential, torus, adjusted ring."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...reports import FigureFolder, axis_label
from ..study import Tables
from .base import Claim, Size, study_tables
from .comparison import Comparison, better, mean_std
from .outcome import Outcome
from .panels import panels

METHOD = "d-soba"
SIZES = {"quick": (1200, 0.1, 5), "standard": (6000, 0.03, 20), "full": (20000, 0.03, 10)}
"""T, alpha, seeds."""
ORDER = ("complete", "exponential", "torus", "adjusted-ring")
"""By rho: 0, 0.41, 0.6 and 0.96 for 16 agents."""


class TopologyOrder(Claim):
    """The same step sizes on every graph, none of them lazy.

    The quick size takes the quadratic problem, in which T iterations reach the error of the step
    sizes with every seed; in linear regression, tried first, x* was too far away for some seeds.
    The standard size was first run with alpha = 0.1, at which one of 20 seeds diverges on every
    graph. The papers' size takes the hyper-cleaning of Fashion-MNIST too, which takes about 4 CPU
    hours.
    """

    statement = (
        "D-SOBA's error increases with rho: complete graph, exponential graph, torus, adjusted ring"
    )
    source = "D-SOBA, experiments (Kong et al., JMLR 26(240) 2025, arXiv 2402.03167)"
    rule = (
        "n = 16, equal steps and samples: the error over the last quarter (quadratic: distance to "
        "x*; hyper-cleaning: validation loss) is larger on each graph than on the one of the next "
        "smaller rho"
    )

    def studies(self, size: Size) -> Mapping[str, Tables]:
        T, alpha, seeds = SIZES[size]
        topologies = [{"name": name, "lazy": False} for name in ORDER]
        found = {
            "quadratic": study_tables(
                [METHOD],
                topologies,
                seeds,
                problem={"name": "quadratic", "noise": 0.03},
                steps={"alpha": alpha, "beta": 0.1, "gamma": 0.1},
                run={"agents": 16, "iterations": T, "evaluate_every": T // 40},
            )
        }
        if size == "full":
            data = {"data": "fashion-mnist", "corruption": 0.3, "concentration": 0.1, "batch": 50}
            found["hyper-cleaning"] = study_tables(
                [METHOD],
                topologies,
                5,
                "upper_loss",
                problem={"name": "hyper-cleaning", "model": "mlp", "hidden": [300], **data},
                steps={"alpha": 100.0, "beta": 0.1, "gamma": 0.1},
                run={"agents": 16, "iterations": 3000, "evaluate_every": 100, "dtype": "float32"},
            )
        return found

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for problem, outcome in found.items():
            ends = {name: outcome.end(METHOD, name) for name in ORDER}
            for dense, sparse in pairwise(ORDER):
                yield better(
                    f"{problem}, {dense} < {sparse}",
                    f"{mean_std(ends[dense])}, {mean_std(ends[sparse])}",
                    ends[sparse],
                    ends[dense],
                )

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        paths = []
        for key, outcome in found.items():
            shown = {f"D-SOBA, {key}": {name: outcome.curve(METHOD, name) for name in ORDER}}
            ylabel = axis_label(outcome.study.metric)
            paths.append(panels(out, key, shown, "iterations", ylabel, log=True))
        return paths

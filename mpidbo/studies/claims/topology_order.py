"""D-SOBA is the better the smaller rho: complete, exponential, torus, adjusted ring."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...reports.curves import LABELS
from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers
from .panels import panels

ORDER = ("complete", "exponential", "torus", "adjusted-ring")
"""By rho: of 16 agents 0, 0.41, 0.6 and 0.96."""


class TopologyOrder(Claim):
    """The same steps on every graph, none of them lazy.

    The quick size has the quadratic problem, in which T iterations reach the error of the steps whatever the seed (in linear regression,
    tried first, x* lay too far off for some seeds); the papers' has the hyper-cleaning of Fashion-MNIST too, which takes about 4 CPU
    hours.
    """

    says = "D-SOBA's error orders as rho does: complete graph, exponential graph, torus, adjusted ring"
    source = "D-SOBA, experiments (Kong et al., JMLR 26(240) 2025, arXiv 2402.03167)"
    rule = ("n = 16, equal steps and samples: the error over the last quarter (quadratic: distance to x*; hyper-cleaning: validation "
            "loss) is larger on each graph than on the one of the next smaller rho")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        T, seeds = (20000, 10) if full else (1200, 5)
        topologies = [{"name": name, "lazy": False} for name in ORDER]
        tables: dict[str, Tables] = {"quadratic": {
            "study": {"methods": ["d-soba"], "topologies": topologies, "seeds": seeds, "metric": "distance"},
            "problem": {"name": "quadratic", "noise": 0.03},
            "steps": {"alpha": 0.1, "beta": 0.1, "gamma": 0.1},
            "run": {"agents": 16, "iterations": T, "evaluate_every": T // 40}}}
        if full:
            tables["hyper-cleaning"] = {
                "study": {"methods": ["d-soba"], "topologies": topologies, "seeds": 5, "metric": "upper_loss"},
                "problem": {"name": "hyper-cleaning", "data": "fashion-mnist", "model": "mlp", "hidden": [300], "corruption": 0.3,
                            "concentration": 0.1, "batch": 50},
                "steps": {"alpha": 100.0, "beta": 0.1, "gamma": 0.1},
                "run": {"agents": 16, "iterations": 3000, "evaluate_every": 100, "dtype": "float32"}}
        return tables

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        for problem, outcome in found.items():
            ends = {name: outcome.end("d-soba", name) for name in ORDER}
            for better, worse in pairwise(ORDER):
                yield Finding(f"{problem}, {better} < {worse}", f"{numbers(ends[better])}, {numbers(ends[worse])}",
                              log_ratio(ends[worse], ends[better]))

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        paths = super().draw(found, out)
        for key, outcome in found.items():
            curves = {name: (outcome.column("d-soba", name, "iteration")[0], outcome.column("d-soba", name)) for name in ORDER}
            paths.append(panels(out / f"{key}.png", {f"D-SOBA, {key}": curves}, "iterations", LABELS[outcome.study.metric], log=True))
        return paths

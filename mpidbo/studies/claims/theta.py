"""D-SOBA's theta in hyper-cleaning on the adjusted ring: the weight of the newest estimate."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, study_tables
from .comparison import Comparison, better, mean_std
from .corrected_strategies import cleaning, dtype, error
from .d_soba_cleaning import kinds
from .outcome import Outcome
from .panels import Curve, panels

METHOD, TOPOLOGY = "d-soba", "adjusted-ring"
BEST, OTHERS = (0.7, 0.8), (0.6, 1.0)
THETAS = (1.0, 0.8, 0.7, 0.6)
CALLS, EVALUATIONS = 5, 2000
"""Gradient evaluations of an agent, in an iteration and in all."""
SIZES = {"quick": (8, 5, 10), "standard": (10, 10, 100), "full": (10, 10, 100)}
"""n, seeds, batch."""
PROBLEM: dict[str, dict[str, Any]] = {"quick": {}, "standard": {"hidden": [50]}, "full": {}}
"""What differs from the problem of `corrected-strategies`."""


class Theta(Claim):
    """The paper's graph has weights 0.2, 0.4, 0.4, and its step sizes are 0.1 at every level.

    With these no weight moves (`d-soba-cleaning`), if x is scaled as here, and theta acts on x
    alone. So there are runs with an alpha that cleans too.
    """

    statement = (
        "in hyper-cleaning on the adjusted ring theta matters: within 2000 gradient evaluations "
        "D-SOBA is more accurate with theta = 0.7 and 0.8 than with 0.6 and with 1"
    )
    source = "D-SOBA, third experiment (Kong et al., JMLR 26(240) 2025, arXiv 2402.03167)"
    rule = (
        "corruption 0.2, Dirichlet 0.1, adjusted ring with weights 0.2, 0.4, 0.4, 400 iterations "
        "of 5 oracle calls, with the printed steps and with steps that clean: the test error over "
        "the last quarter with theta = 0.6 and with 1 is larger than with 0.7 and with 0.8"
    )
    full_hours = 2

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, seeds, batch = SIZES[size]
        iterations = EVALUATIONS // CALLS
        methods = [
            {"name": METHOD, "steps": {**steps, "theta": theta}, "label": label(theta, kind)}
            for kind, steps in kinds(size).items()
            for theta in THETAS
        ]
        return {
            "theta": study_tables(
                methods,
                [{"name": TOPOLOGY, "lazy": False, "self_weight": 0.2}],
                seeds,
                "test_accuracy",
                problem={**cleaning(size, 0.2), **PROBLEM[size], "batch": batch, "ridge": 1e-3},
                run={
                    "agents": n,
                    "iterations": iterations,
                    "evaluate_every": iterations // 20,
                    "dtype": dtype(size),
                },
            )
        }

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for kind in kinds("standard"):
            ends = {theta: error(found["theta"], label(theta, kind), TOPOLOGY) for theta in THETAS}
            for ours in BEST:
                for theirs in OTHERS:
                    yield better(
                        f"{kind}, theta {ours:g} < {theirs:g}",
                        f"{mean_std(ends[ours])}, {mean_std(ends[theirs])}",
                        ends[theirs],
                        ends[ours],
                    )

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        shown: dict[str, dict[str, Curve]] = {}
        for kind in kinds("standard"):
            panel = shown[kind] = {}
            for theta in THETAS:
                k, accuracy = found["theta"].curve(label(theta, kind), TOPOLOGY)
                panel[f"theta {theta:g}"] = (CALLS * k, 1 - accuracy)
        xlabel = "gradient evaluations of an agent"
        return [panels(out, "curves", shown, xlabel, "test error", log=True)]


def label(theta: float, kind: str) -> str:
    """The label of D-SOBA with a theta and one of the kinds of step sizes."""
    return f"theta {theta:g}, {kind}"

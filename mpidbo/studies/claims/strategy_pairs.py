"""All pairs of ED, EXTRA and GT, for y and z and for x, in data hyper-cleaning."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, study_tables
from .comparison import Comparison, as_good, mean_std
from .corrected_strategies import CORRUPTIONS, cleaning, dtype, error
from .outcome import Outcome
from .panels import Curve, panels

STRATEGIES = ("ed", "extra", "gt")
TOPOLOGY = "ring"
SIZES = {"quick": (8, 100, 5), "standard": (10, 200, 10), "full": (10, 5000, 5)}
"""n, T, seeds."""
PROBLEM: dict[str, dict[str, Any]] = {"quick": {}, "standard": {"hidden": [50]}, "full": {}}
"""What differs from the problem of `corrected-strategies`."""
STEPS: dict[str, dict[str, float]] = {
    "quick": {"alpha": 1000.0, "beta": 0.5, "gamma": 0.25, "theta": 0.2},
    "standard": {"alpha": 1000.0, "beta": 0.3, "gamma": 0.1, "theta": 0.2},
    "full": {"alpha": 10000.0, "beta": 0.3, "gamma": 0.1, "theta": 0.2},
}
"""Of all pairs: the first of the choices of `corrected-strategies` with alpha in proportion."""


class StrategyPairs(Claim):
    """The steps are the same for all pairs, and not tuned.

    How pairs compare with D-SOBA and other methods is asked in `corrected-strategies`, and how much
    they send in `mixed-strategies`.
    """

    statement = (
        "whichever of ED, EXTRA and GT SPARKLE has for x, ED and EXTRA for y and z are as good as "
        "GT there; and with them GT for x is as good as theirs"
    )
    source = "SPARKLE, first experiment (Zhu et al., NeurIPS 2024, arXiv 2411.14166)"
    rule = (
        "hyper-cleaning at corruption 0.1, 0.2, 0.3, ring, the same steps for all nine pairs L-U, "
        "L for y and z and U for x: the test error over the last quarter of ED-U and of EXTRA-U is "
        "at most 1.1 times that of GT-U, for each U; that of ED-GT is at most 1.1 times that of "
        "ED-ED, and that of EXTRA-GT at most 1.1 times that of EXTRA-EXTRA"
    )
    full_hours = 25

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, T, seeds = SIZES[size]
        methods = [
            {"name": "sparkle", "lower": lower, "upper": upper, "label": pair(lower, upper)}
            for lower in STRATEGIES
            for upper in STRATEGIES
        ]
        return {
            of(corruption): study_tables(
                methods,
                [TOPOLOGY],
                seeds,
                "test_accuracy",
                problem={**cleaning(size, corruption), **PROBLEM[size]},
                steps=STEPS[size],
                run={
                    "agents": n,
                    "iterations": T,
                    "evaluate_every": T // 20,
                    "dtype": dtype(size),
                },
            )
            for corruption in CORRUPTIONS
        }

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        compared = [
            (pair(lower, upper), pair("gt", upper))
            for lower in ("ed", "extra")
            for upper in STRATEGIES
        ]
        compared += [(pair(lower, "gt"), pair(lower, lower)) for lower in ("ed", "extra")]
        for corruption in CORRUPTIONS:
            outcome = found[of(corruption)]
            for ours, theirs in compared:
                errors = {name: error(outcome, name, TOPOLOGY) for name in (ours, theirs)}
                yield as_good(
                    f"{of(corruption)}, {ours} and {theirs}",
                    ", ".join(f"{name} {mean_std(values)}" for name, values in errors.items()),
                    errors[theirs],
                    errors[ours],
                )

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        paths = []
        for corruption in CORRUPTIONS:
            shown: dict[str, dict[str, Curve]] = {}
            for lower in STRATEGIES:
                panel = shown[f"{of(corruption)}, {lower} for y and z"] = {}
                for upper in STRATEGIES:
                    k, accuracy = found[of(corruption)].curve(pair(lower, upper), TOPOLOGY)
                    panel[f"{upper} for x"] = (k, 1 - accuracy)
            name = f"curves-{corruption}"
            paths.append(panels(out, name, shown, "iterations", "test error", log=True))
        return paths


def pair(lower: str, upper: str) -> str:
    """The label of a pair: the strategy of y and z, and that of x."""
    return f"{lower}-{upper}"


def of(corruption: float) -> str:
    """The name of the study of a corruption."""
    return f"corruption {corruption}"

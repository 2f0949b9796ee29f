"""Exact Diffusion or EXTRA for y and z, gradient tracking for x alone, in data hyper-cleaning."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers
from .corrected_strategies import TOLERANCE, choices, cleaning, error
from .panels import panels

PURE = {"sparkle-ed-gt": "sparkle-ed", "sparkle-extra-gt": "sparkle-extra"}


class MixedStrategies(Claim):
    """The floats are those until the error has come within a tenth of where GT's own ends. Full: some 10 CPU hours."""

    says = "SPARKLE-ED-GT and EXTRA-GT match ED and EXTRA, and get where GT gets with fewer floats"
    source = "SPARKLE, sections 3 and 5 (Zhu et al., NeurIPS 2024, arXiv 2411.14166)"
    rule = ("hyper-cleaning at corruption 0.3, steps tuned for each method by the same number of trials, ring: the mixed method's test "
            "error at the end is at most 1.1 times that of the pure one; it comes within 1.1 times GT's error at the end, "
            "and stays there, with fewer floats than GT")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        n, T = (10, 5000) if full else (8, 300)
        return {"cleaning": {
            "study": {"methods": [*PURE, *PURE.values(), "sparkle-gt"], "topologies": ["ring"], "seeds": 5, "metric": "test_accuracy"},
            "tune": {"how": "grid", "budget": 4 * T, "iterations": T, "steps": choices(full)},
            "problem": cleaning(full),
            "run": {"agents": n, "iterations": T, "evaluate_every": T // 30, "dtype": "float32" if full else "float64"}}}

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        outcome = found["cleaning"]
        errors = {method: error(outcome, method, "ring") for method in outcome.methods}
        floats = {method: reached(outcome, method, TOLERANCE * errors["sparkle-gt"]) for method in outcome.methods}
        for mixed, pure in PURE.items():
            yield Finding("error", f"{mixed} {numbers(errors[mixed])}, {pure} {numbers(errors[pure])}",
                          log_ratio(errors[pure], errors[mixed]) + np.log10(TOLERANCE))
        for mixed in PURE:
            yield Finding("millions of floats", f"{mixed} {counted(floats[mixed])}, sparkle-gt {counted(floats['sparkle-gt'])}",
                          log_ratio(floats["sparkle-gt"], floats[mixed]))

    def draw(self, found: Mapping[str, Outcome], out: Path) -> list[Path]:
        outcome = found["cleaning"]
        shown = {f"against {name}": {method: (outcome.column(method, "ring", column)[0], 1 - outcome.column(method, "ring"))
                                     for method in outcome.methods}
                 for column, name in (("iteration", "iterations"), ("floats", "floats sent"))}
        return [panels(out / "curves.png", shown, "", "test error", log=True)]


def counted(floats: np.ndarray) -> str:
    """Millions, with how many seeds have never got there."""
    never = int(np.isinf(floats).sum())
    return f"{np.median(floats) / 1e6:.3g}, {never} of {len(floats)} never" if never else numbers(floats / 1e6)


def reached(outcome: Outcome, method: str, targets: np.ndarray) -> np.ndarray:
    """(seeds,): the floats until the mean error of the evaluations from there on is at most the seed's target; inf if it never is."""
    floats, errors = outcome.column(method, "ring", "floats"), 1 - outcome.column(method, "ring")
    rest = np.cumsum(errors[:, ::-1], axis=1)[:, ::-1] / np.arange(errors.shape[1], 0, -1)
    good = rest <= targets[:, None]
    return np.where(good.any(axis=1), np.take_along_axis(floats, good.argmax(axis=1)[:, None], 1)[:, 0], np.inf)

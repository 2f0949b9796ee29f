"""SUN-DSBO-GT on MEHA's toy, whose lower level has many minimisers, beside SPARKLE."""

from collections.abc import Iterable, Mapping
from math import pi
from pathlib import Path

import numpy as np

from ..study import stored
from ..tuning import TUNED
from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers
from .panels import Curve, panels

SUN, SPARKLE = "sun-dsbo-gt", ("sparkle-gt", "sparkle-ed")
TOPOLOGY = "ring"
NEAR = 0.1


class SunDsboNonconvex(Claim):
    """With small steps SPARKLE descends f along the branch of minimisers y = c - x - pi/2 + 2 pi k where it starts.

    From x = -6, y = 0 that ends at x* - 2 pi. SUN-DSBO moves y between branches while mu is large. Full size: about 10 CPU minutes.
    """

    says = "SUN-DSBO-GT solves a bilevel problem with a nonconvex lower level where SPARKLE fails, and its residual G - V falls"
    source = "SUN-DSBO (Ma, Wang, Yao, Zhang, arXiv 2601.22682); the toy is MEHA's (Liu et al., ICML 2024), x* = 3 pi/4 from x = -6, y = 0"
    rule = ("distance to x* at the end, agents with different f and g, ring: SUN-DSBO-GT's is below 0.1, steps tuned; SPARKLE's is at "
            "least 10 times that, steps tuned from the same choices; SPARKLE's with its default steps is 2 pi within 0.1; the refined "
            "residual G - V of SUN-DSBO-GT falls to a tenth of its largest value")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        n, T, seeds = (10, 10000, 10) if full else (4, 1200, 5)

        def study(methods: list[object], tuned: bool, **run: object) -> dict[str, object]:
            choices = {"alpha": [0.03, 0.1, 0.3, 1.0], "beta": [0.1, 0.3], "gamma": [0.1, 0.3]}
            return {"study": {"methods": methods, "topologies": [TOPOLOGY], "seeds": seeds, "metric": "distance"},
                    **({"tune": {"how": "grid", "budget": 8 * T, "iterations": T // 2, "steps": choices}} if tuned else {}),
                    "problem": {"name": "nonconvex-toy", "heterogeneity": 0.5, "noise": 0.1},
                    "run": {"agents": n, "iterations": T, "evaluate_every": T // 40, **run}}

        mu = {"kind": "power", "start": 0.5, "exponent": -0.49}
        return {"SUN-DSBO": study([{"name": SUN, "lam": 0.9, "mu": mu}], True, metrics=["refined_residual"]),
                "SPARKLE, tuned": study([*SPARKLE], True), "SPARKLE, default steps": study([*SPARKLE], False)}

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        sun = found["SUN-DSBO"].end(SUN, TOPOLOGY)
        yield Finding(SUN, f"distance {numbers(sun)}, {solved(found['SUN-DSBO'], SUN)}", log_ratio(NEAR, sun))
        for method in SPARKLE:
            outcome = found["SPARKLE, tuned"]
            theirs = outcome.end(method, TOPOLOGY)
            yield Finding(f"{method}, tuned", f"distance {numbers(theirs)}, {solved(outcome, method)}", log_ratio(theirs, sun) - 1)
        for method in SPARKLE:
            theirs = found["SPARKLE, default steps"].end(method, TOPOLOGY)
            yield Finding(f"{method}, default steps", f"distance {numbers(theirs)}, 2 pi = {2 * pi:.4g}", NEAR - abs(theirs - 2 * pi))
        residual = found["SUN-DSBO"].column(SUN, TOPOLOGY, "refined_residual")
        largest, late = residual.max(axis=1), found["SUN-DSBO"].end(SUN, TOPOLOGY, name="refined_residual")
        yield Finding("G - V", f"largest {numbers(largest)}, at the end {numbers(late)}", log_ratio(largest, late) - 1)

    def draw(self, found: Mapping[str, Outcome], out: Path) -> list[Path]:
        def curves(method: str, study: str, name: str = "") -> Curve:
            outcome = found[study]
            return outcome.column(method, TOPOLOGY, "iteration")[0], np.maximum(outcome.column(method, TOPOLOGY, name), 1e-6)

        method = SPARKLE[0]                     # the other's lines lie on these
        distances = {SUN: curves(SUN, "SUN-DSBO"),
                     **{f"{method}, {how}": curves(method, f"SPARKLE, {how}") for how in ("tuned", "default steps")}}
        residual = {SUN: curves(SUN, "SUN-DSBO", "refined_residual")}
        return [panels(out / "curves.png", {"distance to x*": distances, "refined residual G - V": residual}, "iterations", "", log=True)]


def solved(outcome: Outcome, method: str) -> str:
    """How many of the steps that were tried lead to x*."""
    trials = stored(outcome.group(method, TOPOLOGY).folder / TUNED)["trials"]
    return f"{sum(trial['score'] < NEAR for trial in trials)} of {len(trials)} steps tried get there"

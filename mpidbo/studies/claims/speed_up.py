"""More agents, less error; and the lower level costs no transient of its own."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers
from .decay import exponents, growth, mixing, squared, steps, transients
from .panels import panels

ROWS = {"d-soba": "sgd", "sparkle-ed": "ed", "sparkle-gt": "gt"}
"""Each method and the strategy of its single-level row."""
TOPOLOGY, CENTRAL = "exponential", "centralized"
SLOPE, FACTOR = 0.25, 4.0
REDUCED = "mpidbo.studies.claims.reduced:Reduced"


class SpeedUp(Claim):
    """The noise floor at a fixed step, and transients as in the claim `transient`, on the quadratic problem and its reduced one.

    The reduced problem is min Phi itself with the noise of f_x and f_y, for D-SGD, Exact Diffusion and gradient tracking; the
    transients are against SOBA and against the single level over the average of all agents. rho = 0.9 is a second choice: at 0.95 the
    single level had not reached the end of its transient after 2500 iterations. The full size takes about 2 CPU hours.
    """

    says = "SPARKLE and D-SOBA speed up linearly in n; their transients are those of their single-level rows"
    source = "D-SOBA (Kong et al., JMLR 26(240) 2025), SPARKLE (Zhu et al., NeurIPS 2024)"
    rule = ("exponential graph, fixed steps: the slope of log(mean squared distance to x* over the second half) against log n is within "
            "0.25 of -1; horizons of transients at rho = 0.9 are within a factor 4 of those of single-level D-SGD (D-SOBA), Exact "
            "Diffusion (SPARKLE-ED), gradient tracking (SPARKLE-GT)")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        sizes, T, seeds = ((8, 16, 32, 64), 20000, 10) if full else ((4, 8, 16), 1600, 5)
        n, horizon = (16, 200000) if full else (4, 2500)
        problem = {"name": "quadratic", "p": 40, "q": 40, "noise": 1.0, "heterogeneity": 0.1}
        methods = [{"name": name, **({} if name == "d-soba" else {"schedule": "jacobi"})} for name in ROWS]
        _, topology = mixing(n, 0.9)
        fall = {"run": {"agents": n, "iterations": horizon, "evaluate_every": horizon // 250}}
        shared = {"topologies": [topology], "seeds": seeds}
        floors = {f"n {size}": {
            "study": {"methods": methods, "topologies": [TOPOLOGY], "seeds": seeds, "metric": "distance"}, "problem": problem,
            "steps": {"alpha": 0.03, "beta": 0.1, "gamma": 0.1, "theta": 1.0},
            "run": {"agents": size, "iterations": T, "evaluate_every": T // 80}} for size in sizes}
        bilevel = {"study": {"methods": [*methods, {"name": "soba", "label": CENTRAL}], "metric": "distance", **shared},
                   "problem": problem, "steps": steps(n), **fall}
        single = {"study": {"methods": [{"name": "single-level", "strategy": row, "label": row} for row in (*ROWS.values(), CENTRAL)],
                            "metric": "error", **shared},
                  "problem": {**problem, "name": REDUCED}, "steps": {"alpha": steps(n)["alpha"]}, **fall}
        return {**floors, "bilevel": bilevel, "single": single}

    def floors(self, found: Mapping[str, Outcome], method: str) -> tuple[Any, Any]:
        """n (sizes,), and the mean squared distance over the second half (seeds, sizes)."""
        keys = [key for key in found if key.startswith("n ")]
        halves = [squared(found[key], method, TOPOLOGY) for key in keys]
        return np.array([int(key.split()[1]) for key in keys]), np.array([half[:, half.shape[1] // 2:].mean(axis=1) for half in halves]).T

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        for method in ROWS:
            n, floors = self.floors(found, method)
            slopes = exponents(n, floors)
            levels = ", ".join(f"{size}: {level:.2g}" for size, level in zip(n, floors.mean(axis=0), strict=True))
            yield Finding(f"{method}, n", f"exponent {numbers(slopes)}; means at {levels}", SLOPE - abs(slopes + 1))
        label, n = found["bilevel"].topologies[0], agents(found["bilevel"])
        for method, row in ROWS.items():
            own = transients(found["bilevel"], method, CENTRAL, label, n)
            single = transients(found["single"], row, CENTRAL, label, n, "error")
            yield Finding(f"{method} and single-level {row}", f"transients {numbers(own)}, {numbers(single)}",
                          np.log10(FACTOR) - np.abs(log_ratio(own, single)))

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        panel = {method: self.floors(found, method) for method in ROWS}
        label = found["bilevel"].topologies[0]
        curves: dict[str, dict[str, Any]] = {}
        for (method, row), title in zip(ROWS.items(), ROWS, strict=True):
            curves[title] = {}
            for key, own, mean, name in (("bilevel", method, "distance", "bilevel"), ("single", row, "error", "single level")):
                k = found[key].column(own, label, "iteration")[0, 1:]
                ratio = squared(found[key], own, label, mean) / squared(found[key], CENTRAL, label, mean)
                curves[title][name] = k, ratio[:, 1:]
        return [growth(out / "figure.png", {"agents n": panel}, {"agents n": -1}, "mean squared distance to x*"),
                panels(out / "transients.png", curves, "iterations", "error over the centralized one", log=True)]


def agents(outcome: Outcome) -> int:
    """The number of agents of a study."""
    return int(outcome.study.groups[0].tables["run"]["agents"])

"""More agents, less error; and the lower level costs no transient of its own."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._types import Array
from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, study_tables
from .comparison import Comparison, log_ratio, mean_std
from .decay import exponents, growth, mixing, squared, steps, transients
from .outcome import Outcome
from .panels import panels
from .reduced import SPEC as REDUCED

SINGLE_LEVEL = {"d-soba": "sgd", "sparkle-ed": "ed", "sparkle-gt": "gt"}
"""Method -> the strategy of its single-level counterpart."""
TOPOLOGY, CENTRAL = "exponential", "centralized"
SIZES = {
    "quick": ((4, 8, 16), 1600, 5, 4, 2500),
    "standard": ((4, 8, 16, 32), 6000, 20, 8, 16000),
    "full": ((8, 16, 32, 64), 20000, 10, 16, 200000),
}
"""Numbers of agents, T, seeds; of the transients n and T."""
TOLERANCE, MAX_RATIO = 0.25, 4.0


class SpeedUp(Claim):
    """The noise floor at fixed step sizes, and transients as in the claim `transient`.

    Both are measured on the quadratic problem, the transients also on its reduced problem, min Phi
    itself with the noise of f_x and f_y, by D-SGD, Exact Diffusion and gradient tracking. They are
    against SOBA, and against the single level with the average over all agents. rho = 0.9 is a
    second choice: at 0.95 the single level had not reached the end of its transient after 2500
    iterations.
    """

    statement = (
        "SPARKLE and D-SOBA speed up linearly in n; their transients are those of the "
        "corresponding single-level methods"
    )
    source = "D-SOBA (Kong et al., JMLR 26(240) 2025), SPARKLE (Zhu et al., NeurIPS 2024)"
    rule = (
        "exponential graph, fixed steps: the slope of log(mean squared distance to x* over the "
        "second half) against log n is within 0.25 of -1; horizons of transients at rho = 0.9 are "
        "within a factor 4 of those of single-level D-SGD (D-SOBA), Exact Diffusion (SPARKLE-ED), "
        "gradient tracking (SPARKLE-GT)"
    )
    full_hours = 2

    def studies(self, size: Size) -> Mapping[str, Tables]:
        agents, T, seeds, n, horizon = SIZES[size]
        problem = {"name": "quadratic", "p": 40, "q": 40, "noise": 1.0, "heterogeneity": 0.1}
        methods: list[dict[str, str]] = []
        for name in SINGLE_LEVEL:
            order = {} if name == "d-soba" else {"schedule": "jacobi"}
            methods.append({"name": name, **order})
        floors = {
            f"n {number}": study_tables(
                methods,
                [TOPOLOGY],
                seeds,
                problem=problem,
                steps={"alpha": 0.03, "beta": 0.1, "gamma": 0.1, "theta": 1.0},
                run={"agents": number, "iterations": T, "evaluate_every": T // 80},
            )
            for number in agents
        }
        _, topology = mixing(n, 0.9)
        run = {"agents": n, "iterations": horizon, "evaluate_every": horizon // 250}
        bilevel = study_tables(
            [*methods, {"name": "soba", "label": CENTRAL}],
            [topology],
            seeds,
            problem=problem,
            steps=steps(n),
            run=run,
        )
        single_level = [
            {"name": "single-level", "strategy": strategy, "label": strategy}
            for strategy in (*SINGLE_LEVEL.values(), CENTRAL)
        ]
        single = study_tables(
            single_level,
            [topology],
            seeds,
            "error",
            problem={**problem, "name": REDUCED},
            steps={"alpha": steps(n)["alpha"]},
            run=run,
        )
        return {**floors, "bilevel": bilevel, "single": single}

    def floors(self, found: Mapping[str, Outcome], method: str) -> tuple[Array, Array]:
        """n (sizes,), and the mean squared distance over the second half (seeds, sizes)."""
        sizes, means = [], []
        for key, outcome in found.items():
            if key.startswith("n "):
                errors = squared(outcome, method, TOPOLOGY)
                sizes.append(int(key.removeprefix("n ")))
                means.append(errors[:, errors.shape[1] // 2 :].mean(axis=1))
        return np.array(sizes), np.array(means).T

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for method in SINGLE_LEVEL:
            n, floors = self.floors(found, method)
            slopes = exponents(n, floors)
            means = zip(n, floors.mean(axis=0), strict=True)
            words = ", ".join(f"{size}: {mean:.2g}" for size, mean in means)
            yield Comparison(
                f"{method}, n",
                f"exponent {mean_std(slopes)}; means at {words}",
                slopes,
                -1 - TOLERANCE,
                -1 + TOLERANCE,
            )
        bilevel, single = found["bilevel"], found["single"]
        label, n = bilevel.topologies[0], agents_of(bilevel)
        bound = float(np.log10(MAX_RATIO))
        for method, strategy in SINGLE_LEVEL.items():
            own = transients(bilevel, method, CENTRAL, label, n)
            other = transients(single, strategy, CENTRAL, label, n, "error")
            yield Comparison(
                f"{method} and single-level {strategy}",
                f"transients {mean_std(own)}, {mean_std(other)}",
                log_ratio(own, other),
                -bound,
                bound,
                ratio=True,
            )

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        floors = {method: self.floors(found, method) for method in SINGLE_LEVEL}
        bilevel, single = found["bilevel"], found["single"]
        topology = bilevel.topologies[0]
        shown = {
            method: {
                "bilevel": excess(bilevel, method, topology, "distance"),
                "single level": excess(single, strategy, topology, "error"),
            }
            for method, strategy in SINGLE_LEVEL.items()
        }
        ylabel = "error over the centralized one"
        return [
            growth(
                out,
                "figure",
                {"agents n": floors},
                {"agents n": -1},
                "mean squared distance to x*",
            ),
            panels(out, "transients", shown, "iterations", ylabel, log=True),
        ]


def excess(outcome: Outcome, method: str, topology: str, metric: str) -> tuple[Array, Array]:
    """k > 0 (evaluations,), and the squared error over the centralized one (seeds, evaluations)."""
    k, _ = outcome.curve(method, topology)
    own = squared(outcome, method, topology, metric)
    central = squared(outcome, CENTRAL, topology, metric)
    return k[1:], (own / central)[:, 1:]


def agents_of(outcome: Outcome) -> int:
    """The number of agents of a study."""
    return int(outcome.study.groups[0].tables["run"]["agents"])

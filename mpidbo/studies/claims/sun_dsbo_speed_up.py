"""SUN-DSBO-GT's linear speed-up in the number of agents, on a quadratic."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..._types import Array, Float
from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, study_tables
from .comparison import Comparison, as_good, mean_std
from .outcome import Outcome
from .panels import panels

METHOD, TOPOLOGY = "sun-dsbo-gt", "ring"
SIZES = {
    "quick": ((1, 2, 4, 8), 10, 2000, 3200, 0.3, 0.05, 5),
    "standard": ((1, 2, 4, 8, 16), 10, 8000, 12800, 0.15, 0.025, 20),
    "full": ((1, 2, 4, 8, 16, 32), 20, 40000, 320000, 0.1, 0.0125, 10),
}
"""Numbers of agents, p = q, T, T of one agent with scaled steps, its alpha, beta, seeds."""
SAME, SCALED = "the same steps", "steps * n, iterations / n"


class SunDsboSpeedUp(Claim):
    """The noise in the average is measured against the same run without noise.

    It is the difference of the mean squared distances, which is exact on a quadratic. The quick
    runs of the second kind were shortened once: at first nearly all of each came after the descent.
    """

    statement = "SUN-DSBO-GT has linear speed-up: n agents need n times fewer iterations"
    source = "SUN-DSBO (Ma, Wang, Yao, Zhang, arXiv 2601.22682)"
    rule = (
        "mean-square distance of the agents' average to x* over the last half of a run, "
        "heterogeneous quadratic, ring: at the same steps, the part that noise makes falls as 1/n, "
        "with a slope within 0.25 of -1 in logarithms; with n times larger steps and n times fewer "
        "iterations n agents' is at most 1.5 times that of one"
    )
    full_hours = 2

    def studies(self, size: Size) -> Mapping[str, Tables]:
        agents, dim, T, T_scaled, alpha, beta, seeds = SIZES[size]

        def study(n: int, T: int, alpha: float, beta: float, noise: float = 1.0) -> Tables:
            dims = {"p": dim, "q": dim}
            return study_tables(
                [METHOD],
                [TOPOLOGY],
                seeds,
                problem={"name": "quadratic", **dims, "heterogeneity": 0.2, "noise": noise},
                method={"mu": 0.03},
                steps={"alpha": alpha, "beta": beta, "gamma": beta},
                run={"agents": n, "iterations": T, "evaluate_every": T // 100},
            )

        same = {f"same {n}": study(n, T, 1.0, 0.1) for n in agents}
        calm = {f"calm {n}": study(n, T, 1.0, 0.1, noise=0.0) for n in agents}
        scaled = {f"scaled {n}": study(n, T_scaled // n, alpha * n, beta * n) for n in agents}
        return {**same, **calm, **scaled}

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        sizes = agents_in(found)
        noise = np.array(
            [late_error(found[f"same {n}"]) - late_error(found[f"calm {n}"]) for n in sizes]
        )
        slopes = np.polyfit(np.log(sizes), np.log(noise), 1)[0]
        yield Comparison(SAME, f"slope {mean_std(slopes)}", slopes, -1.25, -0.75)
        one = late_error(found["scaled 1"])
        for n in sizes[1:]:
            many = late_error(found[f"scaled {n}"])
            yield as_good(
                f"{SCALED}, n = {n}",
                f"n = 1 {mean_std(one)}, n = {n} {mean_std(many)}",
                one,
                many,
                times=1.5,
            )

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        shown: dict[str, dict[str, tuple[Array, Array]]] = {SAME: {}, SCALED: {}}
        for key, title in (("same", SAME), ("scaled", SCALED)):
            for n in agents_in(found):
                outcome = found[f"{key} {n}"]
                k, _ = outcome.curve(METHOD, TOPOLOGY)
                shown[title][f"n = {n}"] = (k, squared_error(outcome))
        ylabel = "squared distance of the average"
        return [panels(out, "curves", shown, "iterations", ylabel, log=True)]


def agents_in(found: Mapping[str, Outcome]) -> list[int]:
    """The numbers of agents."""
    return [int(key.removeprefix("same ")) for key in found if key.startswith("same ")]


def squared_error(outcome: Outcome) -> Float[Array, "seeds evaluations"]:
    """|xbar - x*|^2: the agents' mean squared distance less their mean squared spread."""
    distance = outcome.column(METHOD, TOPOLOGY, "distance")
    consensus = outcome.column(METHOD, TOPOLOGY, "consensus_x")
    return distance**2 - consensus**2


def late_error(outcome: Outcome) -> Float[Array, " seeds"]:
    """The mean squared error over the last half."""
    values = squared_error(outcome)
    return values[:, values.shape[1] // 2 :].mean(axis=1)

"""SUN-DSBO-GT's linear speed-up in the number of agents, on a quadratic."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from .base import Array, Claim, Finding, Outcome, Tables, log_ratio, numbers
from .panels import panels

METHOD, TOPOLOGY = "sun-dsbo-gt", "ring"
SAME, SCALED = "the same steps", "steps * n, iterations / n"


class SunDsboSpeedUp(Claim):
    """The noise in the average is the mean-square distance less that of the same run without noise: a quadratic makes this exact.

    Full size: about 2 CPU hours. The quick runs of the second kind were shortened once: at first nearly all of them came after the descent.
    """

    says = "SUN-DSBO-GT has linear speed-up: n agents need n times fewer iterations"
    source = "SUN-DSBO (Ma, Wang, Yao, Zhang, arXiv 2601.22682)"
    rule = ("mean-square distance of the agents' average to x* over the last half of a run, heterogeneous quadratic, ring: at the same "
            "steps, the part that noise makes falls as 1/n, with a slope within 0.25 of -1 in logarithms; with n times larger steps and n "
            "times fewer iterations n agents' is at most 1.5 times that of one")

    def studies(self, full: bool) -> Mapping[str, Tables]:
        sizes, dim, T, scaled, seeds = ((1, 2, 4, 8, 16, 32), 20, 40000, 320000, 10) if full else ((1, 2, 4, 8), 10, 2000, 3200, 5)
        alpha, step = (0.1, 0.0125) if full else (0.3, 0.05)

        def study(n: int, T: int, alpha: float, step: float, noise: float = 1.0) -> Tables:
            return {"study": {"methods": [METHOD], "topologies": [TOPOLOGY], "seeds": seeds, "metric": "distance"},
                    "problem": {"name": "quadratic", "p": dim, "q": dim, "heterogeneity": 0.2, "noise": noise},
                    "method": {"mu": 0.03}, "steps": {"alpha": alpha, "beta": step, "gamma": step},
                    "run": {"agents": n, "iterations": T, "evaluate_every": T // 100}}

        return {**{f"same {n}": study(n, T, 1.0, 0.1) for n in sizes}, **{f"calm {n}": study(n, T, 1.0, 0.1, noise=0.0) for n in sizes},
                **{f"scaled {n}": study(n, scaled // n, alpha * n, step * n) for n in sizes}}

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Finding]:
        sizes = sizes_of(found)
        noise = np.array([late(found[f"same {n}"]) - late(found[f"calm {n}"]) for n in sizes])
        slopes = np.polyfit(np.log(sizes), np.log(noise), 1)[0]
        yield Finding(SAME, f"slope {numbers(slopes)}", 0.25 - abs(slopes + 1))
        one = late(found["scaled 1"])
        for n in sizes[1:]:
            many = late(found[f"scaled {n}"])
            yield Finding(SCALED, f"n = 1 {numbers(one)}, n = {n} {numbers(many)}", log_ratio(one, many) + np.log10(1.5))

    def draw(self, found: Mapping[str, Outcome], out: Path) -> list[Path]:
        curves = {title: {f"n = {n}": (outcome.column(METHOD, TOPOLOGY, "iteration")[0], square(outcome))
                          for n in sizes_of(found) for outcome in [found[f"{key} {n}"]]}
                  for key, title in (("same", SAME), ("scaled", SCALED))}
        return [panels(out / "curves.png", curves, "iterations", "squared distance of the average", log=True)]


def sizes_of(found: Mapping[str, Outcome]) -> list[int]:
    """The numbers of agents."""
    return [int(key.removeprefix("same ")) for key in found if key.startswith("same ")]


def square(outcome: Outcome) -> Array:
    """(seeds, evaluations): |xbar - x*|^2, what is left of the agents' mean square when their spread is taken off."""
    distance, consensus = (outcome.column(METHOD, TOPOLOGY, name) for name in ("distance", "consensus_x"))
    return distance ** 2 - consensus ** 2


def late(outcome: Outcome) -> Array:
    """(seeds,): its mean over the last half."""
    values = square(outcome)
    return values[:, values.shape[1] // 2:].mean(axis=1)

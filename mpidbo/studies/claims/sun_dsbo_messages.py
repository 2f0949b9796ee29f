"""SUN-DSBO-GT's messages until an accuracy, beside those of methods with several rounds."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, grid, study_tables
from .comparison import Comparison, cheaper
from .outcome import Outcome
from .panels import Curve, panels

OURS, TOPOLOGY = "sun-dsbo-gt", "ring"
METHODS: dict[str, tuple[int, dict[str, Any], dict[str, list[float]]]] = {
    OURS: (1, {"mu": 0.01}, {"alpha": [1.0, 3.0, 10.0], "beta": [0.1, 0.3]}),
    "sparkle-gt": (6, {}, {"alpha": [0.03, 0.1, 0.3], "beta": [0.1, 0.3]}),
    "ma-dsbo-gt": (11, {"T": 5, "N": 5}, {"alpha": [0.03, 0.1, 0.3], "beta": [0.1, 0.3]}),
}
"""Method -> (rounds of an iteration, its constants, choices of step sizes)."""
TARGETS = (0.3, 0.1)
"""Distances to x*; SUN-DSBO's own error at this mu is about 0.03."""
SIZES = {"quick": (6, 5, 1100, 5), "standard": (10, 10, 2200, 20), "full": (20, 20, 13200, 10)}
"""n, p = q, rounds, seeds."""
TRIAL = 5
"""The rounds of a trial are this part of those of a run."""
EVALUATIONS = 250


class SunDsboMessages(Claim):
    """All methods send the same number of messages, in trials too: an iteration is not a measure.

    In a round each agent sends a message to each neighbour. SPARKLE-GT has the gauss-seidel order,
    with two rounds for each of x, y and z; MA-DSBO-GT takes 5 steps of y and of z. Floats are drawn
    too, and not judged: a message of SUN-DSBO-GT is longer.
    """

    statement = (
        "SUN-DSBO-GT, with one round of messages in an iteration, reaches a given accuracy with "
        "fewer messages than SPARKLE-GT and MA-DSBO-GT"
    )
    source = (
        "no publication: the paper of SUN-DSBO (arXiv 2601.22682) has a single loop, and no counts "
        "of messages that are public"
    )
    rule = (
        "heterogeneous quadratic with noise, ring, equal messages, steps tuned by equally many "
        "trials of equal messages: the messages until the distance to x* stays below 0.3, and "
        "below 0.1, are fewer for SUN-DSBO-GT than for either"
    )
    full_hours = 0.3

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, dim, rounds, seeds = SIZES[size]
        problem = {"name": "quadratic", "p": dim, "q": dim, "heterogeneity": 0.5, "noise": 0.03}
        found = {}
        for name, (each, constants, choices) in METHODS.items():
            T = rounds // each
            found[name] = study_tables(
                [{"name": name, **constants}],
                [TOPOLOGY],
                seeds,
                problem=problem,
                steps={"gamma": 0.3},
                tune=grid(6 * (T // TRIAL), T // TRIAL, **choices),
                run={
                    "agents": n,
                    "iterations": T,
                    "evaluate_every": max(1, T // EVALUATIONS),
                },
            )
        return found

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        for target in TARGETS:
            sent = {
                name: outcome.reached(name, TOPOLOGY, target, "messages")
                for name, outcome in found.items()
            }
            ours = sent.pop(OURS)
            for name, theirs in sent.items():
                yield cheaper(f"{name}, until {target}", {name: theirs}, {OURS: ours})

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        shown: dict[str, dict[str, Curve]] = {}
        for cost in ("messages", "floats"):
            shown[f"{cost} of all agents"] = {
                name: outcome.curve(name, TOPOLOGY, x=cost) for name, outcome in found.items()
            }
        return [panels(out, "curves", shown, "", "distance to x*", log=True)]

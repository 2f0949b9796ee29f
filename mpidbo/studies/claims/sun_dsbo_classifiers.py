"""What SUN-DSBO's hyper-cleaning and hyper-representation have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ...reports import FigureFolder
from ..study import Tables
from .base import Claim, Size, grid, study_tables
from .comparison import Comparison, as_good, mean_std
from .corrected_strategies import dtype, error
from .outcome import Outcome
from .panels import Curve, panels

OURS = ("sun-dsbo-se", "sun-dsbo-gt")
TOPOLOGY = "ring"
METHODS: dict[str, tuple[int, dict[str, Any]]] = {
    "sun-dsbo-se": (6, {}),
    "sun-dsbo-gt": (6, {}),
    "d-soba": (5, {}),
    "sparkle-gt": (5, {}),
    "ma-dsbo-gt": (17, {"T": 5, "N": 5}),
}
"""Method -> (oracle calls of an agent in an iteration, its constants)."""
SIZES = {"quick": (8, 100, 5), "standard": (10, 300, 10), "full": (10, 5000, 5)}
"""n, T of D-SOBA and SPARKLE-GT, seeds."""
TRIALS = 4
"""Step sizes to choose from, before those beyond an edge."""


class SunDsboClassifiers(Claim):
    """Test errors of SUN-DSBO, by gradients alone, and of methods by Hessians, at equal calls."""

    constants: ClassVar[Mapping[str, float]]
    """mu and lam of SUN-DSBO."""

    @abstractmethod
    def problem(self, size: Size) -> Tables:
        """The problem."""

    @abstractmethod
    def choices(self, size: Size, ours: bool) -> Mapping[str, list[float]]:
        """The step sizes to choose from, of SUN-DSBO or of another method."""

    def studies(self, size: Size) -> Mapping[str, Tables]:
        n, T, seeds = SIZES[size]
        found = {}
        for name, (calls, constants) in METHODS.items():
            iterations = round(T * METHODS["d-soba"][0] / calls)
            ours = name in OURS
            found[name] = study_tables(
                [{"name": name, **(self.constants if ours else constants)}],
                [TOPOLOGY],
                seeds,
                "test_accuracy",
                problem=self.problem(size),
                steps={} if ours else {"theta": 0.2},
                tune=grid(TRIALS * iterations, iterations, **self.choices(size, ours)),
                run={
                    "agents": n,
                    "iterations": iterations,
                    "evaluate_every": max(1, iterations // 15),
                    "dtype": dtype(size),
                },
            )
        return found

    def judge(self, found: Mapping[str, Outcome]) -> Iterable[Comparison]:
        errors = {name: error(outcome, name, TOPOLOGY) for name, outcome in found.items()}
        for ours in OURS:
            for name, theirs in errors.items():
                if name not in OURS:
                    words = f"{ours} {mean_std(errors[ours])}, {name} {mean_std(theirs)}"
                    yield as_good(f"{ours}, {name}", words, theirs, errors[ours])

    def draw(self, found: Mapping[str, Outcome], out: FigureFolder) -> list[Path]:
        shown: dict[str, dict[str, Curve]] = {"average classifier": {}}
        for name, outcome in found.items():
            k, accuracy = outcome.curve(name, TOPOLOGY)
            shown["average classifier"][name] = (METHODS[name][0] * k, 1 - accuracy)
        xlabel, ylabel = "oracle calls of an agent", "test error"
        return [panels(out, "curves", shown, xlabel, ylabel, log=True)]

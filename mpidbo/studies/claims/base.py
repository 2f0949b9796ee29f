"""A claim of the literature: studies that test it, and comparisons that decide."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from ..._types import Array, Float
from ...storage import files, read_run
from ..curves import reached
from ..report import write_report
from ..run import run_study
from ..study import Group, Study, Tables, study_of

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

HOLDS, FAILS, UNDECIDED = "HOLDS", "DOES NOT HOLD", "UNDECIDED"

Curve: TypeAlias = tuple[Array, Array]
"""An x axis (evaluations,) and a column of the history (seeds, evaluations)."""


@dataclass(frozen=True)
class Comparison:
    """One comparison that a claim rests on.

    Parameters
    ----------
    what : str
        What is compared.
    numbers : str
        The numbers in words.
    margins : array of shape (seeds,)
        By how much the claim holds for each seed: positive where it holds, possibly infinite.

    Notes
    -----
    It holds if the mean of the margins is larger than their standard deviation over the seeds, it
    does not hold if the mean is below minus that, and is undecided otherwise.
    """

    what: str
    numbers: str
    margins: Float[Array, " seeds"]

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds; 0 for a single seed or infinite margins."""
        margins = np.asarray(self.margins, float)
        if len(margins) < 2 or not np.isfinite(margins).all():
            return 0.0
        return float(np.std(margins, ddof=1))

    @property
    def mean(self) -> float:
        """The mean over the seeds, or the median where some margins are infinite.

        So one diverged seed alone does not decide.
        """
        margins = np.asarray(self.margins, float)
        return float(np.mean(margins) if np.isfinite(margins).all() else np.median(margins))

    @property
    def verdict(self) -> str:
        """HOLDS, FAILS or UNDECIDED."""
        if len(self.margins) < 2 or np.isnan(self.margins).any():
            return UNDECIDED
        if self.mean > self.spread:
            return HOLDS
        return FAILS if self.mean < -self.spread else UNDECIDED


class Outcome:
    """The runs of a study, by the labels of method and topology.

    A seed that diverged is a row of inf, or of -inf where a higher metric is better.

    Parameters
    ----------
    study : Study
        A study whose runs have finished.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def column(
        self, method: str, topology: str, name: str = ""
    ) -> Float[Array, "seeds evaluations"]:
        """A column of the history, by default the study's metric."""
        group = self.group(method, topology)
        name = name or self.study.metric
        rows = [_history(group, seed, name) for seed in self.study.seeds]
        length = min((len(row) for row in rows if row is not None), default=1)
        worst = np.full(length, -inf if self.study.higher else inf)
        return np.array([worst if row is None else row[:length] for row in rows], float)

    def curve(self, method: str, topology: str, name: str = "", x: str = "iteration") -> Curve:
        """A column of the history over another one, which is equal for all seeds."""
        return self.column(method, topology, x)[0], self.column(method, topology, name)

    def end(
        self, method: str, topology: str, share: float = 0.25, name: str = ""
    ) -> Float[Array, " seeds"]:
        """The mean over the last share of the evaluations."""
        values = self.column(method, topology, name)
        evaluations = max(1, round(share * values.shape[1]))
        return values[:, -evaluations:].mean(axis=1)

    def reached(
        self, method: str, topology: str, target: float, cost: str = "iteration"
    ) -> Float[Array, " seeds"]:
        """The cost, a column of the history, from which the metric stays as good as the target.

        inf where it never does.
        """
        costs = self.column(method, topology, cost)
        targets = np.full(len(costs), target)
        return cost_to_reach(self.column(method, topology), costs, targets, self.study.higher)

    def group(self, method: str, topology: str) -> Group:
        """The group of a method on a topology."""
        for group in self.study.groups:
            if (group.method, group.topology) == (method, topology):
                return group
        raise KeyError(f"{method} on {topology}")

    @property
    def methods(self) -> list[str]:
        """The labels of the methods."""
        return list(dict.fromkeys(group.method for group in self.study.groups))

    @property
    def topologies(self) -> list[str]:
        """The labels of the topologies."""
        return list(dict.fromkeys(group.topology for group in self.study.groups))


def _history(group: Group, seed: int, name: str) -> Float[Array, " evaluations"] | None:
    """A column of the history of a finished run; None if it diverged."""
    folder = group.folder_of(seed)
    return read_run(folder).columns[name] if (folder / files.DONE).is_file() else None


class Claim(ABC):
    """A claim of the literature.

    Its rule, sizes, seeds and tuning budget are fixed in the class, before any run.
    """

    statement: ClassVar[str]
    """The claim, in a sentence."""
    source: ClassVar[str]
    """The publication that makes it."""
    rule: ClassVar[str]
    """How it is judged, in words."""

    @abstractmethod
    def studies(self, full: bool) -> Mapping[str, Tables]:
        """The studies to run, as tables of a study's TOML file.

        Parameters
        ----------
        full : bool
            At the papers' sizes; otherwise at sizes that take about a minute.
        """

    @abstractmethod
    def judge(self, found: Mapping[str, Any]) -> Iterable[Comparison]:
        """The comparisons that decide, from what `run` returns."""

    def run(
        self, full: bool, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> Mapping[str, Any] | None:
        """Run the studies. Collective.

        Returns
        -------
        Mapping or None
            Study -> its Outcome; None if a signal or the time limit stopped a run.
        """
        studies = self.studies_in(out, full)
        for study in studies.values():
            if not run_study(study, study.work, comm, log):
                return None
        return {key: Outcome(study) for key, study in studies.items()}

    def studies_in(self, out: Path, full: bool) -> dict[str, Study]:
        """The studies, each with a folder inside `out`."""
        return {
            key: study_of(tables, key, out=out / key) for key, tables in self.studies(full).items()
        }

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        """Draw the figures and return their files; by default each study's report."""
        outcomes = [outcome for outcome in found.values() if isinstance(outcome, Outcome)]
        return [path for outcome in outcomes for path in write_report(outcome.study)]


def study_tables(
    methods: Sequence[Any],
    topologies: Sequence[Any],
    seeds: int,
    metric: str = "distance",
    *,
    problem: Tables,
    run: Tables,
    **sections: Tables | None,
) -> Tables:
    """The tables of a study; sections that are None or empty are left out."""
    study = {
        "methods": list(methods),
        "topologies": list(topologies),
        "seeds": seeds,
        "metric": metric,
    }
    others = {name: table for name, table in sections.items() if table}
    return {"study": study, "problem": problem, "run": run, **others}


def grid(budget: int, iterations: int, **steps: Sequence[Any]) -> Tables:
    """`[tune]` with a grid of step sizes."""
    return {"how": "grid", "budget": budget, "iterations": iterations, "steps": steps}


def halving(budget: int, iterations: int, **steps: Sequence[Any]) -> Tables:
    """`[tune]` with successive halving over a grid of step sizes."""
    return {"how": "halving", "budget": budget, "iterations": iterations, "steps": steps}


def cost_to_reach(
    values: Float[Array, "seeds evaluations"],
    costs: Float[Array, "seeds evaluations"],
    targets: Float[Array, " seeds"],
    higher: bool = False,
) -> Float[Array, " seeds"]:
    """The cost from which each seed's values stay as good as its target; inf if they never do."""
    found = []
    for row, cost, target in zip(values, costs, targets, strict=True):
        at = reached(row, target, higher)
        found.append(inf if at is None else float(cost[at]))
    return np.array(found)


def log_ratio(larger: Any, smaller: Any) -> Float[Array, " seeds"]:
    """log10(larger/smaller) for each seed: infinite where one diverged, NaN where both did."""
    with np.errstate(all="ignore"):
        return np.log10(np.asarray(larger, float)) - np.log10(np.asarray(smaller, float))


def mean_std(values: Any) -> str:
    """Mean and standard deviation over the seeds, as "0.12 ± 0.03"."""
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        return f"{np.median(values):.3g} (some diverged)"
    spread = values.std(ddof=1) if len(values) > 1 else 0
    return f"{values.mean():.3g} ± {spread:.1g}"

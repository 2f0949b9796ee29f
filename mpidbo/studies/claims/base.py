"""A claim of the literature: studies that test it, and comparisons that decide."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from ..._types import Array, Float
from ...errors import UserError
from ...parallel import agreed
from ...reports import axis_label
from ...storage import files, read_run
from ..curves import reached
from ..run import run_study
from ..study import Group, Study, Tables, study_of
from .panels import Curve, panels
from .statistics import p_value

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


Size: TypeAlias = Literal["quick", "standard", "full"]
"""Of the runs of a claim: a minute, at most an hour of two cores, or as in the papers."""

SIZES: tuple[Size, ...] = get_args(Size)
EFFECT = float(np.log10(1.05))
"""The effect that matters: an advantage below 5 % does not make a method better."""
MAX_GROWTH = 10.0
"""A run has diverged if its metric grows to more than so many times in its second half."""
EXTEND = 2
"""Rounds of trials beyond the choices of step sizes, for winners at their edge."""
AS_GOOD = 1.1
"""A method whose error is at most so many times another's is as good."""


@dataclass(frozen=True)
class Comparison:
    """One comparison that a claim rests on: whether a mean over seeds lies between two bounds.

    Parameters
    ----------
    what : str
        What is compared.
    numbers : str
        The numbers in words.
    values : array of shape (seeds,)
        The value for each seed, possibly infinite.
    low, high : float
        The bounds.
    effect : float, default 0
        How far beyond a bound the mean has to be to matter.
    ratio : bool, default False
        Whether values and bounds are log10 of ratios, and are shown as ratios.

    Notes
    -----
    It holds if the confidence interval of the mean lies between the bounds. It does not hold if the
    interval lies outside, or shows that the mean is inside by less than `effect`, if at all.
    """

    what: str
    numbers: str
    values: Float[Array, " seeds"]
    low: float = 0.0
    high: float = inf
    effect: float = 0.0
    ratio: bool = False

    @property
    def p_holds(self) -> float:
        """The significance level from which on it holds."""
        return p_value(self.values, self.low, self.high)

    @property
    def p_fails(self) -> float:
        """The significance level from which on it does not hold."""
        below = p_value(self.values, -inf, self.low + self.effect)
        return min(below, p_value(self.values, self.high - self.effect, inf))


def better(what: str, numbers: str, theirs: Any, ours: Any, times: float = 1.0) -> Comparison:
    """Whether `theirs` is larger than `ours`, by a factor on geometric average.

    Parameters
    ----------
    what, numbers : str
        As of Comparison.
    theirs, ours : array of shape (seeds,)
        Errors or costs, of which less is better.
    times : float, default 1
        The factor. With 1, any advantage counts unless it is shown to be below EFFECT.
    """
    effect = EFFECT if times == 1 else 0.0
    low = float(np.log10(times))
    return Comparison(what, numbers, log_ratio(theirs, ours), low, effect=effect, ratio=True)


def as_good(what: str, numbers: str, theirs: Any, ours: Any, times: float = AS_GOOD) -> Comparison:
    """Whether `ours` is at most so many times `theirs` on geometric average."""
    values = log_ratio(theirs, ours)
    return Comparison(what, numbers, values, -float(np.log10(times)), ratio=True)


class Outcome:
    """The runs of a study, by the labels of method and topology.

    A seed that diverged is a row of inf, or of -inf where a higher metric is better. So is one
    whose metric grows more than MAX_GROWTH times in its second half, where a lower one is better.

    Parameters
    ----------
    study : Study
        A study whose runs have finished.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.columns: dict[tuple[str, str, str], Float[Array, "seeds evaluations"]] = {}
        """(method, topology, column of the history) -> what was asked for so far."""

    def column(
        self, method: str, topology: str, name: str = ""
    ) -> Float[Array, "seeds evaluations"]:
        """A column of the history, by default the study's metric."""
        key = (method, topology, name or self.study.metric)
        if key not in self.columns:
            self.columns[key] = self.read(*key)
        return self.columns[key]

    def read(self, method: str, topology: str, name: str) -> Float[Array, "seeds evaluations"]:
        """Read a column of the history from the runs."""
        group = self.group(method, topology)
        rows = [self._row(group, seed, name) for seed in self.study.seeds]
        length = min((len(row) for row in rows if row is not None), default=1)
        worst = np.full(length, -inf if self.study.higher else inf)
        return np.array([worst if row is None else row[:length] for row in rows], float)

    def curve(self, method: str, topology: str, name: str = "", x: str = "iteration") -> Curve:
        """A column of the history over another one, which is equal for all seeds."""
        rows = self.column(method, topology, x)
        finished = int(np.isfinite(rows).all(axis=1).argmax())
        return rows[finished], self.column(method, topology, name)

    def _row(self, group: Group, seed: int, name: str) -> Float[Array, " evaluations"] | None:
        """A column of the history of a finished run; None if it diverged."""
        folder = group.folder_of(seed)
        if not (folder / files.DONE).is_file():
            return None
        columns = read_run(folder).columns
        metric = columns[self.study.metric]
        half = (len(metric) + 1) // 2
        early, late = np.abs(metric[:half]).max(), np.abs(metric[half:]).max(initial=0.0)
        return None if late > MAX_GROWTH * early and not self.study.higher else columns[name]

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
    def studies(self, size: Size) -> Mapping[str, Tables]:
        """The studies to run, as tables of a study's TOML file."""

    @abstractmethod
    def judge(self, found: Mapping[str, Any]) -> Iterable[Comparison]:
        """The comparisons that decide, from what `run` returns."""

    def run(
        self, size: Size, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> Mapping[str, Any] | None:
        """Run the studies. Collective.

        Returns
        -------
        Mapping or None
            Study -> its Outcome; None if a signal or the time limit stopped a run.
        """
        studies = self.studies_in(out, size)
        for study in studies.values():
            if not run_study(study, study.work, comm, log):
                return None
        return {key: Outcome(study) for key, study in studies.items()}

    def run_part(
        self, part: str, size: Size, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> bool:
        """Make a part of the runs of each study, for a job array. Collective.

        Parameters
        ----------
        part : str
            "I/N", as of `Study.part`.
        size, out, comm, log
            As of `run`.

        Returns
        -------
        bool
            False if a signal or the time limit stopped it.

        Raises
        ------
        UserError
            The part has another form, or the claim has no studies.
        """
        with agreed(comm):
            studies = self.studies_in(out, size)
            work = {key: study.part(part) for key, study in studies.items()}
            if not work:
                raise UserError("--part: this claim is not made of studies; run it without --part")
        return all(run_study(study, work[key], comm, log) for key, study in studies.items())

    def studies_in(self, out: Path, size: Size) -> dict[str, Study]:
        """The studies, each with a folder inside `out`."""
        return {
            key: study_of(tables, key, out=out / key) for key, tables in self.studies(size).items()
        }

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        """Draw the figures and return their files; by default the metric of every study."""
        shown: dict[str, dict[str, Curve]] = {key: {} for key in found}
        for key, outcome in found.items():
            for method, topology in product(outcome.methods, outcome.topologies):
                label = f"{method}, {topology}" if len(outcome.topologies) > 1 else method
                shown[key][label] = outcome.curve(method, topology)
        ylabel = axis_label(next(iter(found.values())).study.metric)
        return [panels(out / "curves.png", shown, "iterations", ylabel, log=True)]


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
    numbers = {"budget": budget, "iterations": iterations, "extend": EXTEND}
    return {"how": "grid", **numbers, "steps": steps}


def halving(budget: int, iterations: int, **steps: Sequence[Any]) -> Tables:
    """`[tune]` with successive halving over a grid of step sizes."""
    return {**grid(budget, iterations, **steps), "how": "halving"}


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
    """Mean and standard deviation over the seeds, as "0.12 ± 0.03"; the median if some diverged."""
    values = np.asarray(values, float)
    diverged = np.count_nonzero(~np.isfinite(values))
    if diverged:
        return f"{np.median(values):.3g} in the median, {diverged} of {len(values)} diverged"
    spread = values.std(ddof=1) if len(values) > 1 else 0
    return f"{values.mean():.3g} ± {spread:.1g}"

"""What a claim is: studies that are run, and margins that are positive where it holds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...storage import files
from ...storage import load as archive
from .. import Study, checked, execute
from ..study import Group

Array = Any
Tables = Mapping[str, Any]

HOLDS, FAILS, UNDECIDED = "HOLDS", "DOES NOT HOLD", "UNDECIDED"


@dataclass(frozen=True)
class Finding:
    """One comparison: what, its numbers in words, and a margin for each seed, positive where the claim holds, infinite ones allowed.

    It holds if the mean of the margins is larger than their standard deviation over the seeds, it does not if the mean is below minus
    that, and is undecided between.
    """

    what: str
    numbers: str
    margins: Array

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds."""
        margins = np.asarray(self.margins, float)
        return float(np.std(margins, ddof=1)) if len(margins) > 1 and np.isfinite(margins).all() else 0.0

    @property
    def mean(self) -> float:
        """The mean over the seeds; where some are infinite, the median, so that one diverged seed decides nothing."""
        margins = np.asarray(self.margins, float)
        return float(np.mean(margins) if np.isfinite(margins).all() else np.median(margins))

    @property
    def verdict(self) -> str:
        if len(self.margins) < 2 or np.isnan(self.margins).any():
            return UNDECIDED
        return HOLDS if self.mean > self.spread else FAILS if self.mean < -self.spread else UNDECIDED


class Outcome:
    """The runs of a study, by the labels of method and topology; a diverged seed is a row of inf (-inf where more is better)."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def column(self, method: str, topology: str, name: str = "") -> Array:
        """(seeds, evaluations) of a column of the history, or of the study's metric."""
        group = self.group(method, topology)
        name = name or self.study.metric
        rows = [self._history(group, seed, name) for seed in self.study.seeds]
        length = min((len(row) for row in rows if row is not None), default=1)
        worst = -inf if self.study.higher else inf
        return np.array([np.full(length, worst) if row is None else row[:length] for row in rows], float)

    def end(self, method: str, topology: str, share: float = 0.25, name: str = "") -> Array:
        """(seeds,): the mean over the last share of the evaluations."""
        values = self.column(method, topology, name)
        return values[:, -max(1, round(share * values.shape[1])):].mean(axis=1)

    def reached(self, method: str, topology: str, target: float, cost: str = "iteration") -> Array:
        """(seeds,): the cost, a column of the history, at which the metric is as good as the target and stays so; inf if it never is."""
        from ..curves import reached
        costs, found = self.column(method, topology, cost), []
        for values, cost_of in zip(self.column(method, topology), costs, strict=True):
            at = reached(values, target, self.study.higher)
            found.append(inf if at is None else float(cost_of[at]))
        return np.array(found)

    def group(self, method: str, topology: str) -> Group:
        return next(group for group in self.study.groups if (group.method, group.topology) == (method, topology))

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(group.method for group in self.study.groups))

    @property
    def topologies(self) -> list[str]:
        return list(dict.fromkeys(group.topology for group in self.study.groups))

    @staticmethod
    def _history(group: Group, seed: int, name: str) -> Array | None:
        folder = group.folder / f"seed-{seed}"
        return archive.read(folder).history[name] if (folder / files.DONE).is_file() else None


class Claim:
    """A claim of the literature. Rule, sizes, seeds and tuning budget stand here, before any run."""

    says: ClassVar[str]
    """The claim, in a sentence."""
    source: ClassVar[str]
    """Where it is claimed."""
    rule: ClassVar[str]
    """How it is judged, in words."""

    def studies(self, full: bool) -> Mapping[str, Tables]:
        """The studies to run, as tables of study.toml, at the papers' size or a quick one."""
        raise AssertionError("every claim names its studies")

    def judge(self, found: Mapping[str, Any]) -> Iterable[Finding]:
        """The findings from what `run` gives."""
        raise AssertionError("every claim is judged")

    def run(self, full: bool, out: Path, comm: Any, told: Callable[[str], None]) -> Mapping[str, Any] | None:
        """The outcome of each study; None if a signal or the clock stopped it. Collective."""
        studies = {key: checked(tables, key, out=out / key) for key, tables in self.studies(full).items()}
        for study in studies.values():
            if not execute(study, study.work, comm, told):
                return None
        return {key: Outcome(study) for key, study in studies.items()}

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        """The figures: each study's table and curves, unless a claim draws its own."""
        from .. import report
        return [path for outcome in found.values() if isinstance(outcome, Outcome) for path in report(outcome.study)]


def log_ratio(larger: Array, smaller: Array) -> Array:
    """log10(larger / smaller) for each seed; diverged ones are infinite, both diverged: NaN."""
    with np.errstate(all="ignore"):
        return np.log10(np.asarray(larger, float)) - np.log10(np.asarray(smaller, float))


def numbers(values: Array) -> str:
    """"0.12 ± 0.03" over the seeds."""
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        return f"{np.median(values):.3g} (some diverged)"
    return f"{values.mean():.3g} ± {values.std(ddof=1) if len(values) > 1 else 0:.1g}"

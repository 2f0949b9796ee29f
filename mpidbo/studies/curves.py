"""The runs of a study made so far: the metric and the costs of every seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._types import Array, Float
from ..storage import COSTS as HISTORY_COSTS
from ..storage import Saved, files, read_run
from .study import Group, Study

COSTS = ("iterations", "floats", "bytes", "rounds", "oracle calls")

History: TypeAlias = Mapping[str, Array]
"""Column -> its values (evaluations,)."""


@dataclass(frozen=True)
class Curves:
    """The runs of a group made so far.

    Parameters
    ----------
    group : Group
        The group.
    values : array of shape (seeds, evaluations)
        The metric of every run that finished or diverged. A run that a stop rule ended keeps its
        last value from there on; one that diverged is NaN from there on.
    costs : Mapping
        Cost -> its values at the evaluations.
    spent : Mapping
        Cost -> what each finished run cost in total.
    ends : array of shape (finished seeds,)
        The metric at the end of each finished run.
    diverged, missing : int
        How many runs have diverged, and how many are not finished.
    found : tuple of Mapping
        The step sizes that each finished run has found itself: key -> a number or schedule.
    """

    group: Group
    values: Float[Array, "seeds evaluations"]
    costs: Mapping[str, Float[Array, " evaluations"]]
    spent: Mapping[str, Float[Array, " finished"]]
    ends: Float[Array, " finished"]
    diverged: int
    missing: int
    found: tuple[Mapping[str, Any], ...] = ()

    def worst_filled(self, higher: bool) -> Float[Array, "seeds evaluations"]:
        """`values` with the worst possible number where a run has diverged."""
        return np.where(np.isnan(self.values), -np.inf if higher else np.inf, self.values)


def curves(study: Study, group: Group) -> Curves:
    """Read the runs of a group made so far.

    Parameters
    ----------
    study : Study
        The study.
    group : Group
        One of its groups.

    Returns
    -------
    Curves
    """
    ended, diverged = _ended(study, group)
    finished = [run.columns for run in ended]
    ends = np.array([history[study.metric][-1] for history in finished], float)
    spent = {cost: np.array([_costs(run)[cost][-1] for run in finished]) for cost in COSTS}
    values, costs = np.empty((0, 0)), {}
    evaluated = [run for run in (*finished, *diverged) if len(run.get("iteration", ()))]
    if evaluated:
        longest = max(evaluated, key=lambda run: len(run["iteration"]))
        values = _values(study.metric, finished, diverged, len(longest["iteration"]))
        costs = _costs(longest)
    missing = len(study.seeds) - len(finished) - len(diverged)
    found = tuple(run.tables.get("tuning", {}).get("found", {}) for run in ended)
    return Curves(group, values, costs, spent, ends, len(diverged), missing, found)


def _ended(study: Study, group: Group) -> tuple[list[Saved], list[History]]:
    """The runs that finished, and the histories of those that diverged."""
    finished: list[Saved] = []
    diverged: list[History] = []
    for seed in study.seeds:
        folder = group.folder_of(seed)
        if (folder / files.DONE).is_file():
            finished.append(read_run(folder))
        elif (folder / files.DIVERGED).is_file():
            diverged.append(_history_if_any(folder))
    return finished, diverged


def _history_if_any(folder: Path) -> History:
    return read_run(folder).columns if (folder / files.HISTORY).is_file() else {}


def _values(
    metric: str, finished: Sequence[History], diverged: Sequence[History], evaluations: int
) -> Float[Array, "seeds evaluations"]:
    """The metric of all runs, as `Curves.values` has it."""
    values = np.full((len(finished) + len(diverged), evaluations), np.nan)
    for row, history in zip(values, (*finished, *diverged), strict=True):
        column = np.asarray(history.get(metric, ()), float)
        row[: len(column)] = column
    for row, history in zip(values, finished, strict=False):
        length = len(history["iteration"])
        row[length:] = row[length - 1]
    return values


def _costs(history: History) -> dict[str, Float[Array, " evaluations"]]:
    return {cost: HISTORY_COSTS[cost].of(history) for cost in COSTS}


def reached(values: Float[Array, " evaluations"], target: float, higher: bool) -> int | None:
    """The first evaluation from which the values stay as good as the target.

    Parameters
    ----------
    values : array of shape (evaluations,)
        The metric of a run.
    target : float
        The target.
    higher : bool
        Whether a higher metric is better.

    Returns
    -------
    int or None
        None where there is none.
    """
    good = values >= target if higher else values <= target
    worse = np.flatnonzero(~good)  # NaN is worse too
    first = int(worse[-1]) + 1 if worse.size else 0
    return first if first < len(values) else None

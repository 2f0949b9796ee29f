"""The runs of a study, as far as they are there: the metric and the costs of every seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..storage import files
from ..storage import load as archive
from .study import Group, Study

COSTS = ("iterations", "floats", "rounds", "oracle calls")
Array = Any


@dataclass(frozen=True)
class Curves:
    """The runs of a group that are there.

    `values` (seeds, evaluations) is the metric of every run that finished or diverged. A run that
    a stop rule ended keeps its last value from there on; one that diverged is NaN from there on.
    `costs` has (evaluations,) for each cost; `spent` what each finished run cost in all.
    """

    group: Group
    values: Array
    costs: Mapping[str, Array]
    spent: Mapping[str, Array]
    ends: Array
    """(finished seeds,): the metric at the end of each run that finished."""
    diverged: int
    missing: int

    def worst_filled(self, higher: bool) -> Array:
        """`values` with the worst possible number where a run has diverged."""
        return np.where(np.isnan(self.values), -np.inf if higher else np.inf, self.values)


def curves(study: Study, group: Group) -> Curves:
    """A group's runs as far as they are there."""
    finished, cut = [], []
    for seed in study.seeds:
        folder = group.folder / f"seed-{seed}"
        if (folder / files.DONE).is_file():
            finished.append(archive.read(folder).history)
        elif (folder / files.DIVERGED).is_file():
            cut.append(_history(folder))
    missing = len(study.seeds) - len(finished) - len(cut)
    ends = np.array([history[study.metric][-1] for history in finished], float)
    spent = {cost: np.array([_costs(history)[cost][-1] for history in finished]) for cost in COSTS}
    there = [history for history in (*finished, *cut) if len(history.get("iteration", ()))]
    if not there:
        return Curves(group, np.empty((0, 0)), {}, spent, ends, len(cut), missing)
    longest = max(there, key=lambda history: len(history["iteration"]))
    rows = len(longest["iteration"])
    values = np.full((len(finished) + len(cut), rows), np.nan)
    for row, history in zip(values, (*finished, *cut), strict=True):
        known = np.asarray(history.get(study.metric, ()), float)
        row[:len(known)] = known
    for row, history in zip(values, finished, strict=False):
        row[len(history["iteration"]):] = row[len(history["iteration"]) - 1]
    return Curves(group, values, _costs(longest), spent, ends, len(cut), missing)


def _history(folder: Path) -> Mapping[str, Array]:
    """What a run that diverged had evaluated; {} where it has no history."""
    return archive.read(folder).history if (folder / files.HISTORY).is_file() else {}


def _costs(history: Mapping[str, Array]) -> dict[str, Array]:
    calls = np.sum([values for name, values in history.items() if name.startswith("calls_")], axis=0)
    found = {"iterations": history["iteration"], "floats": history["floats"],
             "rounds": history["rounds"], "oracle calls": calls}
    return {name: np.asarray(values, float) for name, values in found.items()}


def reached(values: Array, target: float, higher: bool) -> int | None:
    """The first evaluation whose value is as good as the target and stays so to the end; None if there is none."""
    worse = np.flatnonzero(~(values >= target if higher else values <= target))
    first = int(worse[-1]) + 1 if worse.size else 0
    return first if first < len(values) else None

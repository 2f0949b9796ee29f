"""The runs of a study, as far as they are there: the metric and the costs of every seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import archive, files
from .running import DIVERGED
from .study import Group, Study

COSTS = ("iterations", "floats", "rounds", "oracle calls")
Array = Any


@dataclass(frozen=True)
class Curves:
    """A group's runs that reached their end: the metric (seeds, evaluations), each cost (evaluations,); how many others there are."""

    group: Group
    values: Array
    costs: Mapping[str, Array]
    diverged: int
    missing: int

    @property
    def ends(self) -> Array:
        return self.values[:, -1] if self.values.size else np.empty(0)


def curves(study: Study, group: Group) -> Curves:
    """A group's runs as far as they are there."""
    histories, diverged = [], 0
    for seed in study.seeds:
        folder = group.folder / f"seed-{seed}"
        if (folder / files.DONE).is_file():
            histories.append(archive.read(folder).history)
        else:
            diverged += (folder / DIVERGED).is_file()
    missing = len(study.seeds) - len(histories) - diverged
    if not histories:
        return Curves(group, np.empty((0, 0)), {}, diverged, missing)
    rows = min(len(history["iteration"]) for history in histories)      # a stop rule may end one seed earlier
    first = histories[0]
    calls = np.sum([values for name, values in first.items() if name.startswith("calls_")], axis=0)
    costs = {"iterations": first["iteration"], "floats": first["floats"], "rounds": first["rounds"], "oracle calls": calls}
    return Curves(group, np.array([history[study.metric][:rows] for history in histories], float),
                  {name: np.asarray(values[:rows], float) for name, values in costs.items()}, diverged, missing)


def reached(values: Array, target: float, higher: bool) -> int | None:
    """The first evaluation whose value is as good as the target and stays so to the end; None if there is none."""
    worse = np.flatnonzero(~(values >= target if higher else values <= target))
    first = int(worse[-1]) + 1 if worse.size else 0
    return first if first < len(values) else None

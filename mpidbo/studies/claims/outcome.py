"""The runs of a study that has finished, as claims ask for them."""

from math import inf

import numpy as np

from ..._types import Array, Float
from ...storage import files, read_run
from ..curves import reached
from ..study import Group, Study
from .panels import Curve

MAX_GROWTH = 10.0
"""A run has diverged if its metric grows to more than so many times in its second half."""


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

"""The columns of a run's history: iteration, metrics, and counts of what the run has cost so far.

A row is written at each evaluation. Metrics are those of `mpidbo.problems.metrics`, of the method
and of the problem; docs/notation.md defines all columns.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._types import Array
from ..problems import METRICS

CALLS, SECONDS = "calls_", "seconds_"
"""How the columns of oracle calls and of seconds begin."""
PARTS = ("oracle", "exchange", "update", "evaluation")
"""What seconds are counted for."""
COUNTS = ("iteration", "floats", "bytes", "messages", "rounds", CALLS, SECONDS)
"""How the names of all columns begin that are not metrics."""
LAST = 100
"""The order of metrics that are not of mpidbo's own."""
PROBLEM_LABELS = {
    "test_accuracy": "test accuracy",
    "auc": "AUC",
    "holdout_loss": "holdout loss",
    "holdout_accuracy": "holdout accuracy",
}
"""Labels of metrics that several problems have, the first in figures; others have their names,
with spaces."""
LARGE = {"accuracy", "acc", "auc", "auroc", "f1", "precision", "recall", "r2", "reward", "return"}
SMALL = {"loss", "error", "distance", "residual", "norm", "mse", "rmse", "mae", "nll", "regret"}
"""Words in the names of metrics that are to become large, and small."""


@dataclass(frozen=True)
class Column:
    """A column of the history.

    Parameters
    ----------
    name : str
    label : str
        The axis of figures.
    dtype : type
        Of the dataset in history.h5: int64 for counts of events, else float64.
    unit : str
        "s" for seconds, "" elsewhere: iterations, numbers of events, the problem's own units.
    family : str
        The name of the metric whose columns, one for each variable, it belongs to; "" for none.
    own : bool
        Whether it is a metric that is not mpidbo's own.
    headline : bool
        Whether figures show it unless asked for others; the progress bar too, unless it is `own`.
    order : tuple
        Its place in tables: sort by it.
    mode : {"min", "max", ""}
        Whether it is to become small or large; "" where that is not known.
    """

    name: str
    label: str
    dtype: type[np.generic] = np.float64
    unit: str = ""
    family: str = ""
    own: bool = False
    headline: bool = False
    order: tuple[int, int, str] = (LAST, 0, "")
    mode: str = ""


@dataclass(frozen=True)
class Cost:
    """What the x axis of a figure may be: a column of counts, or the sum of several.

    Parameters
    ----------
    label : str
        The axis of figures.
    columns : tuple of str
        The columns that are added; a name that ends with "_" is all columns that begin with it.
    """

    label: str
    columns: tuple[str, ...]

    def of(self, history: Mapping[str, Any]) -> Array:
        """Return the cost so far at each row of a history, (rows,)."""
        names: list[str] = []
        for wanted in self.columns:
            names += matching(history, wanted) if wanted.endswith("_") else [wanted]
        if len(names) == 1:
            return np.asarray(history[names[0]], float)
        return np.asarray(np.sum([history[name] for name in names], axis=0), float)


COSTS = {
    "iterations": Cost("iterations", ("iteration",)),
    "floats": Cost("floats sent by all agents", ("floats",)),
    "bytes": Cost("bytes sent by all agents", ("bytes",)),
    "messages": Cost("messages of all agents", ("messages",)),
    "rounds": Cost("rounds", ("rounds",)),
    "oracle calls": Cost("oracle calls of all agents", (CALLS,)),
    "seconds": Cost("seconds, without evaluation", tuple(f"{SECONDS}{part}" for part in PARTS[:3])),
}
"""Costs by name."""


def matching(names: Iterable[str], prefix: str) -> list[str]:
    """Return the names that begin with a prefix."""
    return [name for name in names if name.startswith(prefix)]


def is_metric(name: str) -> bool:
    """Return whether a column is a metric, not the iteration or a count."""
    return not name.startswith(COUNTS)


def in_brief(name: str) -> bool:
    """Return whether a column is a metric that one line of metrics has: not a detail of another."""
    return is_metric(name) and not (name in METRICS and METRICS[name].beside)


def is_reserved(name: str, of_methods: Iterable[str] = ()) -> bool:
    """Return whether a problem's metric must not have this name: a column has it already.

    Parameters
    ----------
    name : str
    of_methods : iterable of str
        Names of the methods' own metrics.
    """
    registered = name in METRICS or bool(_family(name) or _per_metric(name))
    return not is_metric(name) or registered or name in of_methods


def column(name: str) -> Column:
    """Return what is known of a column, whatever its name."""
    if not is_metric(name):
        seconds = name.startswith(SECONDS)
        labels = {"iteration": COSTS["iterations"].label} | {
            cost: COSTS[cost].label for cost in ("floats", "bytes")
        }
        label = labels.get(name, name)
        return Column(name, label, np.float64 if seconds else np.int64, "s" if seconds else "")
    if each := _per_metric(name):
        rest = column(name.removeprefix(f"{each}_"))
        label = f"{rest.label}, {METRICS[each].label}"
        order = (METRICS[each].order, 0, name)
        return Column(name, label, own=True, headline=True, order=order, mode=rest.mode)
    family = _family(name)
    entry = METRICS.get(family or name)
    if entry is None:
        label = PROBLEM_LABELS.get(name, name.replace("_", " "))
        order = (LAST, 0, name)
        return Column(name, label, own=True, headline=True, order=order, mode=_mode(name))
    place = "xyzt".find(name.rpartition("_")[2]) if family else 0
    order = (entry.order, place, name)
    return Column(
        name, entry.label, family=family, headline=entry.headline, order=order, mode=entry.mode
    )


def metrics_of(names: Iterable[str]) -> list[str]:
    """Return the metrics among the columns, the usual ones first."""
    return sorted(filter(is_metric, names), key=lambda name: column(name).order)


def place_in_row(name: str) -> tuple[int, bool]:
    """Sort key of the metrics in a row: as registered, a problem's own before `distance`."""
    entry = _family(name) or _per_metric(name) or name
    registered = list(METRICS)
    own = entry not in METRICS
    return registered.index("distance" if own else entry), not own


def with_bytes(columns: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Return columns or counts of a run with `bytes`, which runs of earlier versions lack.

    Parameters
    ----------
    columns : mapping
        Name -> numbers so far, or one number.
    dtype : str
        Type of the run's floats, all of which were sent in full.
    """
    if "bytes" in columns or "floats" not in columns:
        return dict(columns)
    floats = columns["floats"]
    size = np.multiply(floats, np.dtype(dtype).itemsize)
    return {**columns, "bytes": size if isinstance(floats, np.ndarray) else size.tolist()}


def history_arrays(history: Mapping[str, Sequence[float]]) -> dict[str, Array]:
    """Return a history's columns as the arrays that history.h5 has."""
    return {name: np.array(values, column(name).dtype) for name, values in history.items()}


def _family(name: str) -> str:
    """The metric with a column for each variable to which a column belongs; "" if none."""
    for entry in METRICS.values():
        if entry.family and name.startswith(f"{entry.name}_"):
            return entry.name
    return ""


def _per_metric(name: str) -> str:
    """The metric with a column for each of the problem's to which a column belongs; "" if none."""
    for entry in METRICS.values():
        if entry.per_metric and name.startswith(f"{entry.name}_"):
            return entry.name
    return ""


def _mode(name: str) -> str:
    """The mode of a metric that is not mpidbo's own, by the words of its name."""
    words = set(re.split("[^a-z0-9]+", name.lower()))
    modes = {mode for mode, known in (("max", LARGE), ("min", SMALL)) if words & known}
    return modes.pop() if len(modes) == 1 else ""

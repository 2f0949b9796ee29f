"""The curves of a page as data: what can be drawn, along which axes, and the values."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..._types import Array
from ...storage import COSTS, Saved, column, metrics_of, read_best
from ..curves import headlines
from ..run_labels import color_numbers
from ..style import is_logarithmic

MAX_ROWS = 3000
"""Evaluations of a run that are drawn; of a longer history the extremes of each interval."""
MAX_SHOWN = 4
"""Metrics that a page shows at first."""
DIGITS = 7
"""Significant digits of a value."""


def curve_data(runs: Sequence[Saved], labels: Sequence[str]) -> dict[str, Any]:
    """Return the curves of runs, as what JSON can hold.

    Parameters
    ----------
    runs : sequence of Saved
    labels : sequence of str
        The name of each run.

    Returns
    -------
    dict
        The x axes and the metrics that can be chosen, and the values of each run. A value that is
        not finite is None.
    """
    drawn = [
        {"number": number, "label": label, "color": color, **_values(run)}
        for number, (run, label, color) in enumerate(
            zip(runs, labels, color_numbers(runs), strict=True)
        )
    ]
    chosen = dict.fromkeys(metric for run in drawn for metric in run["best"])
    return {"axes": _axes(drawn), "metrics": _metrics(runs, chosen), "runs": drawn}


def _values(run: Saved) -> dict[str, Any]:
    """What a run has spent by axis, and its values by metric, at each evaluation that is drawn."""
    metrics = {name: np.asarray(run.columns[name], float) for name in metrics_of(run.columns)}
    length = len(run.columns.get("iteration", ()))
    best = _best(run)
    rows = kept_rows(metrics, length, best.values())
    costs = {name: cost for name in COSTS if (cost := _cost(run, name, length)) is not None}
    return {
        "evaluations": length,
        "best": {metric: int(np.searchsorted(rows, row)) for metric, row in best.items()},
        "x": {name: _plain(cost[rows]) for name, cost in costs.items()},
        "y": {name: _plain(values[rows]) for name, values in metrics.items()},
    }


def _best(run: Saved) -> dict[str, int]:
    """The row of the best iterate by its metric, where there is one and the history has it."""
    if run.best_file is None or "iteration" not in run.columns:
        return {}
    best = read_best(run.best_file, with_rows=False)
    found = np.flatnonzero(run.columns["iteration"] == best.iteration)
    return {best.metric: int(found[0])} if found.size else {}


def _cost(run: Saved, name: str, length: int) -> Array | None:
    """What has been spent at each evaluation; None where the history does not have it."""
    try:
        cost = COSTS[name].of(run.columns)
    except KeyError:
        return None
    return cost if length and cost.shape == (length,) else None


def kept_rows(columns: Mapping[str, Array], length: int, also: Iterable[int] = ()) -> Array:
    """Return the rows that are drawn of a history, in order.

    All of them up to `MAX_ROWS`. Of a longer history the first row, the last one, and in each of
    equal intervals those in which a column is smallest and largest.

    Parameters
    ----------
    columns : mapping of str to array of shape (length,)
        What is drawn.
    length : int
        Rows of the history.
    also : iterable of int, optional
        Rows that are kept in any case.
    """
    if length <= MAX_ROWS or not columns:
        return np.arange(length)
    intervals = max(1, (MAX_ROWS - 2) // (2 * len(columns)))
    bounds = np.linspace(0, length, intervals + 1).astype(int)
    kept = {0, length - 1, *also}
    for values in columns.values():
        finite = np.isfinite(values)
        low, high = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
        for first, end in pairwise(bounds):
            kept |= {first + int(low[first:end].argmin()), first + int(high[first:end].argmax())}
    return np.array(sorted(kept))


def _plain(values: Array) -> list[float | int | None]:
    """Numbers as JSON has them: whole ones exact, others rounded, None for what is not finite."""
    return [
        (int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.{DIGITS}g}"))
        if np.isfinite(value)
        else None
        for value in values.tolist()
    ]


def _axes(drawn: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The axes along which a run moves; the iterations in any case."""

    def moves(name: str) -> bool:
        found = [run["x"][name] for run in drawn if run["x"].get(name)]
        return any(cost[0] != cost[-1] for cost in found)

    return [
        {"name": name, "label": cost.label}
        for name, cost in COSTS.items()
        if name == "iterations" or moves(name)
    ]


def _metrics(runs: Sequence[Saved], chosen: Iterable[str]) -> list[dict[str, Any]]:
    """The metrics that some run has; at first headlines are shown, and those `chosen` by."""
    names = metrics_of(dict.fromkeys(name for run in runs for name in run.columns))
    first = {column(name).family or name: name for name in reversed(names)}
    shown = [*(first[name] for name in headlines(names)[:MAX_SHOWN]), *chosen] or names[:1]
    return [
        {
            "name": name,
            "label": column(name).label,
            "shown": name in shown,
            "log": is_logarithmic(
                np.asarray(run.columns[name], float) for run in runs if name in run.columns
            ),
        }
        for name in names
    ]

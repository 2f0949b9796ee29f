"""Curves of one or several runs, from their histories."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError, known_as
from ..problems import METRICS, similar_metric
from ..storage import COSTS, PROBLEM_LABELS, Saved, column, metrics_of
from .run_labels import color_numbers, labels, title
from .style import (
    COLORS,
    COLUMN_WIDTH,
    MARKER_SIZE,
    MAX_COLUMN_TITLE,
    Figure,
    draw_divergence,
    draw_target,
    is_logarithmic,
    legend_below,
    line,
    marker,
    markers,
    new_figure,
    style_axes,
    text_of,
)

AGAINST = ("iterations", "floats", "bytes", "seconds")
"""Costs that the x axis may be."""
MAX_PANELS = 6
"""Metrics of a figure that was asked for none."""
MAX_COLUMN_TEXT = 62
"""Characters of a line of a legend that is one column wide."""
DIVERGED_ABOVE = 10
"""How many times the largest value of other runs a curve that diverges is drawn up to."""
LINE_STYLES = {"x": "-", "y": "--", "z": ":", "t": ":"}
"""Of the columns of a family of metrics, by variable."""


class Pen(NamedTuple):
    """How the lines of a run are drawn."""

    label: str
    color: str
    width: float
    number: int


def draw_curves(
    runs: Sequence[Saved],
    metrics: Sequence[str] = (),
    against: str = "iterations",
    *,
    target: float | None = None,
    column: bool = False,
) -> Figure:
    """Draw axes for each metric, and in them a line for each run.

    Parameters
    ----------
    runs : sequence of Saved
    metrics : sequence of str
        Columns of the history, or "consensus" for the consensus distances of all variables in one
        panel. Without any, mpidbo's headlines and the problem's own metrics, as far as the runs
        have them.
    against : str, default "iterations"
        The x axis, one of `AGAINST`.
    target : float, optional
        A value of the first metric, at which its panel has a dashed line.
    column : bool, default False
        Whether the figure is as wide as one column of a page, 3.4 inches, with panels below each
        other and small text.

    Returns
    -------
    matplotlib.figure.Figure
        A y axis is logarithmic where the values are not negative and span more than two orders of
        magnitude. The curve of a run that diverged ends in a cross.

    Raises
    ------
    UserError
        Where a run has no history, no run has a metric, or matplotlib is not installed.
    """
    for run in runs:
        if not run.columns:
            raise UserError(
                f"{run.path}: has no history.h5; a run writes it from its first evaluation on"
            )
        if against == "bytes" and "bytes" not in run.columns:
            raise UserError(
                f"{run.path}: a history of an earlier version, without bytes; give the run's "
                "folder, or take --against floats"
            )
    names = _chosen(runs, metrics)
    with text_of(column):
        return _figure(runs, names, against, target, column)


def _figure(
    runs: Sequence[Saved], names: Sequence[str], against: str, target: float | None, column: bool
) -> Figure:
    """The figure of these metrics."""
    columns = 1 if column else _columns(len(names))
    rows = -(-len(names) // columns)
    pens = _pens(runs)
    if column:
        figure = new_figure(COLUMN_WIDTH, 0.5 + 1.9 * rows)
    else:
        figure = new_figure(1 + 4 * columns, 0.7 + 2.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for i, (ax, name) in enumerate(zip(axes.flat, names, strict=False)):
        _panel(ax, runs, pens, name, against)
        if i == 0 and target is not None:
            draw_target(ax, target)
        if i + columns >= len(names):
            ax.set_xlabel(COSTS[against].label)
    unused = list(axes.flat[len(names) :])
    for ax in unused:
        ax.set_axis_off()
    if len(runs) > 1:
        _legend(figure, unused[-1] if unused else None, pens, columns, column)
    else:
        text = title(runs[0])
        figure.suptitle(fill(text, MAX_COLUMN_TITLE) if column else text, fontsize="medium")
    return figure


def axis_label(name: str) -> str:
    """Return the label of the y axis for a metric or a family of metrics."""
    return METRICS[name].label if name in METRICS else column(name).label


def _columns(panels: int) -> int:
    """In how many columns so many panels are placed."""
    if panels == 1:
        return 1
    return 2 if panels <= 4 else 3


def _legend(figure: Figure, unused: Any, pens: Sequence[Pen], columns: int, column: bool) -> None:
    """The labels of the runs: in unused axes, or else below all."""
    lines = [line(color=pen.color, linewidth=pen.width, **markers(1, pen.number)) for pen in pens]
    names = [pen.label for pen in pens]
    if unused is not None:
        unused.legend(lines, names, loc="center", frameon=False)
        return
    if column:
        names = [fill(name, MAX_COLUMN_TEXT) for name in names]
        legend_below(figure, lines, names, 1, fontsize="small", handlelength=1.5)
        return
    fitting = 50 * columns // (max(map(len, names)) + 8)
    legend_below(figure, lines, names, max(1, min(len(names), fitting)))


def _pens(runs: Sequence[Saved]) -> list[Pen]:
    """How each run is drawn: later lines are thinner, so that lines that coincide are all seen."""
    last = len(runs) - 1
    return [
        Pen(label, COLORS[number % len(COLORS)], 1.3 + 1.6 * (last - i) / max(2, last), number)
        for i, (label, number) in enumerate(zip(labels(runs), color_numbers(runs), strict=True))
    ]


def _chosen(runs: Sequence[Saved], metrics: Sequence[str]) -> list[str]:
    """The metrics of the panels: those asked for, or else the usual ones that the runs have."""
    there = list(dict.fromkeys(name for run in runs for name in run.columns))
    families = dict.fromkeys(column(name).family for name in there)
    known = [*there, *filter(None, families)]
    asked = [(name, known_as(name, known)) for name in metrics]
    for name, found in asked:
        if not found:
            raise UserError(f"--metric {name}: not in the history; {similar_metric(name, known)}")
    wanted = list(dict.fromkeys(found for _, found in asked if found))
    return wanted or headlines(there)[:MAX_PANELS] or there[:1]


def headlines(names: Iterable[str]) -> list[str]:
    """Return the metrics and families of metrics that figures show unless asked for others.

    Parameters
    ----------
    names : iterable of str
        The columns of histories.
    """
    entries = [column(name) for name in metrics_of(names) if column(name).headline]
    return sorted(dict.fromkeys(entry.family or entry.name for entry in entries), key=_place)


def _place(name: str) -> int:
    """Sort key of the panels: mpidbo's own metrics, then those of PROBLEM_LABELS, then others."""
    if not column(name).own:
        return -1
    usual = list(PROBLEM_LABELS)
    return usual.index(name) if name in usual else len(usual)


def _panel(ax: Any, runs: Sequence[Saved], pens: Sequence[Pen], name: str, against: str) -> None:
    """Draw one metric of all runs."""
    several = len(runs) > 1
    styles: dict[str, Any] = {}
    bound = _bound(runs, name)
    for run, pen in zip(runs, pens, strict=True):
        found = _variables(run, name, several)
        for shade, (variable, key) in zip(cycle(COLORS), found.items(), strict=False):
            look = {
                "color": pen.color if several else shade,
                "linestyle": LINE_STYLES.get(variable, "-"),
                "linewidth": pen.width,
            }
            label = pen.label if several else variable
            number = pen.number if several else None
            costs, values = COSTS[against].of(run.columns), np.asarray(run.columns[key], float)
            if run.diverged:
                values = np.where(np.abs(values) <= bound, values, np.nan)
            _curve(ax, costs, values, label, look, number)
            if run.diverged:
                draw_divergence(ax, costs, values, pen.color if several else shade)
            if several:
                look |= {"color": "0.2", "linewidth": 1.4}
            styles[variable] = line(**look)
    ax.set_ylabel(axis_label(name))
    if is_logarithmic([drawn.get_ydata() for drawn in ax.lines]):
        ax.set_yscale("log", nonpositive="mask")
    style_axes(ax, ticks=6, abbreviate=against != "seconds")
    if _is_family(name):
        _legend_of_variables(ax, styles)


def _bound(runs: Sequence[Saved], name: str) -> float:
    """Up to where curves that diverge are drawn, so that those of other runs are seen beside them.

    Infinity if every run diverged.
    """
    sizes = [
        np.abs(np.asarray(run.columns[key], float))
        for run in runs
        if not run.diverged
        for key in _variables(run, name, several=True).values()
    ]
    largest = [float(size[np.isfinite(size)].max()) for size in sizes if np.isfinite(size).any()]
    return DIVERGED_ABOVE * max(largest, default=np.inf)


def _curve(
    ax: Any, x: Any, values: Any, label: str, look: Mapping[str, Any], number: int | None
) -> None:
    """One line; a zero is not on a logarithmic axis.

    A line of several has the markers of its run's number, a single one some where it is short.
    """
    y = np.asarray(values, float)
    seen = np.isfinite(y) & (y != 0)
    shown = np.where(np.isfinite(y), y, np.nan)
    points = int(seen.sum())
    single = {"marker": marker(points), "markersize": MARKER_SIZE}
    marks = single if number is None else markers(points, number)
    ax.plot(x, shown, label=label, **marks, **look)


def _legend_of_variables(ax: Any, styles: Mapping[str, Any]) -> None:
    """Which line is of which variable, above the panel."""
    ax.legend(
        styles.values(),
        styles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0,
        frameon=False,
        fontsize="small",
        ncols=len(styles),
        handlelength=1.8,
    )


def _variables(run: Saved, name: str, several: bool) -> dict[str, str]:
    """The columns of a metric by variable, "" unless it is a family; of several runs x and y."""
    if not _is_family(name):
        return {"": name} if name in run.columns else {}
    found = {key.rpartition("_")[2]: key for key in run.columns if column(key).family == name}
    return {variable: key for variable, key in found.items() if variable in "xy" or not several}


def _is_family(name: str) -> bool:
    return name in METRICS and METRICS[name].family

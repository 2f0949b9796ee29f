"""The figure of a study: a row for each topology, a column for each cost."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from .._text import plural
from ..reports import (
    COLORS,
    COLUMN_WIDTH,
    MAX_COLUMN_TITLE,
    axis_label,
    draw_band,
    draw_divergence,
    draw_target,
    is_logarithmic,
    legend_below,
    line,
    marker,
    new_figure,
    save,
    style_axes,
    text_of,
    widths,
)
from .curves import Curves
from .study import Study

PANELS = {
    "iterations": "iterations",
    "floats": "floats",
    "bytes": "bytes",
    "rounds": "rounds",
    "calls": "oracle calls",
}
"""What the x axis may be: its name on the command line, and the cost."""
USUAL_PANELS = ("iterations", "bytes", "rounds", "calls")
"""Uncompressed floats are in proportion to bytes."""
BAND_ALPHA = 0.18
MAX_LEGEND_COLUMNS = 5


def draw(
    study: Study,
    found: Sequence[Curves],
    path: Path,
    against: Sequence[str] = USUAL_PANELS,
    *,
    column: bool = False,
) -> None:
    """Draw the median over seeds, in a band from the smallest to the largest, into a file.

    A seed that diverged counts as the worst possible number from there on, so that the median ends
    where half of the seeds have diverged. Its last value has a cross.

    Parameters
    ----------
    study : Study
        The study.
    found : sequence of Curves
        The runs of each of its groups.
    path : Path
        The file; its suffix is its format.
    against : sequence of str, default `USUAL_PANELS`
        The x axes, keys of `PANELS`, a panel for each.
    column : bool, default False
        Whether the figure is as wide as one column of a page, 3.4 inches, with panels below each
        other and small text.

    Raises
    ------
    UserError
        matplotlib is not installed, or the file cannot be written.
    """
    topologies = list(dict.fromkeys(group.topology for group in study.groups))
    methods = list(dict.fromkeys(group.method for group in study.groups))
    colors = dict(zip(methods, cycle(COLORS), strict=False))
    costs = [PANELS[name] for name in against]
    with text_of(column):
        figure, axes = _axes(len(topologies), len(costs), column)
        for row, topology in zip(axes, topologies, strict=True):
            here = [part for part in found if part.group.topology == topology and part.values.size]
            ylabel = axis_label(study.metric)
            ylabel = f"{ylabel}\n{topology}" if len(topologies) > 1 else ylabel
            for ax, cost in zip(row, costs, strict=True):
                _panel(ax, here, cost, study.higher, colors)
                if study.target is not None:
                    draw_target(ax, study.target)
                if column or ax is row[0]:
                    ax.set_ylabel(ylabel)
                if column or row is axes[-1]:
                    ax.set_xlabel(
                        cost if cost in ("iterations", "rounds") else f"{cost}, all agents"
                    )
        lines = [line(color=colors[method]) for method in methods]
        names = [_legend(method, found, len(study.seeds)) for method in methods]
        in_a_row = 1 if column else min(len(methods), MAX_LEGEND_COLUMNS)
        legend_below(figure, lines, names, in_a_row)
        title = _title(study, found)
        figure.suptitle(fill(title, MAX_COLUMN_TITLE) if column else title, fontsize="medium")
        save(figure, path)


def _axes(rows: int, columns: int, column: bool) -> tuple[Any, list[list[Any]]]:
    """A figure, and axes for each topology and each cost; in one column below each other."""
    if column:
        figure = new_figure(COLUMN_WIDTH, 1.9 * rows * columns + 1.0)
        axes = figure.subplots(rows * columns, 1, squeeze=False)
    else:
        figure = new_figure(3.2 * columns + 0.6, 2.7 * rows + 0.9)
        axes = figure.subplots(rows, columns, squeeze=False, sharey="row")
    return figure, [list(row) for row in axes.reshape(rows, columns)]


def _title(study: Study, found: Sequence[Curves]) -> str:
    """What is drawn, and what crosses and the dashed line are."""
    title = f"{study.name}: median and range over {plural(len(study.seeds), 'seed')}"
    if any(part.diverged for part in found):
        title += "; a cross where a seed diverged"
    if study.target is not None:
        title += f"; dashed: the target, {study.target:g}"
    return title


def _legend(method: str, found: Sequence[Curves], seeds: int) -> str:
    """The method, and how many of its runs diverged or are missing."""
    here = [part for part in found if part.group.method == method]
    counts = {
        "diverged": sum(part.diverged for part in here),
        "missing": sum(part.missing for part in here),
    }
    runs = seeds * len(here)
    notes = [f"{count} of {runs} runs {what}" for what, count in counts.items() if count]
    return f"{method} ({', '.join(notes)})" if notes else method


def _panel(
    ax: Any, parts: Sequence[Curves], cost: str, higher: bool, colors: dict[str, str]
) -> None:
    """The curves of all methods on one topology against one cost."""
    for part, width in zip(parts, widths(len(parts)), strict=True):
        _curve(ax, part, cost, higher, colors[part.group.method], width)
    if is_logarithmic([part.values.ravel() for part in parts]):
        ax.set_yscale("log", nonpositive="mask")
    elif parts:
        ax.set_ylim(*_limits([part.values for part in parts]))
    style_axes(ax, ticks=4)


def _curve(ax: Any, part: Curves, cost: str, higher: bool, color: str, width: float) -> None:
    """The median over the seeds of one method in its band, and crosses where seeds diverged."""
    x, values = part.costs[cost], part.values
    median = np.median(part.worst_filled(higher), axis=0)
    symbol = marker(values.shape[1])
    draw_band(ax, x, values, color, width, alpha=BAND_ALPHA, median=median, marker=symbol)
    if part.diverged:  # the median ends, the curves of the other seeds do not
        ax.plot(x, values.T, color=color, linewidth=0.6, alpha=0.5)
    diverged = values[len(part.ends) :]  # after the rows of the runs that finished
    for row in diverged:
        draw_divergence(ax, x, row, color)


def _limits(found: Sequence[Any]) -> tuple[float, float]:
    """Limits of the y axis: the range of the curves after the first tenth, often a steep start."""
    # From a tenth on, rounded up; the last evaluation counts also where that leaves nothing.
    parts = [values[:, -(-values.shape[1] // 10) :].ravel() for values in found]
    parts += [values[:, -1] for values in found]
    numbers = np.concatenate(parts)
    numbers = numbers[np.isfinite(numbers)]
    low, high = 0.0, 1.0
    if numbers.size:
        low, high = float(numbers.min()), float(numbers.max())
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room

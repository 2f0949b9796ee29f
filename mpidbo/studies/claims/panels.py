"""Figures of claims: panels with one y axis, and curves of several studies in each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..._text import plural
from ..._types import Array
from ...reports import (
    COLORS,
    COLUMN_WIDTH,
    FigureFolder,
    draw_band,
    legend_below,
    line,
    new_figure,
    style_axes,
    widths,
)
from .statistics import region

Curve: TypeAlias = tuple[Array, Array]
"""An x axis (evaluations,) and a column of the history (seeds, evaluations)."""

MAX_IN_A_ROW = 3
"""Panels side by side; more are drawn in rows of two."""
MAX_COLUMN_YLABEL = 20
"""Characters of a line of a y axis's title, in one column."""
MANY_SEEDS = 8
"""Seeds from which the band is not that of all: a single one would widen the range."""


def panels(
    out: FigureFolder,
    name: str,
    curves: Mapping[str, Mapping[str, Curve]],
    xlabel: str,
    ylabel: str,
    log: bool = False,
    share: float | None = None,
) -> Path:
    """Draw the median over seeds, in a band of the middle half of them, or of all where few.

    Each panel says how many seeds of a curve diverged.

    Parameters
    ----------
    out : FigureFolder
        Where the figure is written, its format and width.
    name : str
        Name of the file, without its suffix.
    curves : Mapping
        Title of a panel -> label -> curve.
    xlabel, ylabel : str
        Titles of the axes.
    log : bool, default False
        Whether the y axis is logarithmic.
    share : float, optional
        The share of the seeds in a band, as of `region`, in place of the middle half.

    Returns
    -------
    Path
        The file.
    """
    labels = list(dict.fromkeys(label for panel in curves.values() for label in panel))
    pens = {
        label: (COLORS[i % len(COLORS)], thickness)
        for i, (label, thickness) in enumerate(zip(labels, widths(len(labels)), strict=True))
    }
    with out.text():
        figure, axes = _axes(len(curves), len(labels), out.column)
        for ax, (title, panel) in zip(axes.flat, curves.items(), strict=False):
            for label, (x, values) in panel.items():
                median = np.median(values, axis=0)
                draw_band(ax, x, _band(values, share), *pens[label], median=median)
            ax.set(title=out.filled(title), xlabel=xlabel, yscale="log" if log else "linear")
            if note := _diverged(panel):
                # A legend without curves lies where it covers the fewest points.
                ax.legend([], [], title=note, title_fontsize="small", frameon=False)
            style_axes(ax)
        for ax in axes[:, 0]:
            ax.set_ylabel(out.filled(ylabel, MAX_COLUMN_YLABEL))
        most = max(len(values) for panel in curves.values() for _, values in panel.values())
        if most > 1:
            middle = f"the middle {100 * share:g} %" if share else "the middle half"
            band = middle if most >= MANY_SEEDS else "all"
            title = f"median over {plural(most, 'seed')}, in a band of {band}"
            figure.suptitle(out.filled(title), fontsize="medium")
        lines = [line(color=color) for color, _ in pens.values()]
        in_a_row = 1 if out.column else min(len(labels), 2 * axes.shape[1])
        legend_below(figure, lines, labels, in_a_row)
        return out.save(figure, name)


def _axes(count: int, labels: int, column: bool) -> tuple[Any, Any]:
    """A figure, and rows of axes for so many panels, with room for so many labels below them."""
    if column:
        figure = new_figure(COLUMN_WIDTH, 1.9 * count + 0.16 * labels + 0.6)
        return figure, figure.subplots(count, 1, squeeze=False, sharey=True)
    columns = MAX_IN_A_ROW if count % MAX_IN_A_ROW == 0 else min(count, 2)
    rows = -(-count // columns)
    figure = new_figure(max(5.6, 3.3 * columns + 0.8), 2.7 * rows + 1.2)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return figure, axes


def _band(values: Array, share: float | None = None) -> Array:
    """Return the values between which the band of a curve lies, shape (2, points) or as given."""
    if len(values) < MANY_SEEDS:
        return values
    # Of a seed that diverged the numbers are not finite, and worse than any other.
    worst = np.where(np.isfinite(values), values, np.inf)
    if share:
        ends = region(worst, share)
    else:
        ends = np.sort(worst, axis=0)[[len(values) // 4, -(len(values) // 4) - 1]]
    return np.where(np.isfinite(ends).all(axis=0), ends, np.nan)


def _diverged(panel: Mapping[str, Curve]) -> str:
    """A line for each curve with seeds that diverged."""
    counts = {
        label: np.count_nonzero(~np.isfinite(values).all(axis=1))
        for label, (_, values) in panel.items()
    }
    return "\n".join(
        f"{label}: {count} of {len(panel[label][1])} diverged"
        for label, count in counts.items()
        if count
    )

"""Figures of claims: panels side by side with one y axis, and curves of several studies in each."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from ..._types import Array
from ...reports import COLORS, draw_band, legend_below, line, new_figure, save, style_axes, widths

Curve: TypeAlias = tuple[Array, Array]
"""An x axis (evaluations,) and a column of the history (seeds, evaluations)."""


def panels(
    path: Path,
    curves: Mapping[str, Mapping[str, Curve]],
    xlabel: str,
    ylabel: str,
    log: bool = False,
) -> Path:
    """Draw the median over seeds, in a band from the smallest to the largest.

    Parameters
    ----------
    path : Path
        The file.
    curves : Mapping
        Title of a panel -> label -> curve.
    xlabel, ylabel : str
        Titles of the axes.
    log : bool, default False
        Whether the y axis is logarithmic.

    Returns
    -------
    Path
        The file.
    """
    width = max(5.6, 3.3 * len(curves) + 0.8)
    figure = new_figure(width, 3.6)
    axes = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    labels = list(dict.fromkeys(label for panel in curves.values() for label in panel))
    pens = {
        label: (COLORS[i % len(COLORS)], thickness)
        for i, (label, thickness) in enumerate(zip(labels, widths(len(labels)), strict=True))
    }
    for ax, (title, panel) in zip(axes, curves.items(), strict=True):
        for label, (x, values) in panel.items():
            draw_band(ax, x, values, *pens[label])
        ax.set(title=title, xlabel=xlabel, yscale="log" if log else "linear")
        style_axes(ax)
    axes[0].set_ylabel(ylabel)
    lines = [line(color=color) for color, _ in pens.values()]
    legend_below(figure, lines, labels, min(len(labels), 2 * len(curves)))
    save(figure, path)
    return path

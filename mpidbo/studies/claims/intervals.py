"""The figure of a claim's findings: confidence intervals and the bounds that they are held to."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from ...reports import COLORS, COLUMN_WIDTH, FigureFolder, new_figure
from .finding import FAILS, HOLDS, UNDECIDED, Finding

INTERVALS = "intervals"
"""Name of the figure."""
MAX_NAME, MAX_COLUMN_NAME = 60, 24
"""Characters of a line beside an interval, in a wide figure and in one column."""
PENS = {HOLDS: COLORS[2], FAILS: COLORS[1], UNDECIDED: "0.5"}


def draw_findings(out: FigureFolder, findings: Sequence[Finding]) -> Path:
    """Draw the interval of every finding, and its bounds in black, into `intervals`.

    Parameters
    ----------
    out : FigureFolder
        Where the figure is written, its format and width.
    findings : sequence of Finding
        The findings; ratios and other values have a panel each.

    Returns
    -------
    Path
        The file.
    """
    kinds = [[f for f in findings if f.comparison.ratio is ratio] for ratio in (True, False)]
    shown = [kind for kind in kinds if kind]
    width, names = (COLUMN_WIDTH, MAX_COLUMN_NAME) if out.column else (6.4, MAX_NAME)
    heights = [sum(len(_name(f, names).split("\n")) + 1 for f in kind) for kind in shown]
    with out.text():
        figure = new_figure(width, 0.5 + 0.15 * sum(heights) + 0.5 * len(shown))
        axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
        for ax, kind in zip(axes, shown, strict=True):
            _draw(ax, kind, names)
        return out.save(figure, INTERVALS)


def _name(finding: Finding, width: int) -> str:
    """What is compared, in lines of so many characters."""
    return fill(finding.comparison.what, width)


def _draw(ax: Any, findings: Sequence[Finding], names: int) -> None:
    ratio = findings[0].comparison.ratio
    rows = [(f.middle, *f.interval, f.comparison.low, f.comparison.high) for f in findings]
    values = np.array(rows, float)
    finite = values[np.isfinite(values)]
    margin = 0.1 * np.ptp(finite) + 0.01
    values = np.clip(values, finite.min() - margin, finite.max() + margin)
    if ratio:
        values = 10.0**values
        ax.set_xscale("log")
        if ax.figure.get_figwidth() <= COLUMN_WIDTH:
            ax.xaxis.get_major_locator().set_params(numticks=4)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("{x:g}" if values.max() < 5 * values.min() else "")
    for y, (finding, (middle, first, last, low, high)) in enumerate(
        zip(findings, values, strict=True)
    ):
        color = PENS[finding.verdict]
        ax.plot([first, last], [y, y], color=color, linewidth=2)
        ax.plot(middle, y, "o", color=color, markersize=4)
        bounds = (low, high)
        ends = (finding.comparison.low, finding.comparison.high)
        for bound, end in zip(bounds, ends, strict=True):
            if np.isfinite(end):
                ax.plot([bound, bound], [y - 0.4, y + 0.4], color="black", linewidth=1)
    ax.set_yticks(range(len(findings)), [_name(f, names) for f in findings])
    ax.set(ylim=(len(findings) - 0.4, -0.6), xlabel="ratio" if ratio else "value")
    ax.spines[["top", "right"]].set_visible(False)

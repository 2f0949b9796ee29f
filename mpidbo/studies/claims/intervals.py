"""The figure of a claim's findings: confidence intervals and the bounds that they are held to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...reports import COLORS, new_figure, save
from .finding import FAILS, HOLDS, UNDECIDED, Finding

PENS = {HOLDS: COLORS[2], FAILS: COLORS[1], UNDECIDED: "0.5"}


def draw_findings(path: Path, findings: Sequence[Finding]) -> Path:
    """Draw the interval of every finding, and its bounds in black.

    Parameters
    ----------
    path : Path
        The file.
    findings : sequence of Finding
        The findings; ratios and other values have a panel each.

    Returns
    -------
    Path
        The file.
    """
    kinds = [[f for f in findings if f.comparison.ratio is ratio] for ratio in (True, False)]
    shown = [kind for kind in kinds if kind]
    figure = new_figure(6.4, 0.5 + 0.3 * len(findings) + 0.5 * len(shown))
    heights = [len(kind) + 1 for kind in shown]
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, kind in zip(axes, shown, strict=True):
        _draw(ax, kind)
    save(figure, path)
    return path


def _draw(ax: Any, findings: Sequence[Finding]) -> None:
    ratio = findings[0].comparison.ratio
    rows = [(f.middle, *f.interval, f.comparison.low, f.comparison.high) for f in findings]
    values = np.array(rows, float)
    finite = values[np.isfinite(values)]
    margin = 0.1 * np.ptp(finite) + 0.01
    values = np.clip(values, finite.min() - margin, finite.max() + margin)
    if ratio:
        values = 10.0**values
        ax.set_xscale("log")
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
    ax.set_yticks(range(len(findings)), [f.comparison.what for f in findings])
    ax.set(ylim=(len(findings) - 0.4, -0.6), xlabel="ratio" if ratio else "value")
    ax.spines[["top", "right"]].set_visible(False)

"""A claim's figure: panels side by side with one ordinate, curves of several studies in each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...reports.curves import COLORS, matplotlib, save

Array = Any
Curve = tuple[Array, Array]
"""(evaluations,) and (seeds, evaluations)."""


def panels(path: Path, curves: Mapping[str, Mapping[str, Curve]], xlabel: str, ylabel: str, log: bool = False) -> Path:
    """A panel for each title, and in it for each label the median over seeds in a band from the least to the largest."""
    figure = matplotlib("figure").Figure(figsize=(max(5.6, 3.3 * len(curves) + 0.8), 3.6), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    labels = list(dict.fromkeys(label for panel in curves.values() for label in panel))
    for ax, (title, panel) in zip(axes, curves.items(), strict=True):
        for label, (x, values) in panel.items():
            i = labels.index(label)                 # later lines are thinner, so that lines that coincide are all seen
            color, width = COLORS[i % len(COLORS)], 2.6 - 1.4 * i / max(1, len(labels) - 1)
            ax.fill_between(x, np.min(values, axis=0), np.max(values, axis=0), color=color, alpha=0.15, linewidth=0)
            ax.plot(x, np.median(values, axis=0), color=color, linewidth=width)
        ax.set(title=title, xlabel=xlabel, yscale="log" if log else "linear")
        if ax.dataLim.x1 >= 1e4:
            ax.xaxis.set_major_formatter(matplotlib("ticker").EngFormatter(sep=" "))
        ax.margins(x=0.02)
        ax.grid(True, color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(ylabel)
    lines = [matplotlib("lines").Line2D([], [], color=COLORS[i % len(COLORS)]) for i in range(len(labels))]
    figure.legend(lines, labels, loc="outside lower center", ncols=min(len(labels), 2 * len(curves)), frameon=False)
    save(figure, path)
    return path

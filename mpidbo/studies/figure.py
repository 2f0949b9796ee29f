"""The figure of a study: a row for each topology, a column for each cost, a band over seeds for each method."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from .._text import plural
from ..reports.curves import COLORS, FEW, LABELS, logarithmic, matplotlib, save
from .curves import COSTS, Curves
from .study import Study


def draw(study: Study, found: Sequence[Curves], path: Path) -> None:
    """The median over seeds, in a band from the least to the largest, into a file.

    A seed that diverged counts as the worst possible number from there on: the median ends where
    half of the seeds have diverged. Its last value has a cross. Raises UserError.
    """
    topologies = list(dict.fromkeys(group.topology for group in study.groups))
    methods = list(dict.fromkeys(group.method for group in study.groups))
    figure = matplotlib("figure").Figure(figsize=(3.2 * len(COSTS) + 0.6, 2.7 * len(topologies) + 0.9), layout="constrained")
    axes = figure.subplots(len(topologies), len(COSTS), squeeze=False, sharey="row")
    colors = dict(zip(methods, cycle(COLORS), strict=False))
    for ax, cost in zip(axes[-1], COSTS, strict=True):
        ax.set_xlabel(cost if cost in ("iterations", "rounds") else f"{cost}, all agents")
    for row, topology in zip(axes, topologies, strict=True):
        here = [part for part in found if part.group.topology == topology and part.values.size]
        for ax, cost in zip(row, COSTS, strict=True):
            for i, part in enumerate(here):             # later lines are thinner, so that lines that coincide are all seen
                _band(ax, part.costs[cost], part, study.higher, colors[part.group.method],
                      2.6 - 1.4 * i / max(1, len(here) - 1))
            if logarithmic([part.values.ravel() for part in here]):
                ax.set_yscale("log", nonpositive="mask")
            elif here:
                ax.set_ylim(*_range([part.values for part in here]))
            _frame(ax)
        row[0].set_ylabel(f"{LABELS.get(study.metric, study.metric)}\n{topology}" if len(topologies) > 1 else
                          LABELS.get(study.metric, study.metric))
    lines = [matplotlib("lines").Line2D([], [], color=colors[method]) for method in methods]
    names = [_label(method, found, len(study.seeds)) for method in methods]
    figure.legend(lines, names, loc="outside lower center", ncols=min(len(methods), 5), frameon=False)
    crosses = "; a cross where a seed diverged" if any(part.diverged for part in found) else ""
    figure.suptitle(f"{study.name}: median and range over {plural(len(study.seeds), 'seed')}{crosses}",
                    fontsize="medium")
    save(figure, path)


def _label(method: str, found: Sequence[Curves], seeds: int) -> str:
    """The method, and how many of its runs diverged or are missing."""
    here = [part for part in found if part.group.method == method]
    notes = [f"{count} of {seeds * len(here)} runs {what}"
             for count, what in ((sum(part.diverged for part in here), "diverged"),
                                 (sum(part.missing for part in here), "missing")) if count]
    return f"{method} ({', '.join(notes)})" if notes else method


def _range(found: Sequence[Any]) -> tuple[float, float]:
    """Where the curves are once the first tenth, often a steep start, is over."""
    values = np.concatenate([part[:, -(-part.shape[1] // 10):].ravel() for part in found] + [part[:, -1] for part in found])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _band(ax: Any, x: Any, part: Curves, higher: bool, color: str, width: float) -> None:
    values, few = part.values, "o" if part.values.shape[1] <= FEW else ""
    with catch_warnings(), np.errstate(all="ignore"):
        simplefilter("ignore", RuntimeWarning)               # a column without any finite value
        ax.fill_between(x, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=color, alpha=0.18, linewidth=0)
    median = np.median(part.worst_filled(higher), axis=0)
    ax.plot(x, np.where(np.isfinite(median), median, np.nan), color=color, linewidth=width, marker=few, markersize=3)
    if part.diverged:                                        # the median ends; the other seeds go on
        ax.plot(x, values.T, color=color, linewidth=0.6, alpha=0.5)
    for row in values[len(part.ends):]:                      # the seeds that diverged
        last = np.flatnonzero(np.isfinite(row))
        if last.size:
            ax.plot(x[last[-1]], row[last[-1]], color=color, marker="x", markersize=7, markeredgewidth=2)


def _frame(ax: Any) -> None:
    ticker = matplotlib("ticker")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    if ax.dataLim.x1 >= 1e4:
        ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    ax.margins(x=0.02)
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)

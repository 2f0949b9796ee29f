"""What the claims on transient iterations share: step sizes, mixing matrices and the measure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._text import plural
from ..._types import Array, Float
from ...reports import COLORS, COLUMN_WIDTH, FigureFolder, new_figure, style_frame
from ..study import Tables
from .outcome import Outcome

MAX_ALPHA, SCALE = 0.3, 1.0
MAX_RATIO = 2.0
"""To the centralized error, at the end of the transient."""
WINDOW = 1.3
"""Errors at k are averaged over the evaluations from k/WINDOW to k WINDOW."""


def offset(n: int) -> float:
    """k0, the number of iterations before the first at which the step sizes would be infinite."""
    return n * (SCALE / MAX_ALPHA) ** 2


def steps(n: int) -> Tables:
    """The step sizes of theory for a horizon of k + k0 iterations.

    alpha_k = SCALE sqrt(n/(k + k0)), which starts from MAX_ALPHA, and twice that for beta and
    gamma. theta = 1: x is moved by the newest estimate, whose noise reaches the network in full.
    """
    fall = {"kind": "inverse-sqrt", "offset": offset(n)}
    twice = {**fall, "start": 2 * MAX_ALPHA}
    return {"alpha": {**fall, "start": MAX_ALPHA}, "beta": twice, "gamma": twice, "theta": 1.0}


def mixing(n: int, rho: float) -> tuple[str, dict[str, Any]]:
    """Label and table of W = rho I + (1 - rho) J, all of whose modes but the mean decay by rho."""
    label = f"rho-{rho:g}"
    self_weight = rho + (1 - rho) / n
    table = {"name": "complete", "self_weight": self_weight, "lazy": False, "label": label}
    return label, table


def squared(
    outcome: Outcome, method: str, topology: str, metric: str = "distance"
) -> Float[Array, "seeds evaluations"]:
    """The agents' mean squared distance to x*.

    `metric` is "distance", of the agents, or "error", of their average, a problem's own metric.
    """
    error = outcome.column(method, topology, metric) ** 2
    if metric == "distance":
        return error
    return error + outcome.column(method, topology, "consensus_x") ** 2


def transient(
    k: Float[Array, " evaluations"],
    error: Float[Array, " evaluations"],
    centralized: Float[Array, " evaluations"],
) -> float:
    """The iteration from which `error` stays below MAX_RATIO times `centralized`.

    Both fluctuate, and are averaged over windows. It is inf if the error never stays below.
    """
    k = np.asarray(k, float)[1:]
    windows = [(k >= at / WINDOW) & (k <= at * WINDOW) for at in k]
    own = np.array([error[1:][window].mean() for window in windows])
    central = np.array([centralized[1:][window].mean() for window in windows])
    above = np.flatnonzero(own > MAX_RATIO * central)
    first = int(above[-1]) + 1 if above.size else 0
    return float(k[first]) if first < len(k) else float(np.inf)


def transients(
    outcome: Outcome,
    method: str,
    reference: str,
    topology: str,
    n: int,
    metric: str = "distance",
) -> Float[Array, " seeds"]:
    """The horizon k + k0 from which the method is as good as the reference.

    The reference is the label of the same method with the average over all agents.
    """
    k, _ = outcome.curve(method, topology)
    own = squared(outcome, method, topology, metric)
    central = squared(outcome, reference, topology, metric)
    found = [transient(k, *errors) for errors in zip(own, central, strict=True)]
    return offset(n) + np.array(found)


def exponents(
    sizes: Float[Array, " points"], values: Float[Array, "seeds points"]
) -> Float[Array, " seeds"]:
    """The slopes of log(values) against log(sizes); NaN where a value is infinite."""
    x = np.log(np.asarray(sizes, float))
    x = x - x.mean()
    values = np.asarray(values, float)
    known = np.isfinite(values).all(axis=1)
    slopes = np.full(len(values), np.nan)
    slopes[known] = np.log(values[known]) @ x / (x @ x)
    return slopes


def growth(
    out: FigureFolder,
    name: str,
    panels: Mapping[str, Mapping[str, tuple[Array, Array]]],
    slopes: Mapping[str, float],
    ylabel: str,
) -> Path:
    """Draw how values grow, on logarithmic axes, with a panel for each x axis.

    Parameters
    ----------
    out : FigureFolder
        Where the figure is written, its format and width.
    name : str
        Name of the file, without its suffix.
    panels : Mapping
        Title of the x axis -> label -> sizes (points,) and values (seeds, points). A line is the
        median over the seeds, a dot a seed.
    slopes : Mapping
        Title of the x axis -> slope of a line for comparison.
    ylabel : str
        Title of the y axis.

    Returns
    -------
    Path
        The file.
    """
    count = len(panels)
    with out.text():
        if out.column:
            figure = new_figure(COLUMN_WIDTH, 2.6 * count)
            axes = figure.subplots(count, 1, squeeze=False)
        else:
            figure = new_figure(3.3 * count + 0.8, 3.6)
            axes = figure.subplots(1, count, squeeze=False)
        for ax, (xlabel, entries) in zip(axes.flat, panels.items(), strict=True):
            for (label, (x, values)), color in zip(entries.items(), COLORS, strict=False):
                values = np.where(np.isfinite(values), values, np.nan)
                known = np.isfinite(values).any(axis=0)
                x, values = x[known], values[:, known]
                ax.plot(x, np.nanmedian(values, axis=0), color=color, label=label)
                ax.plot(x, values.T, ".", color=color, alpha=0.5)
            sizes = np.unique(np.concatenate([x for x, _ in entries.values()]))
            x, values = next(iter(entries.values()))
            slope = slopes[xlabel]
            line = np.nanmedian(values[:, 0]) * (x / x[0]) ** slope
            ax.plot(x, line, color="0.5", linestyle=":", label=f"slope {slope:g}")
            ax.set(xlabel=xlabel, xscale="log", yscale="log")
            ax.set_xticks(sizes, [f"{at:.3g}" for at in sizes])
            ax.set_xticks([], minor=True)
            style_frame(ax)
            ax.legend(frameon=False)
        for ax in axes[:, 0]:
            ax.set_ylabel(ylabel)
        seeds = max(len(values) for entries in panels.values() for _, values in entries.values())
        title = f"median over {plural(seeds, 'seed')}, a dot for each"
        figure.suptitle(out.filled(title), fontsize="medium")
        return out.save(figure, name)

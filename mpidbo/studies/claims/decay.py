"""What the claims on transient iterations share: theory's steps, mixing matrices of a given rho, and the measure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...reports.curves import COLORS, matplotlib, save
from .base import Outcome, Tables

Array = Any
LARGEST, SCALE = 0.3, 1.0
FACTOR, WINDOW = 2.0, 1.3


def origin(n: int) -> float:
    """k0: how many iterations before the first one the steps of `steps` would have been infinite."""
    return n * (SCALE / LARGEST)**2


def steps(n: int) -> Tables:
    """alpha_k = SCALE sqrt(n/(k + k0)), which starts from LARGEST: what theory takes for a horizon k + k0; beta and gamma are twice that.

    theta = 1, so that x is moved by the newest estimate, whose noise reaches the network in full.
    """
    fall = {"kind": "inverse-sqrt", "offset": origin(n)}
    twice = {**fall, "start": 2 * LARGEST}
    return {"alpha": {**fall, "start": LARGEST}, "beta": twice, "gamma": twice, "theta": 1.0}


def mixing(n: int, rho: float) -> tuple[str, dict[str, Any]]:
    """Name and table of W = rho I + (1 - rho) J for n agents, whose every mode but the mean is the slowest that rho allows."""
    label = f"rho-{rho:g}"
    return label, {"name": "complete", "self_weight": rho + (1 - rho) / n, "lazy": False, "label": label}


def squared(outcome: Outcome, method: str, topology: str, mean: str = "distance") -> Array:
    """(seeds, evaluations): the agents' mean squared distance to x*; `mean` "error" is that of their average, in a problem's own metric."""
    error = outcome.column(method, topology, mean)**2
    return error if mean == "distance" else error + outcome.column(method, topology, "consensus_x")**2


def transient(k: Array, error: Array, centralized: Array) -> float:
    """The iteration from which `error` is at most FACTOR times `centralized`, (evaluations,) each; inf if it never is.

    Both are averaged over the evaluations from k/WINDOW to k WINDOW, since they fluctuate.
    """
    k = np.asarray(k, float)[1:]
    means = [[values[1:][(k >= at / WINDOW) & (k <= at * WINDOW)].mean() for at in k] for values in (error, centralized)]
    above = np.flatnonzero(np.array(means[0]) > FACTOR * np.array(means[1]))
    first = int(above[-1]) + 1 if above.size else 0
    return float(k[first]) if first < len(k) else float(np.inf)


def transients(outcome: Outcome, method: str, reference: str, topology: str, n: int, mean: str = "distance") -> Array:
    """(seeds,): the horizon from which the method is as good as over the average of all agents, which is the label `reference`."""
    k = outcome.column(method, topology, "iteration")[0]
    own, central = (squared(outcome, label, topology, mean) for label in (method, reference))
    return origin(n) + np.array([transient(k, *errors) for errors in zip(own, central, strict=True)])


def exponents(sizes: Array, values: Array) -> Array:
    """(seeds,): the slopes of log(values) (seeds, points) against log(sizes) (points,); NaN where a value is infinite."""
    x = np.log(np.asarray(sizes, float))
    x = x - x.mean()
    with np.errstate(all="ignore"):
        return np.log(np.asarray(values, float)) @ x / (x @ x)


def growth(path: Path, panels: Mapping[str, Mapping[str, tuple[Array, Array]]], slopes: Mapping[str, float], ylabel: str) -> Path:
    """A panel for each abscissa, logarithmic: medians over seeds of values (seeds, points), single ones as dots, a line of the slope."""
    figure = matplotlib("figure").Figure(figsize=(3.3 * len(panels) + 0.8, 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (xlabel, entries) in zip(axes, panels.items(), strict=True):
        for (label, (x, values)), color in zip(entries.items(), COLORS, strict=False):
            values = np.where(np.isfinite(values), values, np.nan)
            ax.plot(x, np.nanmedian(values, axis=0), color=color, label=label)
            ax.plot(x, values.T, ".", color=color, alpha=0.5)
        x, values = next(iter(entries.values()))
        ax.plot(x, np.nanmedian(values[:, 0]) * (x / x[0])**slopes[xlabel], color="0.5", linestyle=":", label=f"slope {slopes[xlabel]:g}")
        ax.set(xlabel=xlabel, xscale="log", yscale="log")
        ax.set_xticks(x, [f"{at:.3g}" for at in x])
        ax.set_xticks([], minor=True)
        ax.grid(True, color="0.9", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
    axes[0].set_ylabel(ylabel)
    save(figure, path)
    return path

"""Draw mnist.png from the runs of docs/experiments.md: python docs/figures/mnist.py FOLDER"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mpidbo import reports
from mpidbo.problems.hyper_cleaning import HyperCleaning
from mpidbo.storage import read_arrays, read_run

LINES = {
    "mnist": ("SPARKLE-ED-GT", "-"),
    "mnist-1": (None, "--"),
    "mnist-without": ("the same, no cleaning", "-"),
    "mnist-1-without": (None, "--"),
    "mnist-d-soba": ("D-SOBA", "-"),
    "mnist-sun-dsbo": ("SUN-DSBO-GT", "-"),
}
"""Folder of a run: (label, style); seed 1 is dashed."""
COLORS = [reports.COLORS[i] for i in (0, 0, 1, 1, 2, 3)]


def main(folder: Path) -> None:
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    accuracy, auc, histogram = figure.subplots(1, 3)
    for (name, (label, style)), color in zip(LINES.items(), COLORS, strict=True):
        history = read_run(folder / name).columns
        accuracy.plot(
            history["iteration"], history["test_accuracy"], style, color=color, label=label
        )
        if "without" not in name:
            auc.plot(history["iteration"], history["auc"], style, color=color, label=label)
    accuracy.set(ylim=(0.93, 0.98), ylabel="test accuracy", xlabel="iterations")
    auc.set(ylim=(0.85, 1), ylabel="AUC of the labels' weights", xlabel="iterations")
    run = read_run(folder / "mnist")
    options = {
        key: value for key, value in run.tables["problem"].items() if key not in ("name", "batch")
    }
    wrong = np.concatenate(
        [
            HyperCleaning(i, 10, xp=np, seed=0, dtype=np.float32, **options).corrupted
            for i in range(10)
        ]
    )
    x = read_arrays(folder / "mnist" / "result.h5")[0]["x"].mean(axis=0, dtype=np.float64)
    weights = 1 / (1 + np.exp(-x))
    histogram.hist(
        [weights[~wrong], weights[wrong]],
        bins=np.linspace(0, 1, 11),
        color=[reports.COLORS[2], reports.COLORS[3]],
        label=[f"right labels ({(~wrong).sum()})", f"wrong labels ({wrong.sum()})"],
    )
    histogram.set(xlabel="learned weight (SPARKLE-ED-GT)", ylabel="labels")
    for ax in (accuracy, auc, histogram):
        ax.legend(
            frameon=False,
            loc="upper center" if ax is histogram else "lower right",
            fontsize="small",
        )
        if ax is not histogram:
            ax.grid(color="0.9")
        ax.spines[["top", "right"]].set_visible(False)
    reports.save(figure, Path(__file__).with_suffix(".png"))
    for kind, name in ((~wrong, "right"), (wrong, "wrong")):
        low, mean = np.mean(weights[kind] < 0.5), weights[kind].mean()
        print(f"{name}: weight below 0.5 {low:.3f}, mean {mean:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

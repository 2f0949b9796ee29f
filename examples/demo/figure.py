"""Draw figure.png from the two runs of the demo: python examples/demo/figure.py runs/demo"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from mpidbo import reports
from mpidbo.storage import read_run

RUNS = {"with-cleaning": ("with cleaning", "-"), "without-cleaning": ("without cleaning", "--")}
"""Folder of a run: (label, line style)."""


def main(folder: Path) -> None:
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    accuracy, auc = figure.subplots(1, 2)
    for color, (name, (label, style)) in zip(reports.COLORS, RUNS.items(), strict=False):
        history = read_run(folder / name).columns
        for ax, metric in ((accuracy, "test_accuracy"), (auc, "auc")):
            ax.plot(history["iteration"], history[metric], style, color=color, label=label)
    accuracy.set(ylabel="test accuracy", xlabel="iterations", ylim=(0.5, 1))
    auc.set(ylabel="AUC of the weights of labels", xlabel="iterations", ylim=(0.45, 1.02))
    for ax in (accuracy, auc):
        ax.grid(color="0.9")
        ax.spines[["top", "right"]].set_visible(False)
    accuracy.legend(frameon=False, loc="lower right")
    reports.save(figure, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

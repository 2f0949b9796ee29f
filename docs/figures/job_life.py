"""Draw job_life.png, a job from submission to its last start: python docs/figures/job_life.py"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mpidbo import reports

BOXES = {
    "submit": (0, 3.2, "sbatch job.sbatch"),
    "start": (0, 1.7, "start: resume from the\nlast checkpoint, if any"),
    "run": (2.7, 1.7, "iterations, and\na checkpoint every\ncheckpoint.every"),
    "done": (5.4, 1.7, "finished: the file done,\nexit code 0"),
    "signal": (2.7, 0.2, "two minutes before\nthe limit: a checkpoint,\nexit code 85"),
    "queue": (0, 0.2, "scontrol requeue,\nat most MAX_RESTARTS\ntimes"),
    "mistake": (5.4, 0.2, "a mistake or divergence:\nexit code 2 or 3,\nthe job ends"),
}
"""Left edge, lower edge and text of each box."""
WIDTH, HEIGHT = 2.2, 0.95
ARROWS = (
    ("submit", "start"),
    ("start", "run"),
    ("run", "done"),
    ("run", "signal"),
    ("signal", "queue"),
    ("queue", "start"),
    ("run", "mistake"),
)
COLORS = {"done": reports.COLORS[2], "mistake": reports.COLORS[1], "signal": reports.COLORS[0]}


def main() -> None:
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = figure.subplots()
    for name, (x, y, text) in BOXES.items():
        draw_box(ax, x, y, text, COLORS.get(name, "0.4"))
    for begin, end in ARROWS:
        draw_arrow(ax, begin, end)
    ax.set(xlim=(-0.1, 7.7), ylim=(0, 4.3))
    ax.axis("off")
    reports.save(figure, Path(__file__).with_suffix(".png"))


def draw_box(ax: Axes, x: float, y: float, text: str, color: str) -> None:
    """Draw a text in a box."""
    box = FancyBboxPatch(
        (x, y), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.1", facecolor="white",
        edgecolor=color, linewidth=1.6,
    )  # fmt: skip
    ax.add_patch(box)
    ax.text(x + WIDTH / 2, y + HEIGHT / 2, text, ha="center", va="center", fontsize="small")


def draw_arrow(ax: Axes, begin: str, end: str) -> None:
    """Draw an arrow between the sides of two boxes that face each other."""
    (x0, y0, _), (x1, y1, _) = BOXES[begin], BOXES[end]
    right, up = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
    sideways = right if y0 == y1 or x0 != x1 else 0
    start = (x0 + WIDTH * (1 + sideways) / 2, y0 + HEIGHT * (1 + (0 if sideways else up)) / 2)
    goal = (x1 + WIDTH * (1 - sideways) / 2, y1 + HEIGHT * (1 - (0 if sideways else up)) / 2)
    ax.annotate("", goal, start, arrowprops={"arrowstyle": "-|>", "color": "0.3"})


if __name__ == "__main__":
    main()

"""Draw overview.svg and overview.png, what mpidbo solves: python docs/figures/overview.py"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from mpidbo import reports

AGENTS, RANKS = 8, 4
UPPER, LOWER = reports.COLORS[:2]
RANK_COLOR = reports.COLORS[2]


def main() -> None:
    figure = Figure(figsize=(8, 4), layout="constrained")
    graph, agent = figure.subplots(1, 2, width_ratios=(1.05, 1))
    draw_graph(graph)
    draw_agent(agent)
    for ax in (graph, agent):
        ax.set_aspect("equal")
        ax.axis("off")
    for kind in ("svg", "png"):
        reports.save(figure, Path(__file__).with_suffix(f".{kind}"))


def draw_graph(ax: Axes) -> None:
    """Draw a ring of agents, two on each rank."""
    angles = np.pi / 2 - np.pi / AGENTS - 2 * np.pi * np.arange(AGENTS) / AGENTS
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ring = np.concatenate([places, places[:1]])
    ax.plot(*ring.T, color="0.3", linewidth=1.6, zorder=1)
    for rank in range(RANKS):
        first, second = places[2 * rank], places[2 * rank + 1]
        ax.plot(*np.array([first, second]).T, color=RANK_COLOR, alpha=0.25, linewidth=46,
                solid_capstyle="round", zorder=0)  # fmt: skip
        ax.text(*(1.52 * (first + second) / 2), f"rank {rank}", ha="center", va="center",
                color="#00664b")  # fmt: skip
    for i, place in enumerate(places):
        ax.add_patch(Circle(place, 0.17, facecolor="white", edgecolor="0.2", linewidth=1.4))
        ax.text(*place, str(i), ha="center", va="center")
    ax.text(0, 0, "neighbours exchange\nvariables, not data", ha="center", va="center")
    ax.set(xlim=(-1.75, 1.75), ylim=(-1.65, 1.65))
    ax.set_title(f"{AGENTS} agents on {RANKS} MPI ranks", fontsize="medium")


def draw_agent(ax: Axes) -> None:
    """Draw the two levels of an agent and its data."""
    for y, color, name, formula in (
        (2.2, UPPER, "upper level", r"$f_i(x, y)$: move $x$"),
        (1.1, LOWER, "lower level", r"$g_i(x, y)$: move $y$"),
        (0.0, "0.35", "private data", "of $f_i$ and $g_i$, not sent"),
    ):
        box = FancyBboxPatch((0, y), 3, 0.62, boxstyle="round,pad=0.08", facecolor="white",
                             edgecolor=color, linewidth=2)  # fmt: skip
        ax.add_patch(box)
        ax.text(0.12, y + 0.31, name, va="center", color=color)
        ax.text(2.95, y + 0.31, formula, va="center", ha="right")
    arrow = {"arrowstyle": "-|>", "color": "0.3", "linewidth": 1.4}
    for x, start, end in ((0.8, 2.1, 1.82), (2.2, 1.82, 2.1), (1.5, 0.72, 1.0)):
        ax.annotate("", (x, end), (x, start), arrowprops={**arrow, "shrinkA": 0, "shrinkB": 0})
    ax.text(0.95, 1.96, "$x$", va="center")
    ax.text(2.35, 1.96, r"$y \approx y^\star(x)$", va="center")
    ax.set(xlim=(-0.2, 3.6), ylim=(-0.4, 3.1))
    ax.set_title("agent $i$", fontsize="medium")


if __name__ == "__main__":
    main()

"""Draw topologies.png, graphs and the spectral gaps of W: python docs/figures/topologies.py"""

from pathlib import Path

from matplotlib.figure import Figure

from mpidbo import reports
from mpidbo.network import make
from mpidbo.reports.topology_figure import draw_graph, layout

AGENTS = 16
NAMES = (
    "path",
    "ring",
    "star",
    "grid",
    "torus",
    "hypercube",
    "erdos-renyi",
    "random-regular",
    "exponential",
    "complete",
)
"""Undirected graphs, drawn with their default options."""


def main() -> None:
    """Draw the graphs in the order of their gaps, and print these."""
    topologies = sorted((make(name, AGENTS) for name in NAMES), key=lambda each: each.gap)
    figure = Figure(figsize=(8, 3.9), layout="constrained")
    panels = figure.subplots(2, len(NAMES) // 2).ravel()
    for ax, topology in zip(panels, topologies, strict=True):
        draw_graph(ax, topology, layout(topology), dot=0.2, points=110)
        ax.set_title(
            f"{topology.name}\ngap {topology.gap:.2g}, degree ≤ {topology.degrees.max()}",
            fontsize="small",
        )
        print(f"{topology.name:15} gap {topology.gap:.3f}")
    reports.save(figure, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()

"""A topology as a figure: its graph, with the agents as dots."""

import math
from typing import Any

import networkx as nx
import numpy as np

from .._text import plural
from .._types import Array
from ..network import Topology
from .style import COLORS, Figure, matplotlib, new_figure

MAX_NUMBERED = 64
"""Agents up to which they are numbered."""
MAX_KAMADA_KAWAI = 200
"""Agents up to which a graph is laid out by path lengths; above, by springs, which is faster."""
MAX_PANELS, PANELS_IN_A_ROW = 9, 3
"""Graphs of a topology that changes, of which each has a panel."""
PANEL_INCHES, POINTS_OF_A_PANEL = 2.8, 175
ON_A_CIRCLE = (
    "ring",
    "adjusted-ring",
    "path",
    "complete",
    "exponential",
    "directed-ring",
    "directed-exponential",
    "one-peer-exponential",
    "matching",
)
"""Topologies drawn on a circle."""
MARGIN_OF_TORUS = 0.6
"""Room for the lines that leave a torus on one side and come back on the other."""


def draw_topology(topology: Topology) -> Figure:
    """Draw the graph of a topology; of one that changes its first graphs, each by itself.

    Lines are fainter for smaller weights; where W is not symmetric they are arrows towards the
    agent that receives.
    """
    places = layout(topology)
    graphs = topology.graphs[:MAX_PANELS]
    title = f"{topology.name}, {plural(topology.n, 'agent')}"
    if str(topology.turns):
        title += f"; {topology.turns}"
    title += f"\n{neighbours(topology)}, spectral gap {topology.gap:.3g}"
    if len(graphs) == 1:
        figure = new_figure(5.5, 5.8)
        draw_graph(figure.subplots(), graphs[0], places, dot=1.0, points=375)
        figure.axes[0].set_title(title, fontsize="medium")
        return figure
    columns = min(len(graphs), PANELS_IN_A_ROW)
    rows = math.ceil(len(graphs) / columns)
    figure = new_figure(PANEL_INCHES * columns, PANEL_INCHES * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, (ax, graph) in enumerate(zip(panels, graphs, strict=False), 1):
        draw_graph(ax, graph, places, dot=0.4, points=POINTS_OF_A_PANEL)
        ax.set_title(f"graph {number} of {len(topology.graphs)}", fontsize="small")
    for ax in panels[len(graphs) :]:
        ax.set_axis_off()
    figure.suptitle(title, fontsize="medium")
    return figure


def draw_graph(ax: Any, graph: Topology, places: Array, *, dot: float, points: float) -> None:
    """Draw one graph; `dot` is the area of agents, 1 in a figure by itself of 375 `points`."""
    W = graph.W.tocoo()
    keep = (W.row < W.col) if graph.symmetric else (W.row != W.col)
    to, of, weights = places[W.row[keep]], places[W.col[keep]], W.data[keep]
    size = dot * max(12.0, 400 * min(1.0, 16 / graph.n))
    if keep.any():
        crowding = max(0.15, min(1.0, 6 * graph.n / len(weights)))  # fainter where lines are many
        shades = (0.25 + 0.75 * weights / weights.max()) * crowding
        _join(ax, to, of, shades, graph, math.sqrt(size) / 2 / points)
    numbered = graph.n <= MAX_NUMBERED * dot
    ax.scatter(
        *places.T,
        s=size,
        color=COLORS[0],
        edgecolors="white",
        linewidths=0.8 if numbered else 0,
        zorder=2,
    )
    for agent, place in enumerate(places if numbered else ()):
        ax.annotate(
            str(agent),
            place,
            ha="center",
            va="center",
            color="white",
            fontsize=max(5.0, min(10.0, 0.5 * math.sqrt(size))),
        )
    ax.set_aspect("equal")
    extent = np.ptp(places, axis=0)
    centre, longest = (places.max(axis=0) + places.min(axis=0)) / 2, max(float(extent.max()), 0.5)
    half = np.maximum(extent / 2, longest / 8) + (
        MARGIN_OF_TORUS if graph.name == "torus" else longest / 12
    )
    ax.set(
        xlim=(centre[0] - half[0], centre[0] + half[0]),
        ylim=(centre[1] - half[1], centre[1] + half[1]),
    )
    ax.set_axis_off()


def _join(ax: Any, to: Array, of: Array, shades: Array, topology: Topology, radius: float) -> None:
    """Draw lines between agents, or arrows that end at the rim of the dots.

    `radius` is that of a dot, as a part of the figure.
    """
    if topology.symmetric:
        lines = np.stack([to, of], axis=1)
        if topology.name == "torus":
            lines, shades = wrapped(lines, shades)
        ax.add_collection(
            matplotlib("collections").LineCollection(
                lines, colors="0.35", linewidths=1.4, alpha=shades, zorder=1
            )
        )
        return
    extent = np.ptp(np.concatenate([to, of]), axis=0).max()
    way = to - of
    length = np.linalg.norm(way, axis=1, keepdims=True)
    tips = to - way / length * np.minimum(0.4 * length, radius * 1.16 * extent)
    ax.quiver(
        *of.T,
        *(tips - of).T,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.003,
        headwidth=5,
        headlength=7,
        headaxislength=6,
        color="0.35",
        alpha=shades,
        zorder=1,
    )


def neighbours(topology: Topology) -> str:
    """Return how many neighbours the agents have, as text."""
    least, most = int(topology.degrees.min()), int(topology.degrees.max())
    return plural(most, "neighbour") if least == most else f"{least} to {most} neighbours"


def wrapped(lines: Array, shades: Array) -> tuple[Array, Array]:
    """Return lines of a lattice and their shades; those around a torus leave it on both sides."""
    step = lines[:, 1] - lines[:, 0]
    length = np.linalg.norm(step, axis=1, keepdims=True)
    far, out = length[:, 0] > 1.5, 0.45 * step / length
    a, b, out = lines[far, 0], lines[far, 1], out[far]
    return (
        np.concatenate(
            [lines[~far], np.stack([a, a - out], axis=1), np.stack([b, b + out], axis=1)]
        ),
        np.concatenate([shades[~far], shades[far], shades[far]]),
    )


def layout(topology: Topology) -> Array:
    """Return where the agents are drawn, (n, 2)."""
    n, name = topology.n, topology.name
    circle = _circle(n)
    if name in ON_A_CIRCLE or n < 4:
        return circle
    if name == "star":
        return np.concatenate([np.zeros((1, 2)), _circle(n - 1)])
    if name == "hypercube":
        bits = n.bit_length() - 1
        angles = np.pi * (np.arange(bits) + 0.25) / bits
        steps = 0.8 ** np.arange(bits)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return np.array([[i >> k & 1 for k in range(bits)] for i in range(n)]) @ steps
    if name in ("grid", "torus"):
        columns = _columns(topology)
        return np.stack([np.arange(n) % columns, -(np.arange(n) // columns)], axis=1).astype(float)
    graph = nx.from_scipy_sparse_array(abs(topology.W) + abs(topology.W.T))
    for *_, data in graph.edges(data=True):
        data["weight"] = 1.0
    if n <= MAX_KAMADA_KAWAI:
        found = nx.kamada_kawai_layout(graph, pos=dict(enumerate(circle)))
    else:
        found = nx.spring_layout(graph, seed=0)
    return np.array([found[i] for i in range(n)])


def _circle(n: int) -> Array:
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.sin(angles), np.cos(angles)], axis=1)


def _columns(topology: Topology) -> int:
    """The columns of a grid or torus.

    Agents are numbered row by row: agent 0 is joined to 1, and to the first agent of the next row,
    in a torus also to the last of its row and to the first of the last row.
    """
    n, W = topology.n, topology.W
    first = set(W.indices[W.indptr[0] : W.indptr[1]].tolist()) - {0}
    for columns in range(1, n + 1):
        ends = {columns - 1, n - columns} if topology.name == "torus" else set()
        if n % columns == 0 and first == ({1 if columns > 1 else 0, columns % n} | ends) - {0}:
            return columns
    return n

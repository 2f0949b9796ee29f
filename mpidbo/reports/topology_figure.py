"""A topology as text and as a picture."""

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from .._text import aligned, plural
from ..algorithms.strategies import STRATEGIES
from ..config.validate import MOST
from ..errors import UserError
from ..network.files import agents_of
from ..network.graphs import TOPOLOGIES
from ..network.topology import Topology, make, suits
from .curves import matplotlib

Array = Any
Figure = Any
LABELLED = 64
"""Agents up to which a picture numbers them."""
ROUND = ("ring", "adjusted-ring", "path", "complete", "exponential")
"""Topologies drawn on a circle."""


def named(name: str, n: int | None, options: Mapping[str, Any]) -> Topology:
    """The topology of a name, or of a file, which knows its n. Raises UserError."""
    is_file = name not in TOPOLOGIES and (Path(name).suffix != "" or os.path.isfile(name))
    if n is None and not is_file:
        raise UserError(f"-n: missing; give the number of agents, such as mpidbo topology {name} -n 8")
    if n is not None and not 1 <= n <= MOST["agents"]:
        raise UserError(f"-n: {n} is no number of agents; give at least 1 and at most {MOST['agents']}")
    return make({"file" if is_file else "name": name, **options}, n or agents_of(Path(name)))


def report(topology: Topology) -> str:
    """Size, degrees and spectrum of W, and which strategies it suits."""
    degrees, own = topology.degrees, topology.W.diagonal()
    rounds = 1 if topology.rho < 1e-12 else math.ceil(math.log(1e-6) / math.log(topology.rho))
    rows = [("agents", str(topology.n)),
            ("neighbours", f"least {degrees.min()}, mean {degrees.mean():.4g}, most {degrees.max()}"),
            ("W", "symmetric" if topology.symmetric else "not symmetric"),
            ("lazy", f"{'yes' if own.min() >= 1 / 2 else 'no'}, own weights {_range(own)}"),
            ("rho", f"{topology.rho:.6g}, what one round leaves of the disagreement; {rounds} rounds leave a millionth"),
            ("spectral gap", f"{topology.gap:.6g}, 1 - rho"),
            ("smallest eigenvalue", f"{topology.lambda_min:.6g}"),
            *([("drop", f"{topology.drop:g}, with which each edge fails at each iteration; the mean of W then has the spectral gap "
                        f"{topology.mean.gap:.6g}")] if topology.drop else []),
            ("strategies", "")]
    return f"{topology.name}\n" + aligned(rows, indent="  ") + "\n" + aligned(_suited(topology), indent="    ")


def _range(values: Array) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if high - low < 1e-12 else f"{low:.4g} to {high:.4g}"


def _suited(topology: Topology) -> list[tuple[str, str]]:
    rows = []
    for row in STRATEGIES.values():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                suits(topology, row.name, needs_symmetric=row.symmetric)
                verdict = str(said[0].message).partition(": ")[2] if said else "suits"
            except UserError as error:
                verdict = f"refused: {str(error).partition(': ')[2]}"
        rows.append((row.name, verdict if row.name != "centralized" else "suits; it averages over all agents, whatever the topology"))
    return rows


def picture(topology: Topology) -> Figure:
    """The graph: an agent a dot, fainter lines for smaller weights; arrows towards who receives where W is not symmetric."""
    places, W = layout(topology), topology.W.tocoo()
    figure = matplotlib("figure").Figure(figsize=(5.5, 5.8), layout="constrained")
    ax = figure.subplots()
    keep = (W.row < W.col) if topology.symmetric else (W.row != W.col)
    to, of, weights = places[W.row[keep]], places[W.col[keep]], W.data[keep]
    size = max(12.0, 400 * min(1.0, 16 / topology.n))
    if keep.any():
        shades = (0.25 + 0.75 * weights / weights.max()) * max(0.15, min(1.0, 6 * topology.n / len(weights)))
        _join(ax, to, of, shades, topology, math.sqrt(size) / 2)
    numbered = topology.n <= LABELLED
    ax.scatter(*places.T, s=size, color="#0072B2", edgecolors="white", linewidths=0.8 if numbered else 0, zorder=2)
    for agent, place in enumerate(places if numbered else ()):
        ax.annotate(str(agent), place, ha="center", va="center", color="white", fontsize=max(5.0, min(10.0, 0.5 * math.sqrt(size))))
    ax.set_aspect("equal")
    extent = np.ptp(places, axis=0)
    centre, longest = (places.max(axis=0) + places.min(axis=0)) / 2, max(float(extent.max()), 0.5)
    half = np.maximum(extent / 2, longest / 8) + (0.6 if topology.name == "torus" else longest / 12)
    ax.set(xlim=(centre[0] - half[0], centre[0] + half[0]), ylim=(centre[1] - half[1], centre[1] + half[1]))
    ax.set_axis_off()
    ax.set_title(f"{topology.name}, {plural(topology.n, 'agent')}\n{_neighbours(topology)}, spectral gap {topology.gap:.3g}",
                 fontsize="medium")
    return figure


def _join(ax: Any, to: Array, of: Array, shades: Array, topology: Topology, radius: float) -> None:
    """Lines between agents, or arrows that end at the rim of the dots, whose `radius` is in points."""
    if topology.symmetric:
        lines, shades = _wrapped(np.stack([to, of], axis=1), shades) if topology.name == "torus" else (np.stack([to, of], axis=1), shades)
        ax.add_collection(matplotlib("collections").LineCollection(lines, colors="0.35", linewidths=1.4, alpha=shades, zorder=1))
        return
    extent = np.ptp(np.concatenate([to, of]), axis=0).max()
    way = to - of
    length = np.linalg.norm(way, axis=1, keepdims=True)
    tips = to - way / length * np.minimum(0.4 * length, radius * 1.16 * extent / 375)
    ax.quiver(*of.T, *(tips - of).T, angles="xy", scale_units="xy", scale=1, width=0.003, headwidth=5, headlength=7, headaxislength=6,
              color="0.35", alpha=shades, zorder=1)


def _neighbours(topology: Topology) -> str:
    least, most = int(topology.degrees.min()), int(topology.degrees.max())
    return plural(most, "neighbour") if least == most else f"{least} to {most} neighbours"


def _wrapped(lines: Array, shades: Array) -> tuple[Array, Array]:
    """Lines of a lattice and their shades; those that go round the torus leave it on both sides."""
    step = lines[:, 1] - lines[:, 0]
    length = np.linalg.norm(step, axis=1, keepdims=True)
    far, out = length[:, 0] > 1.5, 0.45 * step / length
    a, b, out = lines[far, 0], lines[far, 1], out[far]
    return (np.concatenate([lines[~far], np.stack([a, a - out], axis=1), np.stack([b, b + out], axis=1)]),
            np.concatenate([shades[~far], shades[far], shades[far]]))


def layout(topology: Topology) -> Array:
    """(n, 2): where the agents are drawn."""
    n, name = topology.n, topology.name
    circle = _circle(n)
    if name in ROUND or n < 4:
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
    found = nx.kamada_kawai_layout(graph, pos=dict(enumerate(circle))) if n <= 200 else nx.spring_layout(graph, seed=0)
    return np.array([found[i] for i in range(n)])


def _circle(n: int) -> Array:
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.sin(angles), np.cos(angles)], axis=1)


def _columns(topology: Topology) -> int:
    """Of a grid or torus numbered row by row: agent 0 is joined to 1, and to the first of the next and of the last row."""
    n, W = topology.n, topology.W
    first = set(W.indices[W.indptr[0]:W.indptr[1]].tolist()) - {0}
    for columns in range(1, n + 1):
        ends = {columns - 1, n - columns} if topology.name == "torus" else set()
        if n % columns == 0 and first == ({1 if columns > 1 else 0, columns % n} | ends) - {0}:
            return columns
    return n

"""The graphs of runs as drawings in SVG: agents as dots, a line for each pair that exchanges."""

import json
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..._text import plural
from ..._types import Array
from ...config import level_topologies, rule_of
from ...errors import UserError
from ...network import Spec, Topology, make
from ...storage import Saved
from ..topology_figure import MARGIN_OF_TORUS, MAX_NUMBERED, layout, neighbours, wrapped
from .elements import Element, element

MAX_AGENTS, MAX_LINES = 200, 4000
"""Up to so many agents and lines a graph is drawn."""
SIZE = 320.0
"""Length of the longer side of a drawing."""
MARGIN = 16.0

Use = tuple[str, str]
"""The label of a run, and the levels of it that use a graph."""


def graphs(runs: Sequence[Saved], labels: Sequence[str]) -> list[Element]:
    """Return a figure for each different graph, with the runs and levels that use it.

    Parameters
    ----------
    runs : sequence of Saved
    labels : sequence of str
        The name of each run.
    """
    uses: dict[tuple[str, int], list[Use]] = {}
    specs: dict[tuple[str, int], Spec] = {}
    unknown = []
    for run, name in zip(runs, labels, strict=True):
        label = name if len(runs) > 1 else ""
        if not run.tables:
            unknown.append(_figure([(label, "")], "only a history is left"))
            continue
        try:
            n, levels = _levels(run)
        except UserError as error:
            unknown.append(_figure([(label, "")], str(error)))
            continue
        for spec, names in levels:
            key = (repr(spec), n)
            specs[key] = spec
            uses.setdefault(key, []).append((label, names))
    return [_graph(specs[key], key[1], used) for key, used in uses.items()] + unknown


def _levels(run: Saved) -> tuple[int, list[tuple[Spec, str]]]:
    """The number of agents, and each different topology with its levels.

    Raises UserError where the configuration is not one of this version.
    """
    config = run.config
    n = config.run.agents
    if n is None:
        raise UserError("the number of agents is not known yet")
    rule = rule_of(config.method, config.steps, n=n, horizon=config.run.iterations)
    tables = level_topologies(config.topology, rule, str(config.method["name"]))
    levels: dict[str, tuple[Spec, str]] = {}
    for level, (_, spec) in tables.items():
        _, names = levels.get(repr(spec), (spec, ""))
        levels[repr(spec)] = (spec, f"{names}, {level}" if names else level)
    return n, list(levels.values())


def _graph(spec: Spec, n: int, uses: Sequence[Use]) -> Element:
    if spec is None:
        return _figure(uses, f"average over all {plural(n, 'agent')}, without a graph")
    if n > MAX_AGENTS:
        name = spec.get("name") or spec.get("file") or "a graph"
        return _figure(uses, f"{name}, {n} agents; graphs of up to {MAX_AGENTS} agents are drawn")
    try:
        text, drawing = _drawn(json.dumps(spec, sort_keys=True), n)
    except UserError as error:
        return _figure(uses, str(error))
    return _figure(uses, text, drawing)


@lru_cache(maxsize=64)
def _drawn(spec: str, n: int) -> tuple[str, Element | None]:
    """What the graph of a table, as JSON, is in words, and its drawing; None if it is too dense."""
    topology = make(json.loads(spec), n)
    parts = [topology.name, plural(n, "agent"), neighbours(topology)]
    parts.append(f"spectral gap {topology.gap:.3g}")
    if str(topology.turns):
        parts.append(str(topology.turns))
    if topology.drop:
        parts.append(f"each edge fails with probability {topology.drop:g}")
    if topology.W.nnz - n > 2 * MAX_LINES:
        return f"{', '.join(parts)}; too many lines to draw", None
    return ", ".join(parts), draw(topology)


def draw(topology: Topology) -> Element:
    """Return the drawing of a topology.

    Lines are fainter for smaller weights; where W is not symmetric they are arrows towards the
    agent that receives.
    """
    places, W = layout(topology) * [1, -1], topology.W.tocoo()
    keep = (W.row < W.col) if topology.symmetric else (W.row != W.col)
    to, of, weights = places[W.row[keep]], places[W.col[keep]], W.data[keep]
    margin = MARGIN_OF_TORUS if topology.name == "torus" else 0.0
    low, extent = places.min(axis=0) - margin, np.ptp(places, axis=0) + 2 * margin
    scale = SIZE / max(float(extent.max()), 0.5)
    width, height = np.maximum(extent * scale, SIZE / 4) + 2 * MARGIN
    shift = (np.array([width, height]) - extent * scale) / 2 - low * scale

    def placed(points: Array) -> Array:
        return points * scale + shift

    radius = max(2.0, min(11.0, 44 / math.sqrt(topology.n)))
    made = element(
        "svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=f"graph of {plural(topology.n, 'agent')}",
    )
    if len(weights):
        # Fainter, and in the style thinner, where lines are many.
        crowding = min(1.0, 4 * topology.n / len(weights))
        shades = (0.3 + 0.7 * weights / weights.max()) * crowding
        lines = np.stack([of, to], axis=1)
        if topology.name == "torus":
            lines, shades = wrapped(lines, shades)
        drawn = _lines(placed(lines), shades, None if topology.symmetric else radius)
        drawn.set("class", "links" if crowding == 1 else "links crowded")
        made.append(drawn)
    made.extend(_dots(placed(places), radius, numbered=topology.n <= MAX_NUMBERED))
    return made


def _lines(lines: Array, shades: Array, arrows: float | None) -> Element:
    """A group of lines; `arrows`: with heads, at the rim of dots of that radius."""
    group = element("g")
    for (start, end), shade in zip(lines, shades, strict=True):
        points = [start, end]
        if arrows is not None:
            points = _arrow(start, end, arrows)
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        group.append(element("path", d=path, stroke_opacity=f"{max(0.06, shade):.2f}"))
    return group


def _arrow(start: Array, end: Array, radius: float) -> list[Array]:
    """The points of an arrow: its shaft, and the two strokes of its head."""
    length = float(np.linalg.norm(end - start)) or 1.0
    way = (end - start) / length
    across = np.array([-way[1], way[0]])
    tip, head = end - way * min(radius + 1, 0.4 * length), 5.0
    left, right = (tip - head * way + side * 0.5 * head * across for side in (1, -1))
    return [start, tip, left, tip, right]


def _dots(places: Array, radius: float, *, numbered: bool) -> list[Element]:
    dots = element("g", class_="agents")
    for x, y in places:
        dots.append(element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius:.1f}"))
    if not numbered:
        return [dots]
    numbers = element("g", class_="numbers", font_size=f"{max(5.0, radius):.1f}")
    for agent, (x, y) in enumerate(places):
        numbers.append(element("text", str(agent), x=f"{x:.1f}", y=f"{y:.1f}", dy="0.35em"))
    return [dots, numbers]


def _figure(uses: Sequence[Use], text: str, drawing: Element | None = None) -> Element:
    """A drawing, if there is one, with the levels and runs that it belongs to."""
    caption = element("figcaption", element("strong", text))
    for names in dict.fromkeys(names for _, names in uses):
        whose = [label for label, own in uses if own == names and label]
        users = "; ".join([*([f"for {names}"] if names else []), *whose])
        caption.append(element("span", users, class_="note"))
    figure = element("figure", class_="graph")
    if drawing is not None:
        figure.append(drawing)
    figure.append(caption)
    return figure

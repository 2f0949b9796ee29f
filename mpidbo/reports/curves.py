"""Curves of one or several runs, from their histories."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, did_you_mean
from ..storage.files import flat
from ..storage.history import COUNTS
from ..storage.load import Archive

Figure = Any  # matplotlib's; an optional part, imported where it is used

AGAINST = {
    "iterations": ("iteration", "iterations"),
    "floats": ("floats", "floats sent by all agents"),
    "seconds": ("", "seconds, without evaluation"),
}
"""What may stand on the abscissa: (dataset, label)."""
PANEL = ("upper_loss", "distance", "hypergradient_norm", "residual", "consensus", "test_accuracy", "auc")
"""Metrics shown unless others are asked for, as far as a run has them; then the problem's own."""
LABELS = {
    "upper_loss": "upper loss f", "lower_loss": "lower loss g", "distance": "distance to x*", "hypergradient_norm": "|grad Φ|",
    "residual": "residual G − V", "refined_residual": "refined residual G − V", "consensus": "consensus distance",
    "test_accuracy": "test accuracy", "auc": "AUC", "curvature": "curvature along z",
}
MOST = 6
FEW = 25
"""Points of a curve up to which each has a marker."""
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
"""Told apart by the colour-blind too (Okabe and Ito; the last one Tol's in place of their yellow)."""
STYLES = {"x": "-", "y": "--", "z": ":", "t": ":"}
FORMATS = ("png", "pdf", "svg")


def curves(runs: Sequence[Archive], metrics: Sequence[str] = (), against: str = "iterations") -> Figure:
    """A figure with an axes for each metric and in it a line for each run; all levels' consensus distances share one.

    A metric is any dataset of history.h5, or "consensus"; without one, those of PANEL that are there and the problem's own.
    An ordinate is logarithmic where the data are not negative and span more than two decades. Raises UserError.
    """
    for run in runs:
        if not run.history:
            raise UserError(f"{run.path}: has no history.h5; a run writes it from its first evaluation on")
    names = _chosen(runs, metrics)
    columns = 1 if len(names) == 1 else 2 if len(names) <= 4 else 3
    rows = -(-len(names) // columns)
    figure = matplotlib("figure").Figure(figsize=(1 + 4 * columns, 0.7 + 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for i, (ax, name) in enumerate(zip(axes.flat, names, strict=False)):
        _panel(ax, runs, name, against)
        if i + columns >= len(names):
            ax.set_xlabel(AGAINST[against][1])
    free = list(axes.flat[len(names):])
    for ax in free:
        ax.set_axis_off()
    if len(runs) > 1:
        _legend(figure, free[-1] if free else None, runs, columns)
    else:
        figure.suptitle(title(runs[0]), fontsize="medium")
    return figure


def _legend(figure: Figure, free: Any, runs: Sequence[Archive], columns: int) -> None:
    """Which line is whose: in a free corner, else below."""
    names = labels(runs)
    lines = [_line(color=color, linewidth=width) for color, width, _ in _pens(runs)]
    if free is not None:
        free.legend(lines, names, loc="center", frameon=False)
        return
    beside = max(1, min(len(runs), 50 * columns // (max(map(len, names)) + 8)))
    figure.legend(lines, names, loc="outside lower center", ncols=beside, frameon=False)


def _pens(runs: Sequence[Archive]) -> Iterator[tuple[str, float, Archive]]:
    """(color, width, run): later lines are thinner and on top, so that lines that coincide are all seen.

    Colors go by the folders' names: a run has the same one in whatever order the runs are named.
    """
    by_name = sorted(range(len(runs)), key=lambda i: (str(runs[i].path), i))
    colors = dict(zip(by_name, cycle(COLORS), strict=False))
    for i, run in enumerate(runs):
        yield colors[i], 1.3 + 1.6 * (len(runs) - 1 - i) / max(2, len(runs) - 1), run


def _line(**how: Any) -> Any:
    return matplotlib("lines").Line2D([], [], **how)


def _chosen(runs: Sequence[Archive], metrics: Sequence[str]) -> list[str]:
    there = list(dict.fromkeys(name for run in runs for name in run.history))
    groups = ["consensus"] if any(name.startswith("consensus_") for name in there) else []
    for name in metrics:
        if name not in there + groups:
            raise UserError(f"--metric {name}: not in the history; {did_you_mean(name, [*there, *groups])}")
    if metrics:
        return list(dict.fromkeys(metrics))
    own = [name for name in there if name not in LABELS and not name.startswith((*COUNTS, "consensus_"))]
    return [*[name for name in PANEL if name in there + groups], *own][:MOST] or there[:1]


def _panel(ax: Any, runs: Sequence[Archive], name: str, against: str) -> None:
    several, styles = len(runs) > 1, {}
    for (color, width, run), label in zip(_pens(runs), labels(runs), strict=True):
        if name != "consensus":
            found = {"": name} if name in run.history else {}
        else:
            found = {key.removeprefix("consensus_"): key for key in run.history if key.startswith("consensus_")}
            found = {level: key for level, key in found.items() if level in "xy" or not several}
        for shade, (level, key) in zip(cycle(COLORS), found.items(), strict=False):
            x, y = abscissa(run, against), np.asarray(run.history[key], float)
            how = {"color": color if several else shade, "linestyle": STYLES.get(level, "-"), "linewidth": width}
            seen = np.isfinite(y) & (y != 0)             # a zero has no place on a logarithmic ordinate
            ax.plot(x, np.where(np.isfinite(y), y, np.nan), marker="o" if seen.sum() <= FEW else "", markersize=3,
                    label=label if several else level, **how)
            styles[level] = _line(**how | ({"color": "0.2", "linewidth": 1.4} if several else {}))
    ax.set_ylabel(LABELS.get(name, name))
    if logarithmic([line.get_ydata() for line in ax.lines]):
        ax.set_yscale("log", nonpositive="mask")
    ticker = matplotlib("ticker")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if against != "seconds" and ax.dataLim.x1 >= 1e4:
        ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    ax.margins(x=0.02)
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if name == "consensus":
        ax.legend(styles.values(), styles, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, frameon=False,
                  fontsize="small", ncols=len(styles), handlelength=1.8)


def abscissa(run: Archive, against: str) -> np.ndarray:
    """(rows of the history,): iterations, floats sent by all agents, or seconds without those of evaluations."""
    if against == "seconds":
        return np.sum([run.history[f"seconds_{part}"] for part in ("oracle", "exchange", "update")], axis=0)
    return np.asarray(run.history[AGAINST[against][0]], float)


def logarithmic(columns: Iterable[np.ndarray]) -> bool:
    """Whether none is negative and the positive ones span more than two decades."""
    values = np.concatenate([*columns, np.empty(0)])
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    return bool(positive.size and values.min() >= 0 and positive.max() > 100 * positive.min())


def labels(runs: Sequence[Archive]) -> list[str]:
    """What tells the runs apart: everything in which their configurations differ; else the folder's name, else its path."""
    named = [_differences(run, runs) for run in runs]
    for found in (named, [run.path.resolve().name for run in runs], [str(run.path) for run in runs]):
        if all(found) and len(set(found)) == len(found):
            return found
    return [f"{run.path} ({i})" for i, run in enumerate(runs, 1)]


NAMED = ("method", "topology", "problem")
"""Sections with a name: their other keys are compared between runs of the same name."""


def _differences(run: Archive, runs: Sequence[Archive]) -> str:
    """"sparkle-ed, torus, alpha = 0.1": where the runs differ, as this one has it; its method where one has no configuration."""
    if not all(other.config for other in runs):
        return run.method
    tables = [_told_apart(other) for other in runs]
    own = _told_apart(run)
    parts = []
    for key in dict.fromkeys(key for table in tables for key in table):
        if key in own and _distinguishes(key, tables):
            parts.append(own[key] if key in NAMED else f"{key.rpartition('.')[2]} = {_short(own[key])}")
    return ", ".join(filter(None, parts)) or (run.method if len(runs) == 1 else "")


def _distinguishes(key: str, tables: Sequence[Mapping[str, Any]]) -> bool:
    section = key.partition(".")[0]
    if section == "steps" and not all(key in table for table in tables):
        section = "method"                                  # a step that not every method has
    by = section if section in NAMED and key != section else ""
    values: dict[str, set[str]] = {}
    for table in tables:
        values.setdefault(table.get(by, ""), set()).add(repr(table.get(key)))
    return any(len(found) > 1 for found in values.values())


def _told_apart(run: Archive) -> dict[str, Any]:
    """The keys of a configuration by which runs are told apart in a legend, flat: all but where their files go."""
    config = {section: dict(table) for section, table in run.config.items() if isinstance(table, Mapping)}
    method = config.pop("method", {})
    for key in ("name", "lower", "upper"):
        method.pop(key, None)
    problem, topology = config.pop("problem", {}), config.pop("topology", {})
    names = {"method": run.method, "problem": _name(problem), "topology": _name(topology)}
    rest = {"steps": config.pop("steps", {}), "method": method, "topology": topology, "problem": problem, **config}
    rest.get("run", {}).pop("out", None)
    rest.pop("checkpoint", None)
    return names | flat(rest)


def _name(table: dict[str, Any]) -> str:
    """A table's name or file, taken out of it."""
    found = [table.pop(key, None) for key in ("name", "file")]
    return Path(str(next((value for value in found if value), ""))).name


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def title(run: Archive) -> str:
    """"sparkle-ed-gt on quadratic: ring of 8 agents", as far as it is known."""
    topology = run.config.get("topology", {})
    where = Path(str(topology.get("name", topology.get("file", "a graph" if "edges" in topology else "")))).name
    agents = run.config.get("run", {}).get("agents")
    problem = str(run.config.get("problem", {}).get("name", "")).rpartition("/")[2]
    text = run.method + (f" on {problem}" if problem else "")
    return (text + (f": {where or 'two topologies'} of {agents} agents" if agents else "")) or run.path.name


def save(figure: Figure, path: Path) -> None:
    """Write a figure as png, pdf or svg, by the name. Raises UserError."""
    kind = suffix(path)
    drawn = BytesIO()
    figure.savefig(drawn, format=kind, dpi=150)
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise UserError(f"{path}: could not be written ({error.strerror or error}); give another file") from None


def suffix(path: Path) -> str:
    """png, pdf or svg; UserError for another."""
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UserError(f"{path}: a picture is a .{', a .'.join(FORMATS)}; give such a name")
    return kind


def matplotlib(module: str) -> Any:
    from importlib import import_module
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError:
        raise UserError("pictures need matplotlib, which is not installed; install it: pip install 'mpidbo[plot]'") from None

"""Labels of runs in a legend: the keys in which their configurations differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..storage import Saved, flat, own_keys

NAMED = ("method", "topology", "problem")
"""Sections with a name: their other keys are compared between runs of the same name."""


def labels(runs: Sequence[Saved]) -> list[str]:
    """Return a label for each run, all different.

    Parameters
    ----------
    runs : sequence of Saved

    Returns
    -------
    list of str
        All in which their configurations differ, such as "sparkle-ed, torus, alpha = 0.1"; where
        that is not enough the names of their folders, or else the paths.
    """
    tables = [_compared(run) for run in runs]
    if all(run.tables for run in runs):
        described = [_description(run, own, tables) for run, own in zip(runs, tables, strict=True)]
    else:
        described = [run.method for run in runs]
    folders = [run.path.resolve().name for run in runs]
    paths = [str(run.path) for run in runs]
    for found in (described, folders, paths):
        if all(found) and len(set(found)) == len(found):
            return found
    return [f"{run.path} ({i})" for i, run in enumerate(runs, 1)]


def color_numbers(runs: Sequence[Saved]) -> list[int]:
    """Return the place of each run in the order of their paths, by which it has its color.

    A run so has the same color in whatever order the runs are given.
    """
    by_path = sorted(range(len(runs)), key=lambda i: (str(runs[i].path), i))
    places = {run: place for place, run in enumerate(by_path)}
    return [places[i] for i in range(len(runs))]


def title(run: Saved) -> str:
    """Return "sparkle-ed-gt on quadratic: ring of 8 agents", as far as it is known."""
    problem = str(run.tables.get("problem", {}).get("name", "")).rpartition("/")[2]
    agents = run.tables.get("run", {}).get("agents")
    text = f"{run.method} on {problem}" if problem else run.method
    if agents:
        text += f": {_topology(run.tables.get('topology', {}))} of {agents} agents"
    return text or run.path.name


def _topology(table: Mapping[str, Any]) -> str:
    """The name of a table [topology]."""
    unnamed = "a graph" if "edges" in table else ""
    name = table.get("name", table.get("file", unnamed))
    return Path(str(name)).name or "two topologies"


def _description(run: Saved, own: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> str:
    """The keys in which the runs differ, as this one has them; for one run alone its method."""
    keys = dict.fromkeys(key for table in tables for key in table)
    found = {key: own[key] for key in keys if key in own and _distinguishes(key, tables)}
    parts = [found.pop(key) for key in NAMED if key in found]
    names = {key: _unlike(key, found) for key in found}
    parts += dict.fromkeys(f"{names[key]} = {_short(value)}" for key, value in found.items())
    described = ", ".join(part for part in parts if part)
    return described or (run.method if len(tables) == 1 else "")


def _unlike(key: str, found: Mapping[str, Any]) -> str:
    """A key's name in a legend: its last part.

    Of a table within a section, such as `method.mu.start`, after the table's name, unless both
    levels have the same value.
    """
    _, *tables, name = key.split(".")
    if not tables:
        return name
    if name == "name":
        return tables[-1]
    alike = [found[other] for other in found if other != key and other.rpartition(".")[2] == name]
    return name if alike and alike == [found[key]] else f"{tables[-1]} {name}"


def _distinguishes(key: str, tables: Sequence[Mapping[str, Any]]) -> bool:
    """Whether runs differ in a key; in an option of a method, say, those of the same method."""
    section = key.partition(".")[0]
    if section == "steps" and not all(key in table for table in tables):
        section = "method"  # a step size that not every method has
    by = section if section in NAMED and key != section else ""
    values: dict[str, set[str]] = {}
    for table in tables:
        values.setdefault(table.get(by, ""), set()).add(repr(table.get(key)))
    return any(len(found) > 1 for found in values.values())


def _compared(run: Saved) -> dict[str, Any]:
    """A configuration's keys, flat, but for where its files are written.

    Method, problem and topology come first, by their names, then the step sizes.
    """
    tables = {name: dict(table) for name, table in run.tables.items() if isinstance(table, Mapping)}
    method = own_keys(tables.pop("method", {}))
    problem, topology = tables.pop("problem", {}), tables.pop("topology", {})
    names = {"method": run.method, "problem": _take_name(problem), "topology": _take_name(topology)}
    steps = tables.pop("steps", {})
    tables.pop("checkpoint", None)
    tables.get("run", {}).pop("out", None)
    rest = {"steps": steps, "method": method, "topology": topology, "problem": problem, **tables}
    return names | flat(rest)


def _take_name(table: dict[str, Any]) -> str:
    """Remove a table's name or file, and return it."""
    name, file = table.pop("name", None), table.pop("file", None)
    return Path(str(name or file or "")).name


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

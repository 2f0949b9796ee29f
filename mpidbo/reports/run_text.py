"""A run as text: what it is, how far it got, what it cost and where it came from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._text import aligned, plural, quantity
from ..solver import advice
from ..storage import (
    CALLS,
    COSTS,
    PARTS,
    RESULT,
    SECONDS,
    Saved,
    column,
    files,
    flat,
    matching,
    metrics_of,
    own_keys,
    read_best,
)

MAX_VALUE = 60
"""Characters of a value of the configuration."""
COMMIT_DIGITS = 10
OF_ITS_OWN = {"version", "commit", "mpi", "hosts", "job", "threads", "workers", "ranks", "python"}
"""What of the provenance has a row of its own; the rest are versions of libraries."""

Row = tuple[str, str]
"""A label and what it is."""


def show(run: Saved) -> str:
    """Return a run as text.

    Parameters
    ----------
    run : Saved
        As `read_run` reads it.

    Returns
    -------
    str
        A few lines for each of: the configuration, the last metrics, advice where there is some,
        what was sent and called and the time it took, versions and hosts.
    """
    rows = _configuration(run)
    if run.shapes:
        shapes = ", ".join(f"{name} {shape}" for name, shape in run.shapes.items())
        rows.append(("result", f"{shapes}, rows in agent order"))
    if run.best_file and not run.is_best:
        rows.append(("best", f"{read_best(run.best_file, with_rows=False)}: {run.best_file.name}"))
    text = [f"{run.path}: {verdict(run)}", "", aligned(rows)]
    last = {name: values[-1] for name, values in run.columns.items() if len(values)}
    metrics = [(name, f"{last[name]:.6g}") for name in metrics_of(run.columns) if name in last]
    if metrics:
        text += ["", f"at iteration {int(last['iteration'])}", aligned(metrics, indent="  ")]
    if files.is_there(run.path / files.SURVIVED):
        text += ["", files.read_text(run.path / files.SURVIVED).strip()]
    suggestion = advice(run.columns, run.tables.get("steps", {}))
    if suggestion:
        text += ["", suggestion]
    if last:
        text += ["", aligned(_costs(run, last))]
    if run.provenance:
        text += ["", aligned(_origin(run))]
    return "\n".join(text)


def table(run: Saved) -> str:
    """Return the history as a table, a row for each evaluation.

    Its columns are the iteration, the metrics, floats sent, and seconds without evaluation.
    """
    history = run.columns
    columns = {
        "iteration": history["iteration"],
        **{name: history[name] for name in metrics_of(history)},
        "floats": history["floats"],
        "seconds": COSTS["seconds"].of(history),
    }
    integers = {name for name in columns if np.issubdtype(column(name).dtype, np.integer)}
    rows = [
        [
            str(int(value)) if name in integers else f"{value:.6g}"
            for name, value in zip(columns, row, strict=True)
        ]
        for row in zip(*columns.values(), strict=True)
    ]
    return aligned([list(columns), *rows], right=True)


def verdict(run: Saved) -> str:
    """Return how far a run got, and why it ended."""
    iterations = plural(run.iteration, "iteration") if run.iteration >= 0 else ""
    seen = ""
    if len(run.columns.get("iteration", ())):
        seen = f"seen at iteration {int(run.columns['iteration'][-1])}"
    if run.running and not run.finished:
        return f"running; {seen or 'nothing written yet'}"
    if run.diverged:
        return run.diverged if run.diverged.startswith("diverged") else f"diverged: {run.diverged}"
    if run.is_best:
        return f"{iterations}, {run.reason}"
    if run.finished:
        return f"finished, {iterations}" if iterations else "finished"
    if iterations:
        stopped = f"; {run.stopped}" if run.stopped else ""
        return f"{iterations}, not finished{stopped}"
    if run.path.is_file():
        return f"a history, {seen}"
    if run.stopped:
        return f"{run.stopped}; {seen}"
    if not run.tables:
        return f"a history alone, {seen}"
    how = f"no {RESULT} and not in use: it was killed or failed"
    return f"{how}; {seen or 'nothing written yet'}"


def _configuration(run: Saved) -> list[Row]:
    """The configuration, a row for each section."""
    tables = run.tables
    method = own_keys(tables.get("method", {}))
    rows = [("method", run.method + _keys(method))]
    for section in ("problem", "topology"):
        keys = dict(tables.get(section, {}))
        if keys:
            name = _take_name(keys)
            rows.append((section, name + _keys(keys)))
    if tables.get("steps"):
        found = tables.get("tuning", {}).get("found", {})
        how = f"  ({', '.join(found)} found by short runs)" if found else ""
        rows.append(("steps", _keys(tables["steps"]).strip() + how))
    settings = tables.get("run", {})
    if "agents" in settings:
        agents = str(settings["agents"])
        if "ranks" in run.provenance:
            agents += f" on {plural(int(run.provenance['ranks']), 'rank')}"
        dtype, seed = settings.get("dtype", ""), settings.get("seed", 0)
        rows.append(("agents", f"{agents}, {dtype}, seed {seed}"))
    return rows


def _take_name(keys: dict[str, Any]) -> str:
    """Remove the name from a section's keys, and return it; of a topology also file or edges."""
    edges = keys.pop("edges", None)
    unnamed = "a topology for each level" if edges is None else plural(len(edges), "edge")
    file = keys.pop("file", unnamed)
    return str(keys.pop("name", file))


def _keys(table: Mapping[str, Any]) -> str:
    return "".join(f"  {key} = {_short(value)}" for key, value in flat(table).items())


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def _costs(run: Saved, last: Mapping[str, float]) -> list[Row]:
    """What was sent, called, and the seconds by part, until the last row of the history."""
    rows = []
    if "floats" in last:
        size = f" ({quantity(last['bytes'], 'B')})" if "bytes" in last else ""
        sent = (
            f"{quantity(last['floats'])} floats{size} in {quantity(last['messages'])} messages, "
            f"{quantity(last['rounds'])} rounds, over all agents"
        )
        rows.append(("sent", sent))
    calls = [
        f"{name.removeprefix(CALLS)} {quantity(last[name])}"
        for name in matching(last, CALLS)
        if last[name]
    ]
    if calls:
        rows.append(("calls", ", ".join(calls)))
    seconds = {part: last.get(f"{SECONDS}{part}", 0.0) for part in PARTS}
    total = sum(seconds.values())
    if total:
        shares = ", ".join(f"{part} {100 * value / total:.0f} %" for part, value in seconds.items())
        rows.append(("seconds", f"{total:.3g}: {shares}"))
    return rows


def _origin(run: Saved) -> list[Row]:
    """Versions, hosts and threads, as far as they are known."""
    about = {key: _joined(value) for key, value in run.provenance.items()}
    made_by = f"mpidbo {about.get('version', '')}"
    if about.get("commit"):
        made_by += f", commit {about['commit'][:COMMIT_DIGITS]}"
    hosts = about.get("hosts", "")
    if about.get("job"):
        hosts += f", job {about['job']}"
    libraries = [
        f"{name} {text}" for name, text in about.items() if name not in OF_ITS_OWN and text
    ]
    threads = f"{about['threads']} a rank" if "threads" in about else ""
    if about.get("workers", "1") != "1":
        threads += f", agents divided among {about['workers']}"
    rows = [
        ("made by", f"{made_by}; {about.get('mpi') or 'without MPI'}"),
        ("hosts", hosts),
        ("threads", threads),
        ("python", ", ".join([about.get("python", ""), *libraries])),
    ]
    return [row for row in rows if row[1]]


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value)

"""A run as text: what it was, how far it got, what it cost and where it came from."""

import numpy as np

from .._text import aligned, plural, quantity
from ..storage.files import RESULT, flat
from ..storage.history import COUNTS
from ..storage.load import Archive

ORDER = ("upper_loss", "lower_loss", "distance", "hypergradient_norm", "residual", "refined_residual",
         "consensus_x", "consensus_y", "consensus_z", "consensus_t")
PARTS = ("oracle", "exchange", "update", "evaluation")
PLACED = {"version", "commit", "mpi", "hosts", "job", "threads", "ranks", "python"}
"""What of the provenance has a place of its own; the rest are versions of libraries."""


def show(run: Archive) -> str:
    """A few lines for each of: the run, its last metrics, what was sent, called and waited for, its origin."""
    rows = _what(run)
    shapes = ", ".join(f"{name} {shape}" for name, shape in run.shapes.items())
    if shapes:
        rows.append(("result", f"{shapes}, rows in agent order"))
    text = [f"{run.path}: {_state(run)}", "", aligned(rows)]
    last = {name: values[-1] for name, values in run.history.items() if len(values)}
    metrics = [(name, f"{last[name]:.6g}") for name in _metrics(run)]
    if metrics:
        text += ["", f"at iteration {int(last['iteration'])}", aligned(metrics, indent="  ")]
    if last:
        text += ["", aligned(_costs(run, last))]
    if run.provenance:
        text += ["", aligned(_origin(run))]
    return "\n".join(text)


def _state(run: Archive) -> str:
    if run.diverged:
        return run.diverged if run.diverged.startswith("diverged") else f"diverged: {run.diverged}"
    if run.finished:
        return f"finished, {plural(run.iteration, 'iteration')}" if run.iteration >= 0 else "finished"
    if run.iteration >= 0:
        return f"{plural(run.iteration, 'iteration')}, not finished{f'; {run.stopped}' if run.stopped else ''}"
    seen = f"seen at iteration {int(run.history['iteration'][-1])}" if run.history and len(run.history["iteration"]) else ""
    if run.path.is_file():
        return f"a history, {seen}"
    if run.stopped:
        return f"{run.stopped}; {seen}"
    if seen:
        return f"no {RESULT}: it is running or was stopped; {seen}"
    return "started, nothing written yet"


def _what(run: Archive) -> list[tuple[str, str]]:
    """The configuration, a line for each section."""
    config = run.config
    method = {key: value for key, value in config.get("method", {}).items() if key not in ("name", "lower", "upper")}
    lines = [("method", run.method + _keys(flat(method)))]
    for section in ("problem", "topology"):
        table = dict(config.get(section, {}))
        if table:
            edges = table.pop("edges", None)
            unnamed = "a topology for each level" if edges is None else plural(len(edges), "edge")
            name = str(table.pop("name", table.pop("file", unnamed)))
            lines.append((section, name + _keys(flat(table))))
    if config.get("steps"):
        lines.append(("steps", _keys(flat(config["steps"])).removeprefix("  ")))
    settings = config.get("run", {})
    ranks = f" on {plural(int(run.provenance['ranks']), 'rank')}" if "ranks" in run.provenance else ""
    if "agents" in settings:
        lines.append(("agents", f"{settings['agents']}{ranks}, {settings.get('dtype', '')}, seed {settings.get('seed', 0)}"))
    return lines


def _keys(table: dict[str, object]) -> str:
    return "".join(f"  {key} = {_short(str(value).lower() if isinstance(value, bool) else str(value))}" for key, value in table.items())


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


def _metrics(run: Archive) -> list[str]:
    """What was measured, the usual first."""
    names = [name for name in run.history if not name.startswith(COUNTS)]
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def _costs(run: Archive, last: dict[str, float]) -> list[tuple[str, str]]:
    size = np.dtype(run.config.get("run", {}).get("dtype", "float64")).itemsize
    rows = []
    if "floats" in last:
        rows.append(("sent", f"{quantity(last['floats'])} floats ({quantity(last['floats'] * size, 'B')}) in {quantity(last['messages'])} "
                             f"messages, {quantity(last['rounds'])} rounds, over all agents"))
    calls = [f"{name.removeprefix('calls_')} {quantity(count)}" for name, count in last.items() if name.startswith("calls_") and count]
    if calls:
        rows.append(("calls", ", ".join(calls)))
    seconds = {part: last.get(f"seconds_{part}", 0.0) for part in PARTS}
    total = sum(seconds.values())
    if total:
        shares = ", ".join(f"{part} {100 * value / total:.0f} %" for part, value in seconds.items())
        rows.append(("seconds", f"{total:.3g}: {shares}"))
    return rows


def _origin(run: Archive) -> list[tuple[str, str]]:
    about = {key: ", ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value) for key, value in run.provenance.items()}
    commit = f", commit {about['commit'][:10]}" if about.get("commit") else ""
    libraries = [about.get("python", ""), *(f"{name} {text}" for name, text in about.items() if name not in PLACED and text)]
    rows = [("made by", f"mpidbo {about.get('version', '')}{commit}; {about.get('mpi') or 'without MPI'}"),
            ("hosts", about.get("hosts", "") + (f", job {about['job']}" if about.get("job") else "")),
            ("threads", f"{about['threads']} a rank" if "threads" in about else ""),
            ("python", ", ".join(libraries))]
    return [row for row in rows if row[1]]


def table(run: Archive) -> str:
    """The history: iteration, metrics, floats sent and seconds without evaluation, a line for each evaluation."""
    history = run.history
    columns = {"iteration": history["iteration"], **{name: history[name] for name in _metrics(run)}, "floats": history["floats"],
               "seconds": np.sum([history[f"seconds_{part}"] for part in PARTS[:3]], axis=0)}
    whole = ("iteration", "floats")
    rows = [[str(int(value)) if name in whole else f"{value:.6g}" for name, value in zip(columns, row, strict=True)]
            for row in zip(*columns.values(), strict=True)]
    return aligned([list(columns), *rows], right=True)

"""The tables of a page: a row for each fact, and a column for each run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..._text import quantity
from ...solver import advice
from ...storage import CALLS, PARTS, SECONDS, Saved, flat, matching, metrics_of, read_best
from ..run_labels import color_numbers
from ..run_text import verdict
from ..style import COLORS
from .elements import Element, element

MAX_VALUE = 200
"""Characters of a value of the configuration."""
NOWHERE = {"run.out"}
"""Keys that are left out: the folder is among the first rows."""
COMMIT_DIGITS = 10
FACTS = ("version", "commit", "job", "hosts", "ranks", "threads", "workers", "mpi", "python")
"""The first rows of the provenance."""
ABSENT = "–"
DASHES = 3
"""Kinds of lines: a solid one and two of dashes."""


class Row(NamedTuple):
    """A row of a table.

    Parameters
    ----------
    name : str
    cells : sequence of str or Element
        Of each run.
    differs : bool
        Whether the runs differ in it, where that is worth a mark.
    """

    name: str
    cells: Sequence[str | Element]
    differs: bool = False


def table(rows: Iterable[Row], runs: Sequence[Saved], labels: Sequence[str]) -> Element:
    """Return rows as a table, with the runs as columns where they are several."""
    made = element("table")
    if len(runs) > 1:
        heads = [
            element("th", swatch(color), label, scope="col")
            for color, label in zip(color_numbers(runs), labels, strict=True)
        ]
        made.append(element("thead", element("tr", element("td"), *heads)))
    body = element("tbody")
    for row in rows:
        line = element("tr", element("th", row.name, scope="row"))
        line.extend([element("td", cell) for cell in row.cells])
        if row.differs:
            line.set("class", "differs")
        body.append(line)
    made.append(body)
    return element("div", made, class_="scroll", tabindex="0")


def swatch(color: int) -> Element:
    """Return the mark with the color of a run; runs of one color have lines of different dashes."""
    dashes = color // len(COLORS) % DASHES
    return element("span", class_=f"swatch c{color % len(COLORS)} d{dashes}")


def state(run: Saved) -> str:
    """Return a word for the status of a run; `verdict` is the sentence."""
    if run.running and not run.finished:
        return "running"
    if run.diverged:
        return "diverged"
    if run.is_best:
        return "best"
    if run.finished:
        return "finished"
    if run.stopped or run.iteration >= 0:
        return "stopped"
    return "ended" if run.tables and not run.path.is_file() else "history"


def overview(runs: Sequence[Saved]) -> list[Row]:
    """The status of each run, where it is, and its last metrics."""
    rows = [
        Row("state", [_state(run) for run in runs]),
        Row("path", [element("code", str(run.path)) for run in runs]),
    ]
    if any(run.best_file and not run.is_best for run in runs):
        rows.append(Row("best", [_best(run) for run in runs]))
    suggestions = [advice(run.columns, run.tables.get("steps", {})) for run in runs]
    if any(suggestions):
        rows.append(Row("advice", [text or ABSENT for text in suggestions]))
    last = [_last(run) for run in runs]
    rows.append(Row("iteration", [_cell(found.get("iteration"), _whole) for found in last]))
    names = metrics_of(dict.fromkeys(name for found in last for name in found))
    rows += [Row(name, [_cell(found.get(name), _number) for found in last]) for name in names]
    return rows


def configuration(runs: Sequence[Saved]) -> list[Row]:
    """The keys of the configurations, and where they differ."""
    tables = [
        {key: value for key, value in flat(run.tables).items() if key not in NOWHERE}
        for run in runs
    ]
    return [
        Row(
            key,
            [_short(own[key]) if key in own else ABSENT for own in tables],
            any(a.get(key) != b.get(key) for a, b in pairwise(tables)),
        )
        for key in _in_sections(key for own in tables for key in own)
    ]


def cost(runs: Sequence[Saved]) -> list[Row]:
    """What was sent and called, and the seconds by part, until the last row of the history."""
    last = [_last(run) for run in runs]
    rows = [
        Row("floats sent", [_cell(found.get("floats"), quantity) for found in last]),
        Row("bytes sent", [_cell(found.get("bytes"), _bytes) for found in last]),
        Row("messages", [_cell(found.get("messages"), quantity) for found in last]),
        Row("rounds", [_cell(found.get("rounds"), quantity) for found in last]),
    ]
    for name in _used(last, CALLS):
        cells = [_cell(found.get(name), quantity) for found in last]
        rows.append(Row(f"calls of {name.removeprefix(CALLS)}", cells))
    for part in PARTS:
        cells = [_cell(found.get(f"{SECONDS}{part}"), _seconds) for found in last]
        rows.append(Row(f"seconds: {part}", cells))
    return [row for row in rows if any(cell != ABSENT for cell in row.cells)]


def provenance(runs: Sequence[Saved]) -> list[Row]:
    """Versions, hosts, ranks, threads and job, and where they differ."""
    about = [{key: _joined(value) for key, value in run.provenance.items()} for run in runs]
    for found in about:
        if found.get("commit"):
            found["commit"] = found["commit"][:COMMIT_DIGITS]
    rows = [
        Row(
            {"version": "mpidbo", "mpi": "MPI"}.get(key, key),
            [found.get(key) or ABSENT for found in about],
            any(a and b and a.get(key) != b.get(key) for a, b in pairwise(about)),
        )
        for key in sorted({key for found in about for key in found}, key=_place)
    ]
    return [row for row in rows if any(cell != ABSENT for cell in row.cells)]


def _state(run: Saved) -> Element:
    word = state(run)
    text = verdict(run)
    rest = text.removeprefix(word).lstrip(",;: ")
    return element("span", element("span", word, class_=f"badge {word}"), f" {rest}")


def _best(run: Saved) -> str:
    if run.best_file is None or run.is_best:
        return ABSENT
    return str(read_best(run.best_file, with_rows=False))


def _in_sections(keys: Iterable[str]) -> list[str]:
    """Keys without repetition, those of a section together, in the order in which they come."""
    sections: dict[str, dict[str, None]] = {}
    for key in keys:
        sections.setdefault(key.partition(".")[0], {})[key] = None
    return [key for section in sections.values() for key in section]


def _place(key: str) -> tuple[int, str]:
    """Sort key of the provenance: the run's own facts, then libraries."""
    return (FACTS.index(key) if key in FACTS else len(FACTS), key)


def _last(run: Saved) -> dict[str, float]:
    """The last row of a history."""
    return {name: float(values[-1]) for name, values in run.columns.items() if len(values)}


def _used(last: Sequence[Mapping[str, float]], prefix: str) -> list[str]:
    """The columns with a prefix that are not zero in all runs."""
    names = matching(dict.fromkeys(name for found in last for name in found), prefix)
    return [name for name in names if any(found.get(name) for found in last)]


def _cell(value: float | None, form: Callable[[float], str]) -> str:
    return ABSENT if value is None else form(value)


def _whole(value: float) -> str:
    return str(int(value))


def _number(value: float) -> str:
    return f"{value:.6g}"


def _bytes(value: float) -> str:
    return quantity(value, "B")


def _seconds(value: float) -> str:
    return f"{value:.3g}"


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value)

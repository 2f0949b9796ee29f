"""What a study found: a table and a figure, from the folders of its runs."""

import csv
import io
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from .._text import quantity
from ..errors import UserError
from ..storage import files
from .curves import COSTS, Curves, curves, reached
from .figure import draw
from .study import Group, Study, stored
from .tuning import TUNED

Cell = str | float | int | None


def report(study: Study, suffix: str = "png") -> list[Path]:
    """table.csv, table.md and curves.png in the study's folder, from the runs that are there.

    Raises UserError when there is none.
    """
    found = [curves(study, group) for group in study.groups]
    if not any(part.values.size or part.diverged for part in found):
        raise UserError(f"{study.out}: no run of this study has finished yet; run it first, without --report")
    rows = table(study, found)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    paths = [study.out / name for name in ("table.csv", "table.md", f"curves.{suffix}")]
    files.write_text(paths[0], text.getvalue())
    files.write_text(paths[1], markdown(rows))
    if not any(part.values.size for part in found):
        return paths[:2]
    draw(study, found, paths[2])
    return paths


def table(study: Study, found: Sequence[Curves]) -> list[list[Cell]]:
    """Header and a row for each group, best first on each topology; None where there is no number."""
    goal = [f"{cost} to {study.target:g}" for cost in COSTS] if study.target is not None else []
    rows: list[list[Cell]] = [["topology", "method", study.metric, "spread", "seeds", "diverged", "missing",
                               *COSTS, *goal, "tuned"]]
    for topology in dict.fromkeys(group.topology for group in study.groups):
        here = [part for part in found if part.group.topology == topology]
        for part in sorted(here, key=lambda part: _rank(part, study.higher)):
            ends, any_end = part.ends, bool(len(part.ends))
            rows.append([
                topology, part.group.method,
                float(np.mean(ends)) if any_end else None,
                (float(np.std(ends, ddof=1)) if len(ends) > 1 else 0.0) if any_end else None,
                len(ends), part.diverged, part.missing,
                *(float(np.mean(part.spent[cost])) if any_end else None for cost in COSTS),
                *(_reached(study, part) if goal else []),
                _steps(part.group)])
    return rows


def _rank(part: Curves, higher: bool) -> tuple[int, float]:
    """Groups with diverged runs come last, the fewer of them the earlier."""
    if not len(part.ends):
        return part.diverged + 1, inf
    mean = float(np.mean(part.ends))
    return part.diverged, -mean if higher else mean


def _reached(study: Study, part: Curves) -> list[float | None]:
    """The median over seeds of each cost when the target was reached; None unless every seed reached it."""
    assert study.target is not None
    at = [reached(values, study.target, study.higher) for values in part.worst_filled(study.higher)]
    if not at or None in at or part.diverged:
        return [None] * len(COSTS)
    return [float(np.median([part.costs[cost][i] for i in at])) for cost in COSTS]


def _steps(group: Group) -> str:
    found = stored(group.folder / TUNED)
    at_edge = {key for _, key, _ in found.get("edges", [])}
    return " ".join(f"{key}={_start(value)}{' (edge)' if key in at_edge else ''}"
                    for section in found.get("winner", {}).values() for key, value in section.items())


def _start(value: Any) -> Any:
    return value["start"] if isinstance(value, Mapping) and "start" in value else value


def markdown(rows: Sequence[Sequence[Cell]]) -> str:
    """A table of Markdown, with numbers of a few digits."""
    head, *body = rows
    lines = [head, ["---"] * len(head),
             *([_cell(value, str(name)) for value, name in zip(row, head, strict=True)] for row in body)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _cell(value: Cell, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if name.partition(" to ")[0] in COSTS:
        return quantity(value)
    return f"{value:.2g}" if name == "spread" else f"{value:.4g}"

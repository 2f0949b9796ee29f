"""What a study found: a table and a figure, from the folders of its runs."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .. import files
from ..errors import UserError
from ..layout import quantity
from .curves import COSTS, Curves, curves, reached
from .figure import draw
from .study import Group, Study, stored
from .tune import TUNED


def report(study: Study, suffix: str = "png") -> list[Path]:
    """table.csv, table.md and, unless all diverged, curves.png in the study's folder, from the runs that are there.

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


def table(study: Study, found: Sequence[Curves]) -> list[list[str]]:
    """Header and a row for each group, best first on each topology."""
    goal = [f"{cost} to {study.target:g}" for cost in COSTS] if study.target is not None else []
    rows = [["topology", "method", study.metric, "spread", "seeds", "diverged", "missing", *COSTS, *goal, "tuned"]]
    for topology in dict.fromkeys(group.topology for group in study.groups):
        for part in sorted((part for part in found if part.group.topology == topology), key=lambda part: _rank(part, study.higher)):
            ends = part.ends
            mean, spread = (f"{np.mean(ends):.4g}", f"{np.std(ends, ddof=1) if len(ends) > 1 else 0:.2g}") if len(ends) else ("", "")
            costs = [quantity(part.costs[cost][-1]) if len(ends) else "" for cost in COSTS]
            rows.append([topology, part.group.method, mean, spread, str(len(ends)), str(part.diverged), str(part.missing), *costs,
                         *(_reached(study, part) if goal else []), _steps(part.group)])
    return rows


def _rank(part: Curves, higher: bool) -> float:
    if part.diverged or not part.values.size:
        return float("inf")
    return float(-np.mean(part.ends) if higher else np.mean(part.ends))


def _reached(study: Study, part: Curves) -> list[str]:
    """The median over seeds of each cost when the metric's target was reached, or "" where not every seed reached it."""
    assert study.target is not None
    at = [reached(values, study.target, study.higher) for values in part.values]
    if not at or None in at or part.diverged:
        return [""] * len(COSTS)
    return [quantity(float(np.median([part.costs[cost][i] for i in at]))) for cost in COSTS]


def _steps(group: Group) -> str:
    winner = stored(group.folder / TUNED).get("winner", {})
    return " ".join(f"{key}={value['start'] if isinstance(value, Mapping) and 'start' in value else value}"
                    for section in winner.values() for key, value in section.items())


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    head, *body = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *body))

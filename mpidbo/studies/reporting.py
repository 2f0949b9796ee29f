"""What a study found: a table and a figure, from the folders of its runs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import archive, files
from ..errors import UserError
from ..layout import quantity
from .running import DIVERGED
from .study import Group, Study, stored
from .tune import TUNED

COSTS = ("iterations", "floats", "rounds", "oracle calls")
Array = Any


@dataclass(frozen=True)
class Curves:
    """A group's runs that reached their end: the metric (seeds, evaluations), each cost (evaluations,); how many others there are."""

    group: Group
    values: Array
    costs: Mapping[str, Array]
    diverged: int
    missing: int

    @property
    def ends(self) -> Array:
        return self.values[:, -1] if self.values.size else np.empty(0)


def curves(study: Study, group: Group) -> Curves:
    """A group's runs as far as they are there."""
    histories, diverged = [], 0
    for seed in study.seeds:
        folder = group.folder / f"seed-{seed}"
        if (folder / files.DONE).is_file():
            histories.append(archive.read(folder).history)
        else:
            diverged += (folder / DIVERGED).is_file()
    missing = len(study.seeds) - len(histories) - diverged
    if not histories:
        return Curves(group, np.empty((0, 0)), {}, diverged, missing)
    rows = min(len(history["iteration"]) for history in histories)      # a stop rule may end one seed earlier
    first = histories[0]
    calls = np.sum([values for name, values in first.items() if name.startswith("calls_")], axis=0)
    costs = {"iterations": first["iteration"], "floats": first["floats"], "rounds": first["rounds"], "oracle calls": calls}
    return Curves(group, np.array([history[study.metric][:rows] for history in histories], float),
                  {name: np.asarray(values[:rows], float) for name, values in costs.items()}, diverged, missing)


def report(study: Study, suffix: str = "png") -> list[Path]:
    """table.csv, table.md and, unless all diverged, curves.png in the study's folder, from the runs that are there.

    Raises UserError when there is none.
    """
    from .figure import draw
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


def reached(values: Array, target: float, higher: bool) -> int | None:
    """The first evaluation whose value is as good as the target and stays so to the end; None if there is none."""
    worse = np.flatnonzero(~(values >= target if higher else values <= target))
    first = int(worse[-1]) + 1 if worse.size else 0
    return first if first < len(values) else None


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

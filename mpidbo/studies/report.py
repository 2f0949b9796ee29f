"""The report of a study, a table and a figure, from the folders of its runs."""

import csv
import io
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._text import quantity
from ..config import first_size
from ..errors import UserError
from ..storage import files, write_text
from .curves import COSTS, Curves, curves, reached
from .figure import USUAL_PANELS, draw
from .study import Group, Study
from .tuning import stored_tuning

Cell: TypeAlias = str | float | int | None


def write_report(
    study: Study,
    figure: Path | None = None,
    against: Sequence[str] = USUAL_PANELS,
    *,
    column: bool = False,
) -> list[Path]:
    """Write table.csv, table.md and the figure into the study's folder, from the runs made so far.

    Parameters
    ----------
    study : Study
        The study.
    figure : Path, optional
        The file of the figure, a .png, .pdf or .svg; default: curves.png in the study's folder.
    against, column
        Panels and width of the figure: see `draw`.

    Returns
    -------
    list of Path
        The files; no figure where no run has a history.

    Raises
    ------
    UserError
        No run has finished yet.
    """
    found = [curves(study, group) for group in study.groups]
    if not any(part.values.size or part.diverged for part in found):
        raise UserError(
            f"{study.out}: no run of this study has finished yet; run it first, without --report"
        )
    rows = table(study, found)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    paths = [study.out / "table.csv", study.out / "table.md"]
    write_text(paths[0], text.getvalue(), shared=True)
    write_text(paths[1], markdown(rows), shared=True)
    if any(part.values.size for part in found):
        figure = figure or study.out / files.CURVES
        draw(study, found, figure, against, column=column)
        paths.append(figure)
    return paths


def table(study: Study, found: Sequence[Curves]) -> list[list[Cell]]:
    """The header and a row for each group, best first on each topology.

    Parameters
    ----------
    study : Study
        The study.
    found : sequence of Curves
        The runs of each of its groups.

    Returns
    -------
    list of list
        Strings and numbers; None where there is no number.
    """
    header: list[Cell] = ["topology", "method", study.metric]
    header += ["spread", "seeds", "diverged", "missing", *COSTS]
    if study.target is not None:
        header += [f"{cost} to {study.target:g}" for cost in COSTS]
    header.append("tuned")
    rows = [header]
    for topology in dict.fromkeys(group.topology for group in study.groups):
        here = [part for part in found if part.group.topology == topology]
        here.sort(key=lambda part: _rank(part, study.higher))
        rows += [_row(study, part) for part in here]
    return rows


def _row(study: Study, part: Curves) -> list[Cell]:
    """The row of a group."""
    mean = spread = None
    costs: list[Cell] = [None] * len(COSTS)
    if len(part.ends):
        mean = float(np.mean(part.ends))
        spread = float(np.std(part.ends, ddof=1)) if len(part.ends) > 1 else 0.0
        costs = [float(np.mean(part.spent[cost])) for cost in COSTS]
    row: list[Cell] = [part.group.topology, part.group.method, mean, spread]
    row += [len(part.ends), part.diverged, part.missing, *costs]
    if study.target is not None:
        row += _costs_to_target(part, study.target, study.higher)
    row.append(_tuned(part.group) or _found(part.found))
    return row


def _rank(part: Curves, higher: bool) -> tuple[int, float]:
    """Order of rows: groups without diverged runs first, and of those the best first."""
    if not len(part.ends):
        return part.diverged + 1, inf
    mean = float(np.mean(part.ends))
    return part.diverged, -mean if higher else mean


def _costs_to_target(part: Curves, target: float, higher: bool) -> list[float | None]:
    """The median over seeds of each cost at the target; None unless every seed reached it."""
    at = [reached(values, target, higher) for values in part.worst_filled(higher)]
    if not at or None in at or part.diverged:
        return [None] * len(COSTS)
    return [float(np.median([part.costs[cost][i] for i in at])) for cost in COSTS]


def _tuned(group: Group) -> str:
    """The tuned step sizes of a group, with a mark at those at an edge of their choices."""
    found = stored_tuning(group)
    at_edge = {key for _, key, _ in found.get("edges", [])}
    words = []
    for section in found.get("winner", {}).values():
        for key, value in section.items():
            if isinstance(value, Mapping) and "start" in value:
                value = value["start"]
            words.append(f"{key}={value} (edge)" if key in at_edge else f"{key}={value}")
    return " ".join(words)


def _found(steps: Sequence[Mapping[str, Any]]) -> str:
    """The step sizes that runs have found themselves, with their range over seeds."""
    words = []
    for key in steps[0] if steps else ():
        sizes = [first_size(found[key]) for found in steps if key in found]
        least, largest = min(sizes), max(sizes)
        text = f"{least:g}" if least == largest else f"{least:g} to {largest:g}"
        words.append(f"{key}={text}")
    return " ".join(words)


def markdown(rows: Sequence[Sequence[Cell]]) -> str:
    """A table of Markdown, with numbers of a few digits."""
    header, *body = rows
    names = [str(name) for name in header]
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(value, name) for value, name in zip(row, names, strict=True)] for row in body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Cell, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if column.partition(" to ")[0] in COSTS:
        return quantity(value)
    return f"{value:.2g}" if column == "spread" else f"{value:.4g}"

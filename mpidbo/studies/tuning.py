"""Steps chosen for one method on one topology, on a budget of iterations that is the same for all.

    [tune]
    how = "halving"             # or "grid"
    budget = 20000              # iterations of all trials of a method on a topology together
    iterations = 1000           # of a full trial
    seed = 1000                 # of the trials; not one of the study's
    steps.alpha = [1e-3, 1e-2, 1e-1]        # choices; a method takes those whose step or key it has
    method.mu = [0.1, 0.01]

grid: as many points of the product as full trials fit the budget, drawn without repetition where there are more. halving: three
times as many are tried for a ninth of the iterations, the best third goes on to a third of them, the best third of those to the end.
The winner is the trial whose metric is best, averaged over the last quarter of its evaluations (a chance value at the end must not win);
it is stored in tuned.toml beside its trials. A winner at an edge of its choices is reported: a better one may be beyond.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ..config import validate as configuration
from ..config.toml import merged
from ..errors import UserError
from ..parallel.agents import agreed, texts
from ..storage.files import write_text
from .study import Group, Study, parsed

Tables = Mapping[str, Any]
Trial = Callable[[Tables, str], float | None]
"""Runs tables in a folder of that name, to the metric near the end: NaN if it diverged, None if it was stopped."""

TUNED = "tuned.toml"
ETA = 3
EVALUATIONS = 36
"""Of a full trial."""


def tuned(study: Study, group: Group, trial: Trial, comm: Any) -> tuple[Tables, list[str]] | None:
    """The group's tables with the steps that its trials found best, and what is to be said of them.

    None if the trials were stopped. Collective. Raises UserError.
    """
    assert study.tune is not None
    tune, path = study.tune, group.folder / TUNED
    asked = _plain({"tune": dict(tune), "metric": study.metric, "config": group.tables})

    def finished() -> Tables:
        """What is stored, by this process or by another part of the study; the same on every rank."""
        text = ""
        with agreed(comm):
            if comm is None or comm.rank == 0:
                text = _text(path)
        found = parsed(texts(comm, text)[0])
        if found and found.get("asked") != asked:
            raise UserError(f"{path}: was tuned for another [tune] or configuration; "
                            "choose another study.out, or remove that file")
        return found

    points = candidates(tune, group)
    scores = dict.fromkeys(range(len(points)), inf)
    alive = list(scores)
    found = finished()
    for length in lengths(tune):
        for i in alive:
            if not found:
                found = finished()
            if found:
                break
            tables = merged(group.tables, points[i])
            run = {"iterations": length, "evaluate_every": max(1, tune["iterations"] // EVALUATIONS),
                   "seed": tune["seed"]}
            score = trial({**tables, "run": {**tables.get("run", {}), **run}}, f"{i:03d}")
            if score is None:
                return None
            scores[i] = (-score if study.higher else score) if isfinite(score) else inf
        alive = sorted(alive, key=lambda i: (scores[i], i))
        alive = alive[:max(1, len(alive) // ETA)] if length < tune["iterations"] else alive
    if not found:
        winner = points[alive[0]]                  # where all have diverged, the study's runs will show it
        trials = [{**points[i], "score": -scores[i] if study.higher else scores[i]} for i in scores]
        found = {"winner": winner, "asked": asked, "trials": trials, "edges": edges(points, winner)}
        with agreed(comm):
            if comm is None or comm.rank == 0:
                write_text(path, tomli_w.dumps(found))
    at_edge = [f"{key} = {_size(found['winner'][section][key]):g} is the {side} of its choices, "
               f"so a better one may be beyond; extend tune.{section}.{key}"
               for section, key, side in edges(points, found["winner"])]
    return merged(group.tables, found["winner"]), at_edge


def edges(points: Sequence[Tables], winner: Tables) -> list[list[str]]:
    """[section, key, "largest" or "smallest"] of each number of the winner at an end of what was tried."""
    found = []
    for section, table in winner.items():
        for key, value in table.items():
            tried = sorted({size for point in points if (size := _size(point[section][key])) is not None})
            if len(tried) > 1 and _size(value) in (tried[0], tried[-1]):
                found.append([section, key, "smallest" if _size(value) == tried[0] else "largest"])
    return found


def _size(value: Any) -> float | None:
    """The number of a choice, or of a schedule; None for a word."""
    if isinstance(value, Mapping):
        value = value.get("start", value.get("scale"))
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); remove it to tune again") from None


def lengths(tune: Tables) -> list[int]:
    """The iterations after which the trials are compared."""
    full = tune["iterations"]
    return [full] if tune["how"] == "grid" else [full // ETA**2, full // ETA, full]


def candidates(tune: Tables, group: Group) -> list[dict[str, Any]]:
    """The points to try, as tables to lay over the group's; no more than the budget allows."""
    checked = configuration.check(group.tables)
    axes = [[(section, key, choice) for choice in choices] for section, known in (("steps", checked.steps), ("method", checked.method))
            for key, choices in tune[section].items() if key in known]
    points = [{section: {key: _laid(group.tables.get(section, {}).get(key), choice) for part, key, choice in point if part == section}
               for section in ("steps", "method")} for point in product(*axes)]
    most = affordable(tune)
    if len(points) > most:
        chosen = np.random.default_rng(tune["seed"]).choice(len(points), most, replace=False)
        points = [points[i] for i in sorted(chosen)]
    for point in points:
        configuration.check(merged(group.tables, point))
    return points


def affordable(tune: Tables) -> int:
    """How many points the budget pays for."""
    if tune["how"] == "grid":
        return int(tune["budget"] // tune["iterations"])
    return max(1, int(tune["budget"] * ETA**2 // (len(lengths(tune)) * tune["iterations"])))


def _laid(before: Any, choice: Any) -> Any:
    """A choice as the schedule's size, where the study gives a schedule."""
    if not isinstance(before, Mapping) or isinstance(choice, Mapping):
        return choice
    return {**before, "scale" if before.get("kind") == "sqrt-n-over-t" else "start": choice}


def _plain(tables: Tables) -> dict[str, Any]:
    return configuration.plain(tables)

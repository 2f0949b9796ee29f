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
it is stored in tuned.toml beside its trials.
"""

from collections.abc import Callable, Mapping
from itertools import product
from math import inf, isfinite
from typing import Any

import numpy as np
import tomli_w

from .. import config as configuration
from ..errors import UserError
from ..files import write_text
from ..reading import merged
from .study import Group, Study, stored

Tables = Mapping[str, Any]
Trial = Callable[[Tables, str], float | None]
"""Runs tables in a folder of that name, to the metric near the end: NaN if it diverged, None if it was stopped."""

TUNED = "tuned.toml"
ETA = 3
EVALUATIONS = 36
"""Of a full trial."""


def tuned(study: Study, group: Group, trial: Trial, root: bool) -> Tables | None:
    """The group's tables with the steps that its trials found best; None if the trials were stopped. Raises UserError."""
    assert study.tune is not None
    tune, path = study.tune, group.folder / TUNED
    asked = {"tune": dict(tune), "metric": study.metric, "config": _plain(group.tables)}
    found = stored(path)
    if found:
        if found.get("asked") != _plain(asked):
            raise UserError(f"{path}: was tuned for another [tune] or configuration; choose another study.out, or remove that file")
        return merged(group.tables, found["winner"])
    points = candidates(tune, group)
    scores = dict.fromkeys(range(len(points)), inf)
    alive = list(scores)
    for length in lengths(tune):
        for i in alive:
            tables = merged(group.tables, points[i])
            run = {"iterations": length, "evaluate_every": max(1, tune["iterations"] // EVALUATIONS), "seed": tune["seed"]}
            score = trial({**tables, "run": {**tables.get("run", {}), **run}}, f"tune/{i:03d}")
            if score is None:
                return None
            scores[i] = (-score if study.higher else score) if isfinite(score) else inf
        alive = sorted(alive, key=lambda i: (scores[i], i))
        alive = alive[:max(1, len(alive) // ETA)] if length < tune["iterations"] else alive
    winner = alive[0]                                   # where all have diverged, the study's runs will show it
    if root:
        trials = [{**points[i], "score": -scores[i] if study.higher else scores[i]} for i in scores]
        write_text(path, tomli_w.dumps({"winner": points[winner], "asked": _plain(asked), "trials": trials}))
    return merged(group.tables, points[winner])


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

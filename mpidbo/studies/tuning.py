"""Step sizes chosen for one method on one topology, on the same budget of iterations for all.

    [tune]
    how = "halving"                     # or "grid"
    budget = 20000                      # iterations of all trials of one method on one topology
    iterations = 1000                   # of a full trial
    seed = 1000                         # of the trials; not one of the study's
    extend = 0                          # rounds of trials beyond the choices, see below
    steps.alpha = [1e-3, 1e-2, 1e-1]    # choices, for the methods that have such a key
    method.mu = [0.1, 0.01]

grid: as many points of the product as full trials fit the budget, drawn without repetition where
there are more. halving: three times as many points for a ninth of the iterations; the best third of
them for a third, and the best third of those to the end.

The winner is the trial with the best metric, averaged over the last quarter of its evaluations, so
that a single lucky evaluation does not decide. It is stored in tuned.toml beside its trials.

While a number of the winner is at an edge of its choices, up to `extend` rounds of full trials
follow, outside the budget: one beyond the edge of each such number, by the ratio of the last two
choices, and one beyond all. A winner that is still at an edge is reported.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import tomli_w

from ..config import check as check_config
from ..config import merged, plain
from ..errors import UserError, known_as
from ..parallel import agreed, allgather_text, is_root
from ..storage import files, read_text, write_text
from .study import Group, Study, Tables
from .tune_table import Tuning

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Trial: TypeAlias = Callable[[Tables, str], float | None]
"""Runs a configuration in a folder of that name and returns the metric near the end: NaN if the run
diverged, None if it was stopped."""

TUNED = "tuned.toml"
ETA = 3
"""Of halving: the best 1/ETA of the points are kept, and run ETA times as long."""
EVALUATIONS = 36
"""Of a full trial."""


class Tuned(NamedTuple):
    """A group's configuration with the best step sizes, and warnings about them."""

    tables: Tables
    warnings: list[str]


def tune_group(study: Study, group: Group, trial: Trial, comm: "Comm | None") -> Tuned | None:
    """Choose the step sizes of a group, by trials or from its tuned.toml. Collective.

    Parameters
    ----------
    study : Study
        A study with `[tune]`.
    group : Group
        One of its groups.
    trial : callable
        Runs a trial; see Trial.
    comm : Comm, optional
        The ranks.

    Returns
    -------
    Tuned or None
        None if the trials were stopped.

    Raises
    ------
    UserError
        tuned.toml cannot be read, or was written for another `[tune]` or configuration.
    """
    assert study.tune is not None
    points = candidates(study.tune, group)
    found = _stored_winner(study, group, comm) or _search(study, group, points, trial, comm)
    if found is None:
        return None
    winner = found["winner"]
    warnings = [
        f"{key} = {_size(winner[section][key]):g} is the {side} of its choices, "
        f"so a better one may be beyond; extend tune.{section}.{key}"
        for section, key, side in found["edges"]
    ]
    return Tuned(merged(group.tables, winner), warnings)


def _search(
    study: Study, group: Group, points: Sequence[Tables], trial: Trial, comm: "Comm | None"
) -> Tables | None:
    """Try the points and store the winner; None if the trials were stopped. Collective."""
    tune = study.tune
    assert tune is not None
    points = list(points)
    scores = dict.fromkeys(range(len(points)), inf)  # lower is better
    alive = list(scores)
    rounds = [*lengths(tune), *[tune.iterations] * tune.extend]
    new = alive
    for done, length in enumerate(rounds, 1):
        for i in new:
            # another part of the study may have finished the same trials meanwhile
            found = _stored_winner(study, group, comm)
            if found:
                return found
            value = trial(_trial_tables(tune, group, points[i], length), f"{i:03d}")
            if value is None:
                return None
            scores[i] = _score(value, study.higher)
        # The number decides between equal scores, on every rank in the same way.
        alive.sort(key=lambda i: (scores[i], i))
        if length < tune.iterations:
            alive = new = alive[: max(1, len(alive) // ETA)]
        elif done < len(rounds):
            beyond = _beyond(points, points[alive[0]], group)
            new = list(range(len(points), len(points) + len(beyond)))
            points += beyond
            alive += new
    winner = points[alive[0]]  # where all have diverged, the runs of the study will show it
    sign = -1 if study.higher else 1
    found = {
        "winner": winner,
        "asked": _question(study, group),
        "trials": [{**points[i], "score": sign * score} for i, score in scores.items()],
        "edges": edges(points, winner),
    }
    with agreed(comm):
        if is_root(comm):
            # Parts of a study that run side by side tune the same group, with the same result.
            write_text(group.folder / TUNED, tomli_w.dumps(found), shared=True)
    return found


def _trial_tables(tune: Tuning, group: Group, point: Tables, iterations: int) -> Tables:
    """The configuration of a trial."""
    tables = merged(group.tables, point)
    own = {
        "iterations": iterations,
        "evaluate_every": max(1, tune.iterations // EVALUATIONS),
        "seed": tune.seed,
    }
    return {**tables, "run": {**tables.get("run", {}), **own}}


def _score(value: float, higher: bool) -> float:
    """A metric as a number of which lower is better; infinite where the trial diverged."""
    if not isfinite(value):
        return inf
    return -value if higher else value


def _question(study: Study, group: Group) -> Tables:
    """What a tuning depends on."""
    assert study.tune is not None
    return plain({"tune": asdict(study.tune), "metric": study.metric, "config": group.tables})


def _stored_winner(study: Study, group: Group, comm: "Comm | None") -> Tables:
    """What tuned.toml holds, the same on every rank; empty where there is none. Collective."""
    path = group.folder / TUNED
    text = ""
    with agreed(comm):
        if is_root(comm):
            text = _read(path)
    found = _parse(allgather_text(comm, text)[0])
    if found and found.get("asked") != _question(study, group):
        raise UserError(
            f"{path}: was tuned for another [tune] or configuration; "
            "choose another study.out, or remove that file"
        )
    return found


def _read(path: Path) -> str:
    """The content of a file, "" where there is none. Raises UserError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); remove it to tune again") from None


def _parse(text: str) -> dict[str, Any]:
    """Tables of TOML; empty where it is damaged."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def stored_tuning(group: Group) -> dict[str, Any]:
    """What a group's tuned.toml holds; empty where there is none or it is damaged.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    try:
        return _parse(read_text(group.folder / TUNED))
    except files.Damaged:
        return {}


def edges(points: Sequence[Tables], winner: Tables) -> list[list[str]]:
    """[section, key, "largest" or "smallest"] of the winner's numbers at an edge of the choices."""
    found = []
    for section, table in winner.items():
        for key, value in table.items():
            sizes = {_size(point[section][key]) for point in points}
            tried = sorted(size for size in sizes if size is not None)
            if len(tried) < 2:
                continue
            if _size(value) == tried[0]:
                found.append([section, key, "smallest"])
            elif _size(value) == tried[-1]:
                found.append([section, key, "largest"])
    return found


def _beyond(points: Sequence[Tables], winner: Tables, group: Group) -> list[dict[str, Any]]:
    """The winner with each number at an edge of its choices moved beyond, and with all of them."""
    moved = []
    for section, key, side in edges(points, winner):
        sizes = {_size(point[section][key]) for point in points}
        tried = sorted(size for size in sizes if size is not None)
        last, before = (tried[-1], tried[-2]) if side == "largest" else (tried[0], tried[1])
        if min(last, before) > 0:
            moved.append((section, key, _resized(winner[section][key], last * last / before)))
    found = [merged(winner, {section: {key: value}}) for section, key, value in moved]
    if len(moved) > 1:
        tables: dict[str, Any] = {"steps": {}, "method": {}}
        for section, key, value in moved:
            tables[section][key] = value
        found.append(merged(winner, tables))
    return [point for point in found if _is_valid(merged(group.tables, point))]


def _resized(value: Any, size: float) -> Any:
    """A choice of another size: a number, or a schedule that starts with it."""
    if not isinstance(value, Mapping):
        return size
    return {**value, "start" if "start" in value else "scale": size}


def _is_valid(tables: Tables) -> bool:
    """Whether a configuration is accepted; a constant beyond its range is not."""
    try:
        check_config(tables)
    except UserError:
        return False
    return True


def _size(value: Any) -> float | None:
    """The number of a choice, or of a schedule; None for a word."""
    if isinstance(value, Mapping):
        value = value.get("start", value.get("scale"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def lengths(tune: Tuning) -> list[int]:
    """The iterations after which trials are compared."""
    full = tune.iterations
    return [full] if tune.how == "grid" else [full // ETA**2, full // ETA, full]


def candidates(tune: Tuning, group: Group) -> list[dict[str, Any]]:
    """The points to try, as tables to lay over the group's; no more than the budget allows."""
    checked = check_config(group.tables)
    sections = (("steps", tune.steps, checked.steps), ("method", tune.method, checked.method))
    axes = []
    for section, choices_of, known in sections:
        for key, choices in choices_of.items():
            if key in known:  # the choices are for the methods that have such a key
                axes.append([(section, key, choice) for choice in choices])
    points = [_point(group, combination) for combination in product(*axes)]
    affordable = max_points(tune)
    if len(points) > affordable:
        rng = np.random.default_rng(tune.seed)
        chosen = rng.choice(len(points), affordable, replace=False)
        points = [points[i] for i in sorted(chosen)]
    for point in points:
        check_config(merged(group.tables, point))
    return points


def _point(group: Group, combination: Sequence[tuple[str, str, Any]]) -> dict[str, Any]:
    """A choice of each key, as tables; where the group has a schedule, the choice is its size."""
    point: dict[str, Any] = {"steps": {}, "method": {}}
    for section, key, choice in combination:
        before = group.tables.get(section, {}).get(key)
        if isinstance(before, Mapping) and not isinstance(choice, Mapping):
            kind = known_as(before.get("kind"), ["sqrt-n-over-t", "piecewise"])
            if kind != "piecewise":  # which has no size: the choice takes its place
                choice = {**before, "scale" if kind else "start": choice}
        point[section][key] = choice
    return point


def max_points(tune: Tuning) -> int:
    """Return the number of points that the budget is enough for."""
    if tune.how == "grid":
        return tune.budget // tune.iterations
    # A round has 1/ETA of the points of the one before, ETA times as long: each costs as much as
    # the first, points * iterations / ETA^2.
    rounds = len(lengths(tune))
    return max(1, tune.budget * ETA**2 // (rounds * tune.iterations))

"""The runs of a study, one after the other."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._signals import Held
from ..config import AUTO, Config, Run
from ..config import check as check_config
from ..errors import Diverged, Stopped, UserError
from ..parallel import agreed, allgather_text, is_root
from ..problems import similar_metric
from ..reports import catalogue
from ..solver import agreed_config, because, run_config
from ..storage import files, read_arrays, with_stored_values
from .study import Group, Study, StudyRun, Tables
from .tuning import tune_group

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


def run_study(
    study: Study, work: Sequence[StudyRun], comm: "Comm | None", log: Callable[[str], None]
) -> bool:
    """Tune the groups of these runs and make the runs. Collective.

    What has finished is not repeated, and what was stopped is resumed.

    Parameters
    ----------
    study : Study
        The study.
    work : sequence of StudyRun
        Runs of it, such as `study.work` or `study.part("0/4")`.
    comm : Comm, optional
        The ranks, all of which take part in each run.
    log : callable
        Takes a line for each finished run.

    Returns
    -------
    bool
        False if a signal or the time limit stopped it.

    Raises
    ------
    UserError
        A run cannot be made.
    """
    seeds: dict[int, list[int]] = {}
    for group, seed in work:
        seeds.setdefault(study.groups.index(group), []).append(seed)
    with Held() as held:
        for i, chosen in seeds.items():
            if not _run_group(study, study.groups[i], chosen, comm, log, held):
                log(f"{held.reason}; the same command resumes it")
                return False
        return True


def _run_group(
    study: Study,
    group: Group,
    seeds: Sequence[int],
    comm: "Comm | None",
    log: Callable[[str], None],
    held: Held,
) -> bool:
    """Tune a group and make its runs of these seeds; False if it was stopped. Collective."""
    # Parts of a study that share a group tune it independently, to the same result.
    trials = "tune" if len(seeds) == len(study.seeds) else f"tune-for-seed-{seeds[0]}"

    def trial(tables: Tables, number: str) -> float | None:
        return run(tables, group.folder / trials / number, study.metric, comm, held, share=0.25)

    tables = group.tables
    if study.tune is not None:
        tuned = tune_group(study, group, trial, comm)
        if tuned is None:
            return False
        tables = tuned.tables
        for warning in tuned.warnings:
            log(f"{group.label}: {warning}")
    for seed in seeds:
        with_seed = {**tables, "run": {**tables.get("run", {}), "seed": seed}}
        out = group.folder_of(seed)
        value = run(with_seed, out, study.metric, comm, held)
        if value is None:
            return False
        diverged = (out / files.DIVERGED).is_file()
        result = "diverged" if diverged else f"{study.metric} {value:.4g}"
        line = f"{group.label}, seed {seed}: {result}"
        steps = _steps(tables, out) if is_root(comm) else ""
        log(f"{line}  ({steps})" if steps else line)
    return True


def _steps(tables: Tables, out: Path) -> str:
    """The step sizes that a run was given, and those that it found; without the defaults."""
    steps = with_stored_values(tables, out).get("steps", {})
    return "  ".join(
        f"{key} = {catalogue.value_of(value)}" for key, value in steps.items() if value != AUTO
    )


def run(
    tables: Tables,
    out: Path,
    metric: str,
    comm: "Comm | None",
    held: Held,
    share: float = 0,
) -> float | None:
    """Make one run in its folder, or read it if it has finished. Collective.

    Parameters
    ----------
    tables : Mapping
        Configuration of the run.
    out : Path
        Its folder.
    metric : str
        Column of the history.
    comm : Comm, optional
        The ranks.
    held : Held
        Signals that arrive between runs.
    share : float, default 0
        Average over that share of the regular evaluations, the last ones; of a run with more
        iterations than configured, those up to that number. 0: only the last evaluation.

    Returns
    -------
    float or None
        The metric at the end: NaN if the run diverged, None if it was stopped.
    """

    def interrupt() -> None:
        if _is_stopped(held, comm):
            raise Stopped(held.reason)

    checked = agreed_config(comm, "run of a study", lambda: tables, partial(_checked, out))
    with checked as config:
        try:
            result = run_config(
                config,
                comm,
                repeat_diverged=False,
                interrupt=interrupt,
                notify=partial(_notify, out),
            )
        except Diverged:
            return nan
        except UserError as error:
            raise _of_run(out, error) from None
        except Stopped:
            if not held.reason:  # the signal came while the folder was claimed
                raise
            return None
        if result is None:  # it has finished before
            if _is_stopped(held, comm):
                return None
            return _of_rank_0(
                lambda: _end(_stored_history(out), metric, config.run, out, share), comm
            )
        if result.stopped:
            held.reason = result.reason
            return None
        return _end(result.history, metric, config.run, out, share)


def _checked(out: Path, tables: Mapping[str, Any]) -> Config:
    """The configuration with its folder, and with what an earlier start there has fixed."""
    config = check_config(with_stored_values(tables, out))
    return replace(config, run=replace(config.run, out=str(out)))


def _of_run(out: Path, error: UserError) -> UserError:
    """An error of a run with the name of its folder."""
    message = str(error)
    named = UserError(message if str(out) in message else f"{out}: {message}")
    named.agreed = error.agreed
    return named


def _notify(out: Path, message: str) -> None:
    print(f"{out}: {message}", file=sys.stderr)


def _stored_history(out: Path) -> Mapping[str, Any]:
    return read_arrays(out / files.HISTORY)[0]


def _is_stopped(held: Held, comm: "Comm | None") -> bool:
    """Whether a signal has come to any rank, between two runs; collective."""
    names = allgather_text(comm, held.asked)
    ranks = [rank for rank, name in enumerate(names) if name]
    if ranks:
        held.reason = because(max(names), ranks if len(names) > 1 else [])
    return bool(ranks)


def _of_rank_0(number: Callable[[], float], comm: "Comm | None") -> float:
    """A number that rank 0 reads, on every rank."""
    found = ""
    with agreed(comm):
        if is_root(comm):
            found = repr(float(number()))  # with all digits
    return float(allgather_text(comm, found)[0])


def _end(history: Mapping[str, Any], metric: str, asked: Run, out: Path, share: float) -> float:
    """The metric at the end of a history, as `run` returns it. Raises UserError if it has none."""
    if metric not in history:
        raise UserError(
            f"study.metric: {out} has no metric {metric}; {similar_metric(metric, history)}"
        )
    values, at = np.asarray(history[metric], float), np.asarray(history["iteration"])
    if share:
        values = values[(at <= asked.iterations) & (at % asked.evaluate_every == 0)]
    last = max(1, round(share * len(values)))
    return float(np.mean(values[-last:]))

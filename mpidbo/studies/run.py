"""The runs of a study, one after the other; what has finished is not repeated, what was cut goes on."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from .._signals import Held
from ..config import validate as configuration
from ..config.validate import Run
from ..errors import Diverged, UserError, did_you_mean
from ..parallel.agents import agreed, texts
from ..solver.plan import Plan
from ..solver.ranks import compare, identity, limit
from ..solver.recorder import Folder, adopted, finished
from ..solver.stopping import because
from ..solver.watchdog import Watch
from ..storage import files
from ..storage.runfolder import defaulted
from .study import Group, Study
from .tuning import tuned


def execute(study: Study, work: Sequence[tuple[Group, int]], comm: Any,
            told: Callable[[str], None]) -> bool:
    """Tune the groups of these runs and do the runs; False if a signal or the clock stopped it.

    Collective. Raises UserError.
    """
    seeds: dict[int, list[int]] = {}
    for group, seed in work:
        seeds.setdefault(study.groups.index(group), []).append(seed)
    with Held() as held:
        done = all(_group(study, study.groups[i], chosen, comm, told, held)
                   for i, chosen in seeds.items())
        if not done:
            told(f"{held.reason}; the same command goes on")
        return done


def _group(study: Study, group: Group, seeds: Sequence[int], comm: Any,
           told: Callable[[str], None], held: Held) -> bool:
    # Parts that share a group tune it each for itself, to the same result; the first is taken.
    trials = "tune" if len(seeds) == len(study.seeds) else f"tune-for-seed-{seeds[0]}"

    def trial(tables: Mapping[str, Any], number: str) -> float | None:
        return run(tables, group.folder / trials / number, study.metric, comm, held, share=0.25)

    if study.tune is None:
        tables, edges = group.tables, list[str]()
    else:
        found = tuned(study, group, trial, comm)
        if found is None:
            return False
        tables, edges = found
    for edge in edges:
        told(f"{group.method} on {group.topology}: {edge}")
    steps = "  ".join(f"{key} = {value}" for key, value in tables.get("steps", {}).items())
    for seed in seeds:
        of_seed = {**tables, "run": {**tables.get("run", {}), "seed": seed}}
        value = run(of_seed, group.folder / f"seed-{seed}", study.metric, comm, held)
        if value is None:
            return False
        diverged = (group.folder / f"seed-{seed}" / files.DIVERGED).is_file()
        said = "diverged" if diverged else f"{study.metric} {value:.4g}"
        told(f"{group.method} on {group.topology}, seed {seed}: {said}"
             + (f"  ({steps})" if steps else ""))
    return True


def run(tables: Mapping[str, Any], out: Path, metric: str, comm: Any, held: Held, share: float = 0) -> float | None:
    """The metric at the end of one run in its folder: NaN if it diverged, None if it was stopped; a finished one is read. Collective.

    With a `share`, averaged over that share of the regular evaluations, the last ones; a run that has gone further counts as far as asked.
    """
    with Watch(comm, limit(lambda: tables), "run of a study"):
        return _run(tables, out, metric, comm, held, share)


def _run(tables: Mapping[str, Any], out: Path, metric: str, comm: Any, held: Held, share: float) -> float | None:
    with agreed(comm):
        config = configuration.check(adopted(tables, out))
        config = replace(config, run=replace(config.run, out=str(out)))
    compare(comm, "run of a study", lambda: identity(config), "start every rank with the same command line and the same files")

    def stored() -> float:
        return _end(files.read_arrays(out / files.HISTORY)[0], metric, config.run, out, share)

    if finished(out, config, comm):
        return None if _is_stopped(held, comm) else _of_rank_0(stored, comm)
    with (Plan(config, comm) as plan,
          Folder(out, plan.config.tables(), plan.agents, "auto", lambda words: print(f"{out}: {words}", file=sys.stderr),
                 defaulted(config, plan.config)) as folder):
        marker = out / files.DIVERGED
        if _is_stopped(held, comm):
            return None
        if folder.finished:
            return _of_rank_0(stored, comm)
        if _of_rank_0(lambda: float(marker.is_file()), comm):
            return nan
        try:
            result = plan.run(folder=folder, gather=False)
        except Diverged:
            return nan
        held.reason = result.reason if result.stopped else ""
        return None if result.stopped else _end(result.history, metric, config.run, out, share)


def _is_stopped(held: Held, comm: Any) -> bool:
    """Whether a signal has come to any rank, between two runs; collective."""
    asked = {rank: name for rank, name in enumerate(texts(comm, held.asked)) if name}
    if asked:
        held.reason = because(max(asked.values()), list(asked) if comm is not None and comm.size > 1 else [])
    return bool(asked)


def _of_rank_0(number: Callable[[], float], comm: Any) -> float:
    """A number that rank 0 reads, on every rank."""
    found = ""
    with agreed(comm):
        if comm is None or comm.rank == 0:
            found = repr(float(number()))
    return float(texts(comm, found)[0])


def _end(history: Mapping[str, Any], metric: str, asked: Run, out: Path, share: float) -> float:
    if metric not in history:
        raise UserError(f"study.metric: {out} has no metric {metric}; {did_you_mean(metric, history)}")
    values, at = np.asarray(history[metric], float), np.asarray(history["iteration"])
    if share:
        values = values[(at <= asked.iterations) & (at % asked.evaluate_every == 0)]
    return float(np.mean(values[-max(1, round(share * len(values))):]))

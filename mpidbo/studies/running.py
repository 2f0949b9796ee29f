"""The runs of a study, one after the other; what has finished is not repeated, what was cut goes on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from .. import config as configuration
from .. import files
from ..agents import agreed
from ..config import Run
from ..errors import Diverged, UserError, did_you_mean
from ..plan import Plan
from ..ranks import compare, limit
from ..record import Folder, adopted
from ..stall import Watch
from ..stopping import Held
from .study import Group, Study
from .tune import tuned

DIVERGED = "diverged"
"""The marker of a run that diverged; it holds the sentence."""


def execute(study: Study, groups: Iterable[Group], comm: Any, told: Callable[[str], None]) -> bool:
    """Tune and run the groups with every seed; False if a signal or the clock stopped it. Collective. Raises UserError."""
    with Held() as held:
        return all(_group(study, group, comm, told, held) for group in groups)


def _group(study: Study, group: Group, comm: Any, told: Callable[[str], None], held: Held) -> bool:
    def trial(tables: Mapping[str, Any], name: str) -> float | None:
        return run(tables, group.folder / name, study.metric, comm, held, share=0.25)

    tables = tuned(study, group, trial, comm is None or comm.rank == 0) if study.tune else group.tables
    if tables is None:
        return False
    steps = "  ".join(f"{key} = {value}" for key, value in tables.get("steps", {}).items())
    for seed in study.seeds:
        value = run({**tables, "run": {**tables.get("run", {}), "seed": seed}}, group.folder / f"seed-{seed}", study.metric, comm, held)
        if value is None:
            return False
        told(f"{group.method} on {group.topology}, seed {seed}: {study.metric} {value:.4g}" + (f"  ({steps})" if steps else ""))
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
    compare(comm, "run of a study", config.tables(), "start every rank with the same command line and the same files")
    with Plan(config, comm) as plan:
        folder = Folder(out, plan.config.tables(), plan.agents, "auto")
        marker, value = out / DIVERGED, ""
        if plan.agents.rank == 0 and (folder.finished or marker.is_file()):
            value = repr(_end(files.read_arrays(out / files.HISTORY)[0], metric, config.run, out, share)) if folder.finished else repr(nan)
        said = plan.agents.texts(f"{held.asked},{value}")
        if any(not text.startswith(",") for text in said):          # a signal to any rank, between two runs
            return None
        if value := said[0].partition(",")[2]:
            return float(value)
        try:
            result = plan.run(folder=folder, gather=False)
        except Diverged as error:
            if plan.agents.rank == 0:
                files.write_text(marker, f"{error}\n")
            return nan
        return None if result.stopped else _end(result.history, metric, config.run, out, share)


def _end(history: Mapping[str, Any], metric: str, asked: Run, out: Path, share: float) -> float:
    if metric not in history:
        raise UserError(f"study.metric: {out} has no metric {metric}; {did_you_mean(metric, history)}")
    values, at = np.asarray(history[metric], float), np.asarray(history["iteration"])
    if share:
        values = values[(at <= asked.iterations) & (at % asked.evaluate_every == 0)]
    return float(np.mean(values[-max(1, round(share * len(values))):]))

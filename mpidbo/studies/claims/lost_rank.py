"""SPARKLE on a ring of ranks that are killed, and the single-centre variant without its centre."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from ..._signals import Held
from ..._text import first_nonempty
from ..._types import Float
from ...config import check as check_config
from ...errors import UserError
from ...parallel import agreed
from ...reports import FigureFolder
from ...solver import Plan, run_config
from ...storage import files, load, write_text
from .base import Claim, Size
from .comparison import Comparison, better, mean_std
from .failing_link import NO_LINKS, RING, followed
from .panels import Curve, panels

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

RANKS, EVERY = 6, 200
"""Ranks, with an agent each; iterations after which one of them is lost."""
SIZES = {"quick": (600, 3), "standard": (1000, 20), "full": (1000, 50)}
"""T, seeds."""
EVALUATE = 20
"""Iterations between two evaluations."""
NONE, KILLED, CENTRE, LOST = "ring", "ranks are killed", "one centre", "the centre is lost"
MIN_RATIO_OF_CENTRE = 2.0
LOOK_S = 0.002
"""Seconds between two looks at how far a run is."""


class LostRank(Claim):
    """Ranks are processes that are killed: 600 iterations lose two of six, 1000 lose four.

    The runs on a ring are started by `mpiexec --with-ft ulfm` of Open MPI 5, or by what LAUNCH
    says, with `run.survive`; the next rank, drawn by the seed, is killed (SIGKILL) about 200
    iterations later, once the others have gone on.

    The single centre averages the rows of all agents. It is the first to be lost, at iteration 200,
    and then no agent receives anything: each continues from its own state, at the same step sizes.

    The quick size has 600 iterations, 3 seeds, and takes a minute.
    """

    statement = (
        "a run over a ring whose ranks are killed ends with the bits of one that loses none; the "
        "single-centre variant does not tolerate the loss of its centre"
    )
    source = (
        "the robustness of decentralized optimization, of which SPARKLE's and Gossip-DSBO's "
        "introductions speak (arXiv 2411.14166, 2206.10870)"
    )
    rule = (
        f"quadratic with noise, SPARKLE-ED, the agents' distance to x* at the end, a rank lost "
        f"every {EVERY} iterations: on a ring all numbers of the result have the same bits as "
        "without the losses; without its centre the distance is at least "
        f"{MIN_RATIO_OF_CENTRE:g} times that with it"
    )
    full_hours = 1

    def studies(self, size: Size) -> Mapping[str, Any]:
        return {}

    def run(
        self, size: Size, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> Mapping[str, Any] | None:
        """Case -> the iterations and the distances; "killed" -> ranks and different bits.

        Raises
        ------
        UserError
            There are several ranks already, or mpiexec cannot start those that are killed.
        """
        with agreed(comm):
            if comm is not None and comm.size > 1:
                raise UserError("reproduce: this claim starts its ranks itself; leave mpiexec out")
        T, seeds = SIZES[size]
        rows: dict[str, list[Any]] = {case: [] for case in (NONE, KILLED, CENTRE, LOST)}
        killed = []
        with Held() as held:
            for seed in range(seeds):
                if held.asked:
                    return None
                folder = out / f"seed-{seed}"
                if not (folder / "run" / files.DONE).is_file():
                    _run_and_kill(_tables("sparkle-ed", T, seed), seed, folder)
                survived, whole = load(folder / "run"), _alone("sparkle-ed", T, seed)
                different = np.count_nonzero(survived.x != whole.x)
                killed.append([len(_notes(folder)), different])
                rows[NONE].append(_distances(whole.history))
                rows[KILLED].append(_distances(survived.columns))
                rows[CENTRE].append(_distances(_alone("sparkle-centralized", T, seed).history))
                rows[LOST].append(_without_centre(T, seed))
                log(f"seed {seed}: {killed[-1][0]} ranks killed, {different} numbers differ")
        k = np.arange(EVALUATE, T + 1, EVALUATE)
        return {**{case: (k, np.array(rows[case])) for case in rows}, "killed": (np.array(killed),)}

    def judge(self, found: Mapping[str, Any]) -> Iterable[Comparison]:
        ends = {case: found[case][1][:, -1] for case in (NONE, KILLED, CENTRE, LOST)}
        ranks, different = found["killed"][0].T
        yield Comparison(
            KILLED,
            f"{ranks.sum()} killed, {different.sum()} numbers of the results differ; distance "
            f"{mean_std(ends[KILLED])}, without {mean_std(ends[NONE])}",
            np.where(ranks == 0, np.inf, different),  # a run that lost none shows nothing
            low=-np.inf,
            high=0.5,
        )
        yield better(
            LOST,
            f"distance {mean_std(ends[LOST])}, with it {mean_std(ends[CENTRE])}",
            ends[LOST],
            ends[CENTRE],
            MIN_RATIO_OF_CENTRE,
        )

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        shown: dict[str, dict[str, Curve]] = {
            "SPARKLE-ED on a ring": {case: found[case] for case in (NONE, KILLED)},
            "SPARKLE with one centre": {case: found[case] for case in (CENTRE, LOST)},
        }
        ylabel = "distance to x*, of the agents"
        return [panels(out, "curves", shown, "iterations", ylabel, log=True)]


def _tables(method: str, T: int, seed: int, topology: Mapping[str, Any] = RING) -> dict[str, Any]:
    return {
        "problem": {"name": "quadratic", "p": 10, "q": 20, "noise": 0.05},
        "method": {"name": method},
        "topology": dict(topology),
        "steps": {"alpha": 0.01, "beta": 0.2, "gamma": 0.2},
        "run": {
            "agents": RANKS,
            "iterations": T,
            "seed": seed,
            "evaluate_every": EVALUATE,
        },
    }


def _distances(columns: Mapping[str, Any]) -> Float[np.ndarray, " evaluations"]:
    """The agents' distance to x*, of their average and from it, without that at the start."""
    return np.hypot(columns["distance"], columns["consensus_x"])[1:]


def _alone(method: str, T: int, seed: int) -> Any:
    """The result of a run in this process."""
    return run_config(check_config(_tables(method, T, seed)))


def _without_centre(T: int, seed: int) -> list[float]:
    """The agents' distance to x* where the centre is lost at iteration EVERY."""
    before = Plan(check_config(_tables("sparkle-centralized", T, seed)))
    after = Plan(check_config(_tables("sparkle-sgd", T, seed, NO_LINKS)))
    state, first = followed(before, None, 0, EVERY, EVALUATE)
    return first + followed(after, state, EVERY, T, EVALUATE)[1]


def _run_and_kill(tables: dict[str, Any], seed: int, folder: Path) -> None:
    """Run over ranks of which one is killed every EVERY iterations, into `folder/run`."""
    shutil.rmtree(folder, ignore_errors=True)  # of a start that was interrupted
    folder.mkdir(parents=True)
    more = {"survive": 10, "log": ["jsonl"]}
    tables = {**tables, "run": {**tables["run"], **more}, "checkpoint": {"every": EVERY // 2}}
    write_text(folder / "run.toml", tomli_w.dumps(tables))
    program = [sys.executable, "-m", "mpidbo", "run", "run.toml", "--out", "run"]
    own = Path(sys.executable).parent / "mpiexec"
    default = f"{own if own.is_file() else 'mpiexec'} --with-ft ulfm --oversubscribe"
    launcher = shlex.split(os.environ.get("LAUNCH") or default)
    rng, deaths = np.random.default_rng(seed), range(EVERY, tables["run"]["iterations"], EVERY)
    with (
        (folder / "log").open("w") as said,
        subprocess.Popen(
            [*launcher, "-n", str(RANKS), *program], cwd=folder, stdout=said, stderr=said
        ) as job,
    ):
        for i, at in enumerate(deaths):
            while job.poll() is None and (_reached(folder) < at or len(_notes(folder)) < i):
                sleep(LOOK_S)
            ranks = _ranks(job.pid)
            if job.poll() is None and len(ranks) > 1:
                os.kill(rng.choice(ranks), signal.SIGKILL)
    if job.returncode:
        lines = (folder / "log").read_text(errors="replace").split("\n")
        last = first_nonempty(line for line in reversed(lines) if "mpidbo: " in line)
        raise UserError(
            f"reproduce: {shlex.join(launcher)} failed, see {folder / 'log'} ({last or lines[0]}); "
            "it needs Open MPI 5, or another launcher in the variable LAUNCH"
        )


def _reached(folder: Path) -> int:
    """The iteration of the newest row of the history."""
    path = folder / "run" / "history.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    return json.loads(lines[-1])["iteration"] if lines else 0


def _notes(folder: Path) -> list[str]:
    """The lines of a run on ranks that have died."""
    path = folder / "run" / files.SURVIVED
    return path.read_text().splitlines() if path.is_file() else []


def _ranks(launcher: int) -> list[int]:
    """The processes that a launcher has started on this machine, and that live."""
    tasks = Path(f"/proc/{launcher}/task").glob("*/children")
    return sorted(int(pid) for task in tasks for pid in task.read_text().split())

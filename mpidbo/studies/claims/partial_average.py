"""One partial average an iteration against an all-reduce: seconds until the accuracy, over n."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._types import Array, Float
from ...config import check as check_config
from ...errors import UserError
from ...network import Average, Central, Levels
from ...parallel import Agents, agreed, allreduce, barrier, free, split
from ...reports import FigureFolder
from ...solver import Loop, set_up
from ..run import run_study
from ..study import Study, Tables
from .base import Claim, Size, study_tables
from .comparison import EFFECT, Comparison, better, log_ratio, mean_std
from .outcome import Outcome
from .panels import panels

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

GOSSIP, CENTRAL = "sparkle-ed", "sparkle-centralized"
SIZES = {
    "quick": ((2, 4, 8), 1000, 5),
    "standard": ((4, 8, 16), 1000, 20),
    "full": ((4, 8, 16), 3000, 10),
}
"""Numbers of agents, T, seeds."""
TARGET = 0.1
REPETITIONS = 5
"""Blocks of iterations timed of each method."""
ITERATIONS_OF_A_BLOCK = 40
NETWORK_COUNTERS = Path("/proc/net/dev")
SENT_BYTES = 8
"""Column of the bytes sent by an interface."""


class PartialAverage(Claim):
    """SPARKLE-ED on a ring against SPARKLE with the average of all agents.

    Both send all levels in one message, and have the same step sizes. Iterations are counted in one
    process, since they do not depend on the ranks; then, with an agent to a rank, real iterations
    of both methods are timed in turn, the average being one MPI_Allreduce.
    `benchmarks/slow_network.py` runs it over an emulated network.

    The quick size has up to 8 ranks and takes half a minute; the full one has up to 16. Noise,
    target, alpha and length were changed more than once: with alpha = 0.05 two agents oscillate on
    one seed.
    """

    statement = (
        "one partial average per iteration takes less time to a given accuracy than an all-reduce, "
        "and the advantage grows with the number of agents"
    )
    source = "SPARKLE and D-SOBA, introductions (arXiv 2411.14166, 2402.03167)"
    rule = (
        f"quadratic with noise, seconds until the distance to x* stays below {TARGET}: seconds of "
        "an iteration, both methods in turn in one run, times iterations, seed by seed; the "
        "all-reduce's are more than the ring's for the most agents, and the ratio of the two is "
        "larger there than for the fewest"
    )
    full_hours = 1

    def studies(self, size: Size) -> Mapping[str, Tables]:
        agents, T, seeds = SIZES[size]
        found = {}
        for n in agents:
            tables = study_tables(
                [{"name": name, "schedule": "jacobi"} for name in (GOSSIP, CENTRAL)],
                ["ring"],
                seeds,
                problem={
                    "name": "quadratic",
                    "p": 10,
                    "q": 20,
                    "noise": 0.05,
                    "heterogeneity": 1.0,
                },
                steps={"alpha": 0.01, "beta": 0.2, "gamma": 0.2},
                run={"agents": n, "iterations": T, "evaluate_every": 10},
            )
            study = {**tables["study"], "target": TARGET}
            found[f"{n} agents"] = {**tables, "study": study}
        return found

    def run(
        self, size: Size, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> Mapping[str, Any] | None:
        """The outcomes and, under "timed", the timings of each study. Collective.

        Raises
        ------
        UserError
            There are fewer ranks than agents.
        """
        agents = SIZES[size][0]
        with agreed(comm):
            if comm is None or comm.size < agents[-1]:
                raise UserError(
                    f"reproduce: this claim times {agents[-1]} ranks; "
                    f"start it with mpiexec -n {agents[-1]} mpidbo reproduce ..."
                )
        studies = self.studies_in(out, size)
        done = True
        with agreed(comm, patient=True):
            if comm.rank == 0:
                done = all(run_study(study, study.work, None, log) for study in studies.values())
        if Agents(comm.size, comm).bcast_text(str(done)) != "True":
            return None
        found: dict[str, Any] = {"timed": {}}
        for n, (key, study) in zip(agents, studies.items(), strict=True):
            found[key] = Outcome(study)
            group = split(comm, int(comm.rank < n), comm.rank)
            with agreed(comm, patient=True):
                if comm.rank < n:
                    found["timed"][key] = timed(study, group)
            free(group)
        return found

    def judge(self, found: Mapping[str, Any]) -> Iterable[Comparison]:
        fewest, *_, most = [key for key in found if key != "timed"]
        ratios = {}
        for key in (fewest, most):
            until, timings = seconds(found, key), found["timed"][key]
            ratios[key] = log_ratio(until[CENTRAL], until[GOSSIP])
            words = []
            for method, name in ((GOSSIP, "ring"), (CENTRAL, "all-reduce")):
                of_iteration, sent = timings[method]
                words.append(
                    f"{name} {mean_std(until[method])} s at {mean_std(1e3 * of_iteration)} ms "
                    f"and {np.mean(sent):.0f} bytes of an agent on the wire"
                )
            if key == most:
                yield better(key, ", ".join(words), until[CENTRAL], until[GOSSIP])
        few, many = ratios[fewest], ratios[most]
        yield Comparison(
            "growth",
            f"log10 of all-reduce over ring: {fewest} {mean_std(few)}, {most} {mean_std(many)}",
            many - few,
            effect=EFFECT,
            ratio=True,
        )

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        keys = [key for key in found if key != "timed"]
        n = np.array([int(key.split()[0]) for key in keys])
        labels = {GOSSIP: "ring, one partial average", CENTRAL: "all-reduce"}
        of_iteration, until = {}, {}
        for method, label in labels.items():
            timings = [found["timed"][key][method][0] for key in keys]
            of_iteration[label] = (n, np.stack(timings, axis=1))
            until[label] = (n, np.stack([seconds(found, key)[method] for key in keys], axis=1))
        shown = {
            f"seconds of an iteration, {REPETITIONS} timings": of_iteration,
            f"seconds until a distance of {TARGET}": until,
        }
        return [panels(out, "curves", shown, "agents", "seconds", log=True)]


def seconds(found: Mapping[str, Any], key: str) -> dict[str, Float[Array, " seeds"]]:
    """Of each method the seconds until the target, with one of the timings for each seed."""
    outcome, timings = found[key], found["timed"][key]
    seeds = len(outcome.study.seeds)
    return {
        method: np.resize(timings[method][0], seeds) * outcome.reached(method, "ring", TARGET)
        for method in (GOSSIP, CENTRAL)
    }


def timed(study: Study, comm: "Comm") -> dict[str, tuple[Array, Array]]:
    """Time iterations of both methods in turn. Collective.

    Returns
    -------
    dict
        Method -> seconds (REPETITIONS,), and bytes that an agent sends over a network
        (REPETITIONS,), of an iteration.
    """
    setups = [set_up(check_config(group.tables), comm) for group in study.groups]
    setups[1].W.close()
    setups[1] = replace(setups[1], W=Levels.of([AllReduced(None, setups[1].agents)]))
    states = [setup.method.start(*setup.rows()) for setup in setups]
    taken = np.zeros((2, REPETITIONS, 2))
    for repetition in range(-1, REPETITIONS):  # the first is to warm up
        first = (repetition + 1) * ITERATIONS_OF_A_BLOCK
        for i, setup in enumerate(setups):
            loop = Loop(setup.method, setup.oracle, setup.W)
            barrier(comm)
            before, start = sent_bytes(), perf_counter()
            states[i] = loop.steps(states[i], first, first + ITERATIONS_OF_A_BLOCK)
            block = np.array([[perf_counter() - start, sent_bytes() - before]])
            everyone = setup.agents.gather(block / ITERATIONS_OF_A_BLOCK)
            taken[i, repetition] = everyone[:, 0].max(), everyone[:, 1].mean()
    for setup in setups:
        setup.W.close()
    return {group.method: (taken[i, :, 0], taken[i, :, 1]) for i, group in enumerate(study.groups)}


class AllReduced(Average):
    """The average over all agents by one MPI_Allreduce, with an agent to a rank.

    It is faster than gathering, and equal up to rounding.
    """

    def _planned(self, widths: list[int], *_: tuple[Any, ...]) -> "Sum":
        return Sum(widths, self.dtype, self.agents, self.backend)


class Sum(Central):
    """Exchange of AllReduced."""

    def mix(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        rows = np.concatenate(arrays, axis=1)
        total = np.empty_like(rows)
        allreduce(self.agents.comm, rows, total)
        total /= self.agents.n
        return tuple([total[:, slot] for slot in self.slots])


def sent_bytes() -> int:
    """The bytes sent so far over all interfaces but the loopback; 0 without counters."""
    try:
        lines = NETWORK_COUNTERS.read_text().splitlines()[2:]
    except OSError:
        return 0
    interfaces = [line.partition(":") for line in lines]
    return sum(
        int(counters.split()[SENT_BYTES])
        for name, _, counters in interfaces
        if name.strip() != "lo"
    )

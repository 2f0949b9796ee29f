"""One partial average an iteration against an all-reduce: seconds until the accuracy, as the number of agents grows."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ...config import validate as configuration
from ...errors import UserError
from ...network.exchange import Central
from ...network.gossip import Average, Levels
from ...parallel.agents import Agents, agreed
from ...parallel.collectives import allreduce, barrier, free, split
from ...solver.loop import Loop
from ...solver.plan import Plan
from .. import checked, execute
from .base import Claim, Finding, Outcome, Tables, log_ratio, numbers
from .panels import panels

Array = Any
GOSSIP, CENTRAL = "sparkle-ed", "sparkle-centralized"
TARGET = 0.1
REPETITIONS, BLOCK = 5, 40
"""Blocks of iterations timed of each method, in turn."""


class PartialAverage(Claim):
    """SPARKLE-ED on a ring and SPARKLE with the average of all agents, both with all levels in one message and with the same steps.

    Iterations are counted in one process, since they do not depend on the ranks; then an agent to a rank times real iterations of both
    methods in turn, the average being one MPI_Allreduce. `benchmarks/slow_network.py` runs it over an emulated network. Quick: up to 8
    ranks, half a minute; noise, target, alpha and length were corrected more
    than once: with alpha = 0.05 two agents oscillate on one seed. Full: up to 16 ranks.
    """

    says = "one partial average an iteration takes less time until the accuracy than an all-reduce, the more so the more agents there are"
    source = "SPARKLE and D-SOBA, introductions (arXiv 2411.14166, 2402.03167)"
    rule = (f"quadratic with noise, seconds until the distance to x* stays below {TARGET}: seconds of an iteration, both methods in "
            "turn in one run, times iterations, seed by seed; the all-reduce's are more than the ring's for the most agents, "
            "and the ratio of the two is larger there than for the fewest")

    def sizes(self, full: bool) -> tuple[int, ...]:
        """Numbers of agents."""
        return (4, 8, 16) if full else (2, 4, 8)

    def studies(self, full: bool) -> Mapping[str, Tables]:
        T, seeds = (3000, 10) if full else (1000, 5)
        return {f"{n} agents": {
            "study": {"methods": [{"name": name, "schedule": "jacobi"} for name in (GOSSIP, CENTRAL)], "topologies": ["ring"],
                      "seeds": seeds, "metric": "distance", "target": TARGET},
            "problem": {"name": "quadratic", "p": 10, "q": 20, "noise": 0.05, "heterogeneity": 1.0},
            "steps": {"alpha": 0.01, "beta": 0.2, "gamma": 0.2},
            "run": {"agents": n, "iterations": T, "evaluate_every": 10}} for n in self.sizes(full)}

    def run(self, full: bool, out: Path, comm: Any, told: Callable[[str], None]) -> Mapping[str, Any] | None:
        """The outcomes and, under "timed", what `timed` measured; raises UserError with too few ranks."""
        sizes = self.sizes(full)
        with agreed(comm):
            if comm is None or comm.size < sizes[-1]:
                raise UserError(f"reproduce: this claim times {sizes[-1]} ranks; start it with mpiexec -n {sizes[-1]} mpidbo reproduce ...")
        studies = {key: checked(tables, key, out=out / key) for key, tables in self.studies(full).items()}
        done = True
        with agreed(comm, patient=True):
            if comm.rank == 0:
                done = all(execute(study, study.work, None, told) for study in studies.values())
        if Agents(comm.size, comm).told(str(done)) != "True":
            return None
        found: dict[str, Any] = {"timed": {}}
        for n, (key, study) in zip(sizes, studies.items(), strict=True):
            found[key] = Outcome(study)
            group = split(comm, int(comm.rank < n), comm.rank)
            with agreed(comm, patient=True):
                if comm.rank < n:
                    found["timed"][key] = timed(study, group)
            free(group)
        return found

    def judge(self, found: Mapping[str, Any]) -> Iterable[Finding]:
        few, *_, most = [key for key in found if key != "timed"]
        ratios = {}
        for key in (few, most):
            until, steps = seconds(found, key), found["timed"][key]
            ratios[key] = log_ratio(until[CENTRAL], until[GOSSIP])
            said = ", ".join(f"{'ring' if name == GOSSIP else 'all-reduce'} {numbers(until[name])} s at {numbers(1e3 * steps[name][0])} ms "
                             f"and {np.mean(steps[name][1]):.0f} bytes of an agent on the wire" for name in (GOSSIP, CENTRAL))
            if key == most:
                yield Finding(key, said, ratios[key])
        yield Finding("growth", f"log10 of all-reduce over ring: {few} {numbers(ratios[few])}, {most} {numbers(ratios[most])}",
                      ratios[most] - ratios[few])

    def draw(self, found: Mapping[str, Any], out: Path) -> list[Path]:
        keys = [key for key in found if key != "timed"]
        n = np.array([int(key.split()[0]) for key in keys])
        names = {GOSSIP: "ring, one partial average", CENTRAL: "all-reduce"}
        shown = {"seconds of an iteration": {names[m]: (n, np.stack([found["timed"][key][m][0] for key in keys], axis=1)) for m in names},
                 f"seconds until a distance of {TARGET}": {names[m]: (n, np.stack([seconds(found, key)[m] for key in keys], axis=1))
                                                            for m in names}}
        return [panels(out / "curves.png", shown, "agents", "seconds", log=True)]


def seconds(found: Mapping[str, Any], key: str) -> dict[str, Array]:
    """(seeds,) of each method: until the target, at the seconds of a repetition for each seed."""
    outcome, steps = found[key], found["timed"][key]
    return {name: np.resize(steps[name][0], len(outcome.study.seeds)) * outcome.reached(name, "ring", TARGET) for name in (GOSSIP, CENTRAL)}


def timed(study: Any, comm: Any) -> dict[str, tuple[Array, Array]]:
    """Of each method (REPETITIONS,) seconds and (REPETITIONS,) bytes an agent sends over a network in an iteration; collective."""
    plans = [Plan(configuration.check(group.tables), comm) for group in study.groups]
    central = plans[1].W
    plans[1].W = Levels.of([AllReduced(None, plans[1].agents)])
    central.close()
    states, taken = [plan.method.start(*plan.rows()) for plan in plans], np.zeros((2, REPETITIONS, 2))
    for repetition in range(-1, REPETITIONS):                       # the first is for warming up
        for i, plan in enumerate(plans):
            loop, first = Loop(plan.method, plan.oracle, plan.W), (repetition + 1) * BLOCK
            barrier(comm)
            before, began = sent(), perf_counter()
            states[i] = loop.steps(states[i], first, first + BLOCK)
            took = np.array([[perf_counter() - began, sent() - before]]) / BLOCK
            everyone = plan.agents.gather(took)
            taken[i, repetition] = everyone[:, 0].max(), everyone[:, 1].mean()
    for plan in plans:
        plan.W.close()
    return {group.method: (taken[i, :, 0], taken[i, :, 1]) for i, group in enumerate(study.groups)}


class AllReduced(Average):
    """The average over all agents by one MPI_Allreduce, an agent to a rank; it is faster than gathering, and equal up to rounding."""

    def _planned(self, widths: list[int]) -> "Sum":
        return Sum(widths, self.agents, self.backend)


class Sum(Central):
    def mix(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        rows = np.concatenate(arrays, axis=1)
        total = np.empty_like(rows)
        allreduce(self.agents.comm, rows, total)
        total /= self.agents.n
        return tuple([total[:, slot] for slot in self.slots])


def sent() -> int:
    """Bytes that this process's network has sent so far over all interfaces but the loopback; 0 where the system does not tell."""
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    except OSError:
        return 0
    return sum(int(line.split(":")[1].split()[8]) for line in lines if line.split(":")[0].strip() != "lo")

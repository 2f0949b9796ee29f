"""(r) Oracles beside messages: an iteration with and without `run.overlap`, over a slow network.

    python benchmarks/overlap.py                # as root: 2 ranks, 5 ms one way, 100 Mbit/s
    python benchmarks/overlap.py --work sleep   # oracles that leave the processor idle

p = q = DIM, one agent a rank. An iteration calls five oracles, each of which computes with numpy,
or sleeps, for a fifth of what the messages of an iteration take alone. An iteration with both is to
cost the larger of them instead of their sum. The network is that of `slow_network.py`.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

import mpidbo

DIM, ITERATIONS, CALLS = 10_000, 20, 5
CASES: dict[str, dict[str, Any]] = {
    "`sparkle-extra`, jacobi": {"name": "sparkle-extra", "schedule": "jacobi"},
    "`sparkle-extra`, gauss-seidel": {"name": "sparkle-extra"},
    "`d-soba-dgd`": {"name": "d-soba-dgd"},
    "`sparkle-non-gt`, jacobi": {"name": "sparkle-non-gt", "schedule": "jacobi"},
    "`sparkle-semi-gt`, jacobi": {"name": "sparkle-semi-gt", "schedule": "jacobi"},
    "`sparkle-ed`, jacobi": {"name": "sparkle-ed", "schedule": "jacobi"},
}
"""What is measured -> method."""


class Slow(mpidbo.Problem):
    """f = |x|^2 / 2 + |y|^2 / 2, g = |y|^2 / 2 - <x, y>, by oracles of so many seconds."""

    def __init__(self, agent, n_agents, *, xp, seed, dim=DIM, seconds=0.0, work="numpy"):
        self.dims, self.seconds, self.sleeps = (dim, dim), seconds, work == "sleep"
        self.start_point = np.random.default_rng(agent).standard_normal(dim)

    def after(self, answer):
        if self.sleeps:
            sleep(self.seconds)
            return answer
        end = perf_counter() + self.seconds
        while perf_counter() < end:
            np.sin(self.start_point)
        return answer

    def f(self, x, y, sample):
        return 0.5 * float(x @ x + y @ y)

    def g(self, x, y, sample):
        return float(0.5 * y @ y - x @ y)

    def f_x(self, x, y, sample):
        return self.after(x - self.start_point)

    def f_y(self, x, y, sample):
        return self.after(1.0 * y)

    def g_y(self, x, y, sample):
        return self.after(y - x)

    def g_yy(self, x, y, v, sample):
        return self.after(1.0 * v)

    def g_xy(self, x, y, v, sample):
        return self.after(-v)


def milliseconds(
    method: dict[str, Any], comm: Any, seconds: float, work: str, overlap: bool
) -> tuple[float, float]:
    """Return the time of an iteration and of its oracles, without evaluations, mean over ranks."""
    history = mpidbo.solve(
        {"name": f"{__file__}:Slow", "seconds": seconds, "work": work},
        method,
        "complete",
        steps={"alpha": 0.01, "beta": 0.1, "gamma": 0.1},
        iterations=3 * ITERATIONS,
        evaluate_every=ITERATIONS,
        comm=comm,
        checks="never",
        overlap=overlap,
    ).history
    parts = [
        1e3 * (history[f"seconds_{part}"][-1] - history[f"seconds_{part}"][1]) / (2 * ITERATIONS)
        for part in ("oracle", "exchange", "update")
    ]
    return sum(parts), parts[0]


def one_rank(work: str) -> None:
    """A rank of the runs over the network; the first prints a row for each case."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    for name, method in CASES.items():
        messages, _ = milliseconds(method, comm, 0, work, overlap=False)
        seconds = messages / 1e3 / CALLS
        without, oracles = milliseconds(method, comm, seconds, work, overlap=False)
        overlapped, _ = milliseconds(method, comm, seconds, work, overlap=True)
        if comm.rank == 0:
            print(
                f"| {name} | {messages:.1f} | {oracles:.1f} | {without:.1f} | {overlapped:.1f} "
                f"| {overlapped / max(messages, oracles):.2f} |",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", choices=("numpy", "sleep"), default="numpy")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank:
        one_rank(args.work)
        return 0
    here = Path(__file__)
    print(
        "| | messages alone, ms | oracles alone, ms | without overlap | with overlap | "
        "to the larger |\n|---|---|---|---|---|---|",
        flush=True,
    )
    network = [sys.executable, str(here.with_name("slow_network.py")), "-n", "2", "--mtu", "60000"]
    rank = [sys.executable, str(here), "--rank", "--work", args.work]
    return subprocess.run([*network, *rank], timeout=900).returncode


if __name__ == "__main__":
    sys.exit(main())

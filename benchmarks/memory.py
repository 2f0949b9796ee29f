"""(m) What the allocator costs: an iteration with freed memory kept, and without.

A problem whose oracles do little is solved in processes of its own, alternately with freed memory
kept as in every run (`mpidbo/parallel/memory.py`), with the settings of before, which stop at 32
MiB, and with those of the C library:

    python benchmarks/memory.py [REPETITIONS]

Printed are medians: processor time and kernel time of an iteration in ms, page faults, the median
ratio of processor times to the C library's, and MB at a third of the run, at its end and at most.
"""

import argparse
import ctypes
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import mpidbo
from mpidbo.parallel import memory
from mpidbo.solver import running

CASES = [
    (1, 10**7, "sparkle-ed-gt", 24),
    (8, 10**6, "sparkle-ed-gt", 24),
    (1, 10**6, "sparkle-ed-gt", 150),
    (1, 10**5, "sparkle-ed-gt", 1500),
    (1, 10**7, "d-soba", 24),
]
"""Agents, p = q, method and iterations."""
M_MMAP_THRESHOLD = -3
"""A parameter of mallopt."""
POLICIES = ["the C library's", "kept to 32 MiB", "kept"]


def keep_to_32_mib() -> None:
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)
    libc.mallopt(memory.M_TRIM_THRESHOLD, memory.MAX_KEPT_BYTES)


class Cheap(mpidbo.Problem):
    """f_i = |x|^2/2 - b_i sum(y) and g_i = |y - x|^2/2."""

    def __init__(
        self, agent: int, n_agents: int, *, xp: Any = np, seed: int = 0, d: int = 10
    ) -> None:
        self.dims = (d, d)
        self.b = 0.1 * (agent + 1)

    def f(self, x: Any, y: Any, sample: Any = None) -> float:
        return float(x @ x) / 2 - self.b * float(y.sum())

    def g(self, x: Any, y: Any, sample: Any = None) -> float:
        return float((y - x) @ (y - x)) / 2

    def f_x(self, x: Any, y: Any, sample: Any = None) -> Any:
        return x.copy()

    def f_y(self, x: Any, y: Any, sample: Any = None) -> Any:
        return np.full_like(y, -self.b)

    def g_x(self, x: Any, y: Any, sample: Any = None) -> Any:
        return x - y

    def g_y(self, x: Any, y: Any, sample: Any = None) -> Any:
        return y - x

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        return v.copy()

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        return -v


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def one(policy: str, agents: int, d: int, method: str, iterations: int) -> None:
    """A run under a policy; prints what it took."""
    keep = {"kept": memory.keep_freed, "kept to 32 MiB": keep_to_32_mib}
    vars(running)["keep_freed"] = keep.get(policy, lambda: None)
    seen = []

    def look(progress: Any) -> None:
        seen.append((resource.getrusage(resource.RUSAGE_SELF), resident()))

    mpidbo.solve(
        {"name": Cheap, "d": d},
        method,
        "ring" if agents > 1 else "complete",
        agents,
        iterations=iterations,
        evaluate_every=iterations // 3,
        callback=look,
        checks="never",
        steps={"alpha": 0.05, "beta": 0.3, "gamma": 0.3},
        progress=False,
    )
    (first, early), (last, late) = seen[1], seen[-1]
    n = iterations - iterations // 3
    kernel = (last.ru_stime - first.ru_stime) / n
    print(
        json.dumps(
            {
                "cpu": 1e3 * ((last.ru_utime - first.ru_utime) / n + kernel),
                "kernel": 1e3 * kernel,
                "faults": (last.ru_minflt - first.ru_minflt) / n,
                "early": early,
                "late": late,
                "peak": last.ru_maxrss * 1024 / 1e6,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repetitions", nargs="?", type=int, default=7)
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        policy, agents, d, method, iterations = args.one
        one(policy, int(agents), int(d), method, int(iterations))
        return
    print("| agents, d, method | allocator | CPU, ms | kernel, ms | faults | ratio | MB |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        found: dict[str, list[dict[str, float]]] = {policy: [] for policy in POLICIES}
        for _ in range(args.repetitions):
            for policy, rows in found.items():
                line = [sys.executable, __file__, "--one", policy, *map(str, case)]
                done = subprocess.run(line, capture_output=True, text=True, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
        plain = found[POLICIES[0]]
        for policy, rows in found.items():
            middle = {name: median(row[name] for row in rows) for name in rows[0]}
            ratio = median(a["cpu"] / b["cpu"] for a, b in zip(rows, plain, strict=True))
            agents, d, method, _ = case
            print(
                f"| {agents}, {d:.0e}, `{method}` | {policy} | {middle['cpu']:.2f} "
                f"| {middle['kernel']:.2f} | {middle['faults']:.0f} | {ratio:.2f} "
                f"| {middle['early']:.0f}, {middle['late']:.0f}, {middle['peak']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Runs that test_overlap.py starts on several ranks, with and without `run.overlap`.

ranks_overlap.py                       # the same bits and counts
ranks_overlap.py failing               # one rank raises while a message is under way
ranks_overlap.py interrupted FOLDER    # one rank gets a signal then, and the run is resumed
ranks_overlap.py silent                # one rank does not come back from an oracle
ranks_overlap.py traced FOLDER         # a timeline
"""

import os
import signal
import sys
import time
from typing import Any

import numpy as np

import mpidbo
from mpidbo.parallel.fusion import CALLS

WIDE = 20_000
RING: dict[str, Any] = {"name": "ring"}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "extra": ({"name": "sparkle-extra"}, RING, 7),
    "long rows": ({"name": "sparkle-extra", "schedule": "jacobi"}, RING, WIDE),
    "dgd": ({"name": "d-soba-dgd"}, RING, 7),
    "non-gt": ({"name": "sun-dsbo-non-gt"}, RING, 7),
    "ed": ({"name": "sparkle-ed", "schedule": "jacobi"}, RING, 7),
    "wire": ({"name": "gda-dgd"} | {"lower": {"name": "dgd", "wire": "float32"}}, RING, 7),
    "failing links": ({"name": "sparkle-extra-non-gt"}, {**RING, "drop": 0.3}, 7),
    "local steps": ({"name": "d-soba-dgd"}, {**RING, "every": 2}, 7),
    "centralized": ({"name": "sparkle-centralized"}, RING, 7),
}


class Noisy(mpidbo.Problem):
    """f = |x - a|^2 / 2 + |y|^2 / 2 and g = |y|^2 / 2 - <x, y>, with noise."""

    what = ""
    """What happens in the fourth call of agent 0's f_x."""

    def __init__(self, agent, n_agents, *, xp, seed, d=7):
        self.agent, self.dims, self.calls = agent, (d, d), 0
        self.a = np.random.default_rng(agent).standard_normal(d)

    def draw(self, rng):
        return 0.1 * rng.standard_normal()

    def f(self, x, y, sample):
        return 0.5 * float((x - self.a) @ (x - self.a) + y @ y)

    def g(self, x, y, sample):
        return float(0.5 * y @ y - x @ y)

    def f_x(self, x, y, sample):
        self.calls += 1
        if self.agent == 0 and self.calls == 4:
            if self.what == "failing":
                raise RuntimeError("the oracle of agent 0")
            if self.what == "silent":
                time.sleep(1000)
            if self.what == "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
        return x - self.a + (sample or 0)

    def f_y(self, x, y, sample):
        return y + (sample or 0)

    def g_x(self, x, y, sample):
        return -y

    def g_y(self, x, y, sample):
        return y - x + (sample or 0)

    def g_yy(self, x, y, v, sample):
        return 1.0 * v

    def g_xy(self, x, y, v, sample):
        return -v


def run(name: str, comm: Any, overlap: bool, **options: Any) -> tuple[Any, ...]:
    """Return what a run with or without overlap must agree in."""
    method, topology, d = CASES[name]
    result = mpidbo.solve(
        {"name": f"{__file__}:Noisy", "d": d},
        method,
        topology,
        4,
        iterations=6,
        evaluate_every=3,
        comm=comm,
        overlap=overlap,
        **options,
    )
    counts = {
        key: column.tobytes()
        for key, column in result.history.items()
        if not key.startswith("seconds_")
    }
    return result.x.tobytes(), result.y.tobytes(), counts


def main() -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if sys.argv[1:]:
        Noisy.what, *out = sys.argv[1:]
        options: dict[str, Any] = {
            "method": {"name": "sparkle-extra", "schedule": "jacobi"},
            "topology": RING,
            "agents": 4,
            "iterations": 40,
            "comm": comm,
            "overlap": True,
            "checks": "never",
            "evaluate_every": 40,
            "stall_timeout": 3,
        }
        if Noisy.what == "interrupted":
            ended = mpidbo.solve(Noisy, **options, out=out[0])
            Noisy.what = ""
            resumed = mpidbo.solve(Noisy, **options, out=out[0], resume="must")
            whole = mpidbo.solve(Noisy, **options)
            same = resumed.x.tobytes() == whole.x.tobytes()
            if comm.rank == 0:
                print(f"{ended.reason}, {0 < ended.iteration < 40}, {len(CALLS)} left, {same}")
            return
        mpidbo.solve(Noisy, **options, trace=bool(out), out=out[0] if out else None)
        return
    for name in CASES:
        for shared_memory in (True, False) if name == "long rows" else (True,):
            found = [
                run(name, comm, overlap, shared_memory=shared_memory) for overlap in (False, True)
            ]
            if comm.rank == 0:
                print(f"{name}: {'same' if found[0] == found[1] else 'different'}", flush=True)


if __name__ == "__main__":
    main()

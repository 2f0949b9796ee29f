"""(d) Shares of oracle, exchange and update in hyper-cleaning with a perceptron 784-300-10.

    BENCH_REALTIME=1 mpiexec -n 2 python -m mpi4py benchmarks/mlp.py    # as root

Updates are computed by numpy and by compiled kernels (`run.fused`), in turn. Of the latter the time
within kernels is printed too: what is left of an update without any Python.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from mpi4py import MPI

from images import perceptron, random_images
from mpidbo import config
from mpidbo.parallel import cpu_kernels, keep_freed
from mpidbo.solver.loop import Loop
from mpidbo.solver.plan import Plan
from paired import PAIRS, alone, median

STEPS = 10
"""Iterations of a measurement."""
METHODS: dict[str, dict[str, Any]] = {
    "sparkle-ed-gt": {"name": "sparkle-ed-gt"},
    "d-soba": {"name": "d-soba"},
    "sparkle-ed, jacobi": {"name": "sparkle-ed", "schedule": "jacobi"},
}
COMPILED = {"never": "numpy", "always": "compiled"}
comm = MPI.COMM_WORLD


class Kernels:
    """Adds up the time that compiled kernels take."""

    def __init__(self) -> None:
        self.seconds, self._compile = 0.0, cpu_kernels._by_numba
        cpu_kernels._by_numba = self.timed

    def timed(self, form: Any) -> Any:
        kernel = self._compile(form)

        def call(*operands: Any) -> None:
            began = perf_counter()
            kernel(*operands)
            self.seconds += perf_counter() - began

        return call


KERNELS = Kernels()


def made(folder: Path, method: dict[str, Any], batch: int, dtype: str, fused: str) -> "Run":
    """A run after its first iterations."""
    problem = perceptron(folder, batch)
    run = {"agents": comm.size, "dtype": dtype, "fused": fused, "checks": "never"}
    return Run(config.check({"problem": problem, "method": method, "run": run}))


class Run:
    """A run whose iterations are made on demand."""

    def __init__(self, checked: config.Config) -> None:
        self.plan = Plan(checked, comm)
        self.loop = Loop(self.plan.method, self.plan.oracle, self.plan.W)
        self.state = self.plan.method.start(*self.plan.rows())
        self.k = 0
        self.seconds()

    def seconds(self) -> list[float]:
        """Seconds of an iteration on this rank, from STEPS of them.

        Those of oracles, of the exchange, of updates and, within these, of kernels.
        """
        loop = self.loop

        def taken() -> tuple[float, ...]:
            parts = loop.oracle.seconds, loop.W.seconds, loop.seconds_of_updates
            return (*parts, KERNELS.seconds)

        before = taken()
        self.state = loop.steps(self.state, self.k, self.k + STEPS)
        self.k += STEPS
        after = taken()
        return [(b - a) / STEPS for a, b in zip(before, after, strict=True)]


def main(folder: Path, batches: list[tuple[int, str]]) -> None:
    for batch, dtype in batches:
        for label, method in METHODS.items():
            runs = {how: made(folder, method, batch, dtype, how) for how in COMPILED}
            taken: dict[str, list[list[float]]] = {how: [] for how in runs}
            for _ in range(PAIRS):
                for how, run in runs.items():
                    with alone(comm.rank):
                        comm.Barrier()
                        taken[how].append(run.seconds())
            for how, times in taken.items():
                parts = np.array(times).T
                total = parts[:3].sum(axis=0)
                shares = [100 * median(part / total) for part in parts]
                if comm.rank == 0:
                    print(
                        f"(d) {label}, {comm.size} ranks, batch {batch}, {dtype}, {COMPILED[how]}: "
                        f"{1e3 * median(total):.2f} ms an iteration, oracle {shares[0]:.1f} %, "
                        f"exchange {shares[1]:.1f} %, update {shares[2]:.1f} %, "
                        f"of these kernels {shares[3]:.1f} %",
                        flush=True,
                    )
            for run in runs.values():
                run.plan.__exit__(None, None, None)
            comm.Barrier()


if __name__ == "__main__":
    keep_freed()  # as a run does
    with TemporaryDirectory() as name:
        images = Path(comm.bcast(name))
        if comm.rank == 0:
            random_images(images, 6000, "train")
            random_images(images, 500, "t10k")
        comm.Barrier()
        main(images, [(64, "float64"), (64, "float32"), (256, "float64")])
        comm.Barrier()

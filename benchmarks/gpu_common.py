"""Sizes, clocks, plans and data that the parts of gpu.py share."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
Rows = Iterator[dict[str, Any] | str]
SPIN = """
extern "C" __global__ void spin(long long cycles) {
    long long until = clock64() + cycles;
    while (clock64() < until);
}
"""


@dataclass(frozen=True)
class Sizes:
    """Sizes and durations of the measurements."""

    floats: tuple[int, ...] = (10**5, 10**6, 10**7)
    spread: int = 2**29
    """Bytes over which repeated work is spread, so that its arrays are not in the cache."""
    nets: tuple[tuple[int, ...], ...] = ((300,), (4096, 4096))
    batches: tuple[int, ...] = (64, 4096)
    images: tuple[int, int, int] = (5000, 4500, 500)
    ranks: tuple[int, ...] = (1, 2, 4, 8)
    agents: tuple[int, ...] = (1, 8, 64)
    messages: tuple[int, ...] = (10**3, 10**4, 10**5, 10**6, 10**7)
    hidden: tuple[int, ...] = (1024,)
    gaps: tuple[int, ...] = (10**3, 10**4, 10**5, 10**6)
    d: int = 256
    repeats: int = 7
    tests: float = 90
    seconds: float = 0.2


TINY = Sizes(
    floats=(1000,),
    spread=2**14,
    nets=((5,),),
    batches=(4,),
    images=(60, 40, 10),
    ranks=(1, 2),
    agents=(1, 4),
    messages=(100,),
    hidden=(5,),
    gaps=(50,),
    d=6,
    repeats=2,
    seconds=0.001,
)


def stand_in() -> None:
    """Let `import cupy` find the stand-in of the tests."""
    sys.path.insert(0, str(TESTS))
    sys.modules.update(import_module("support.standin").MODULES)


class Clock:
    """Seconds of the work of the device.

    It is queued behind a kernel that spins, so that launches are not included.
    """

    def __init__(self, cupy: Any, repeats: int) -> None:
        self.cupy, self.repeats, self.spin = cupy, repeats, 1e-3
        self.begin, self.end = cupy.cuda.Event(), cupy.cuda.Event()
        self.kernel = cupy.RawKernel(SPIN, "spin")

    def __call__(self, work: Callable[[int], Any], times: int) -> float:
        """The median time of one of `times` calls in a row.

        Work that waits for the device itself is timed with its gaps.
        """
        found: list[float] = []
        for warm in range(2):
            work(warm)
        while len(found) < self.repeats:
            self.kernel((1,), (1,), (np.int64(2e9 * self.spin),))
            self.begin.record()
            for i in range(times):
                work(i)
            self.end.record()
            queued = not self.begin.done
            self.end.synchronize()
            if queued or self.spin > 0.1:
                found.append(self.cupy.cuda.get_elapsed_time(self.begin, self.end) / times / 1e3)
            else:
                self.spin *= 2
        return median(found)


def wall(work: Callable[[int], Any], size: Sizes, comm: Any = None) -> float:
    """Seconds of one call on the slowest rank, the median of five measurements.

    `work(times)` waits for the device at its end.
    """
    from mpi4py import MPI

    from paired import repetitions, seconds

    comm = MPI.COMM_SELF if comm is None else comm
    work(1)
    if (slow := seconds(comm, work, 1)) > 1:
        return slow
    times = repetitions(comm, work, size.seconds)
    return median(seconds(comm, work, times) for _ in range(5))


def plan_of(comm: Any = None, **tables: Any) -> Any:
    """The plan of a configuration."""
    from mpidbo import config
    from mpidbo.solver import Plan

    return Plan(
        config.check({"method": {"name": "sparkle-ed-gt"}, "topology": {"name": "ring"}, **tables}),
        comm,
    )


def stepping(plan: Any) -> Callable[[int], None]:
    """steps(times): run further iterations without waiting for the device."""
    from mpidbo.solver import Loop

    loop, at = (
        Loop(plan.method, plan.oracle, plan.W),
        [plan.method.start(*map(plan.backend.rows, plan.rows())), 0],
    )

    def steps(times: int) -> None:
        at[:] = loop.steps(at[0], at[1], at[1] + times), at[1] + times

    return steps


def waiting(plan: Any, work: Callable[[int], Any]) -> Callable[[int], None]:
    """The same work, followed by a wait for the device."""

    def all_of(times: int) -> None:
        work(times)
        if plan.backend.xp is not np:
            plan.backend.device.synchronize()

    return all_of


def images(folder: str, size: Sizes) -> None:
    """Write files in the format of MNIST into a folder."""
    from images import random_images

    random_images(Path(folder), sum(size.images[:2]), "train")
    random_images(Path(folder), size.images[2], "t10k")


def perceptron(folder: Any, size: Sizes, hidden: tuple[int, ...], batch: int) -> dict[str, Any]:
    """`[problem]`: hyper-cleaning with a perceptron on random images."""
    return {
        "name": "hyper-cleaning",
        "data": str(folder),
        "model": "mlp",
        "hidden": [*hidden],
        "batch": batch,
        "split": "iid",
        "n_train": size.images[0],
        "n_validation": size.images[1],
    }

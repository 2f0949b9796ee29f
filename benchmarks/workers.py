"""(p) Agents divided among threads: `run.workers`.

    .venv/bin/python benchmarks/workers.py [mlp] [mlp256] [mlp32] [fast] [fast32] [digits] [cheap]
        [limits] [earlier=FOLDER]

Ratios are medians of seven interleaved pairs of the time of iterations: the higher, the more the
threads gain. "auto" is what a run chooses by itself. With `earlier` also one worker against another
checkout of the package, each in processes of its own, in turn. As root and with BENCH_REALTIME set
other programs stop while iterations are timed, so that a busy machine may serve. `limits` counts
how often threads that limit the threads of BLAS for themselves get other bits.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from agents import made
from images import perceptron, random_images
from mpidbo.parallel import Threads, keep_freed

PAIRS = 7
REALTIME = bool(os.environ.get("BENCH_REALTIME"))
SECONDS = 0.1 if REALTIME else 1.0
"""Duration of one measurement."""


def cleaning(
    folder: str, batch: int = 64, dtype: str = "float64", fused: str = "never"
) -> dict[str, Any]:
    """Hyper-cleaning with a perceptron 784-300-10 on random images."""
    return {
        "problem": perceptron(folder, batch),
        "method": "sparkle-ed-gt",
        "dtype": dtype,
        "fused": fused,
    }


CASES: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "mlp": ("perceptron 784-300-10, batches of 64", cleaning),
    "mlp256": ("perceptron, batches of 256", lambda folder: cleaning(folder, 256)),
    "mlp32": ("perceptron, float32", lambda folder: cleaning(folder, dtype="float32")),
    "fast": ("perceptron, compiled updates", lambda folder: cleaning(folder, fused="always")),
    "fast32": (
        "perceptron, float32, compiled updates",
        lambda folder: cleaning(folder, dtype="float32", fused="always"),
    ),
    "digits": ("hyper-cleaning of the digits", lambda _: {"problem": {"name": "hyper-cleaning"}}),
    "cheap": ("quadratic, p = q = 5", lambda _: {"problem": {"name": "quadratic"}}),
}


@contextmanager
def before_others() -> Iterator[None]:
    """Let all threads of this process run before other programs, with BENCH_REALTIME set."""

    def schedule(policy: int, priority: int) -> None:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), policy, os.sched_param(priority))

    if not REALTIME:
        yield
        return
    schedule(os.SCHED_FIFO, 1)
    try:
        yield
    finally:
        schedule(os.SCHED_OTHER, 0)
        sleep(3 * SECONDS)


class Timed:
    """Iterations of 8 agents in this process, timed some at a time."""

    def __init__(self, given: dict[str, Any], **run: Any) -> None:
        self.plan, self.loop, self.state = made({**given, "agents": 8, **run})
        self.limited, self.iterations = Threads(1).limited, 1
        keep_freed()  # as a run does
        while (taken := self.seconds()) * self.iterations < SECONDS / 4:
            self.iterations *= 4
        self.iterations = max(1, round(SECONDS / taken))

    @property
    def workers(self) -> Any:
        """The threads that compute; None in a version that has none."""
        workers = getattr(self.loop.oracle, "workers", None)
        return workers and workers.count

    def seconds(self) -> float:
        """Seconds of an iteration."""
        with self.limited(), before_others():
            began = perf_counter()
            self.state = self.loop.steps(self.state, 2, 2 + self.iterations)
            return (perf_counter() - began) / self.iterations


def compare(label: str, given: dict[str, Any]) -> None:
    """Print one worker against two and against "auto"."""
    runs = {count: Timed(given, workers=count) for count in (1, 2, "auto")}
    taken: dict[Any, list[float]] = {count: [] for count in runs}
    loop = runs[1].loop
    before = loop.oracle.seconds, loop.seconds
    for _ in range(PAIRS):
        for count, run in runs.items():
            taken[count].append(run.seconds())
    oracle = (loop.oracle.seconds - before[0]) / (loop.seconds - before[1])
    gain = {
        count: median(a / b for a, b in zip(taken[1], taken[count], strict=True)) for count in runs
    }
    print(
        f"(p) {label}: {1e3 * median(taken[1]):.3g} ms an iteration, of which oracles "
        f"{100 * oracle:.0f} %; 2 workers {gain[2]:.2f} times as fast, auto "
        f"({runs['auto'].workers}) {gain['auto']:.2f}",
        flush=True,
    )


def against(earlier: str, label: str, given: dict[str, Any]) -> None:
    """Print one worker against another version."""
    here = str(Path(__file__).resolve().parents[1])
    taken: dict[str, list[float]] = {here: [], earlier: []}
    for _ in range(PAIRS):
        for folder, found in taken.items():
            command = [sys.executable, __file__, "--job", json.dumps(given)]
            environment = os.environ | {"PYTHONPATH": folder}
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            found.append(float(done.stdout))
    ratio = median(a / b for a, b in zip(taken[here], taken[earlier], strict=True))
    print(f"(p) {label}: 1 worker takes {ratio:.3f} of the time of {earlier}", flush=True)


def limits(runs: int = 400) -> None:
    """Count the runs with other bits where each thread enters a limit of its own, and with one."""
    rng, libraries = np.random.default_rng(0), ThreadpoolController()
    vectors = [rng.standard_normal(238_510) for _ in range(8)]

    def product(x: Any) -> float:
        return float(x @ x)

    def limited(x: Any) -> float:
        with libraries.limit(limits=1):
            return product(x)

    with libraries.limit(limits=os.cpu_count()), ThreadPoolExecutor(2) as pool:
        expected = [limited(x) for x in vectors]
        own = sum([*pool.map(limited, vectors)] != expected for _ in range(runs))
        with libraries.limit(limits=1):
            common = sum([*pool.map(product, vectors)] != expected for _ in range(runs))
    print(
        f"(p) dot products of two threads: other bits in {own} of {runs} runs with a limit in each "
        f"thread, in {common} with one limit around both",
        flush=True,
    )


def main(wanted: list[str]) -> None:
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start; medians of "
        f"{PAIRS} interleaved pairs",
        flush=True,
    )
    earlier = [word.removeprefix("earlier=") for word in wanted if word.startswith("earlier=")]
    if not wanted or "limits" in wanted:
        limits()
    names = [name for name in CASES if not wanted or name in wanted]
    with TemporaryDirectory() as folder:
        random_images(Path(folder), 6000, "train")
        random_images(Path(folder), 500, "t10k")
        for name in names:
            label, given = CASES[name]
            compare(label, given(folder))
            for other in earlier:
                against(str(Path(other).resolve()), label, given(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        import mpidbo

        given = json.loads(sys.argv[2])
        run = Timed(given, **({"workers": 1} if "workers" in mpidbo.config.RUN_FIELDS else {}))
        print(median(run.seconds() for _ in range(3)))
    else:
        main(sys.argv[1:])

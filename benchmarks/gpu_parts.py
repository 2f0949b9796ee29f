"""The parts of gpu.py: each yields rows of its table, and notes.

`python gpu_parts.py NAME` prints them as lines of JSON.
"""

import contextlib
import json
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib import util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gpu_common import (
    HERE,
    TESTS,
    TINY,
    Clock,
    Rows,
    Sizes,
    images,
    plan_of,
    stand_in,
    stepping,
    waiting,
    wall,
)
from gpu_mlp import mlp

ARRAYS_MOVED = {"ed": 5, "extra": 7, "gt": 7, "semi-gt": 7, "non-gt": 6, "sgd": 3, "dgd": 3}
"""Arrays that a step of each strategy reads and writes, once per kernel, without W @."""


def device(size: Sizes) -> Rows:
    from mpidbo.parallel.backend import why_no_gpu

    if why := why_no_gpu():
        yield why
        sys.exit(2)
    import cupy

    runtime = cupy.cuda.runtime
    driver = f"for CUDA {runtime.driverGetVersion() / 1000:.1f}"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
        driver = f"{answer.stdout.split()[0]}, {driver}"
    yield {
        "GPU": runtime.getDeviceProperties(0)["name"].decode(),
        "driver": driver,
        "CUDA": f"{runtime.runtimeGetVersion() / 1000:.1f}",
        "CuPy": cupy.__version__,
        "numpy": np.__version__,
        "CPU cores": len(os.sched_getaffinity(0)),
    }


def tests(size: Sizes) -> Rows:
    if util.find_spec("pytest") is None:
        yield "needs pytest, which is not installed here"
        return
    bare = (
        []
        if util.find_spec("pytest_timeout")
        else ["-c", os.devnull, "--rootdir", str(HERE.parent)]
    )
    some = ["-k", "updates and ed and float32"] if size is TINY else []
    with TemporaryDirectory() as folder:
        path = os.environ.get("PYTHONPATH", "")
        if size is TINY:
            path = f"{sys.modules['support.standin'].folder(Path(folder))}{os.pathsep}{path}"
        words = [
            *bare,
            "-o",
            "addopts=",
            "-p",
            "no:cacheprovider",
            "-v",
            "-rfEs",
            "-m",
            "gpu",
            *some,
            str(TESTS / "parallel" / "test_gpu.py"),
        ]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *words],
                env=os.environ | {"PYTHONPATH": path},
                timeout=size.tests,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            printed, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            printed, code = late.stdout or b"", 0
            yield f"ended after {size.tests:g} s: the other tests were not run"
    lines = printed.decode(errors="replace").splitlines()
    yield {
        verdict: sum(
            f" {verdict.upper()} " in f"{line} "
            for line in lines
            if "::" in line and not line.startswith(verdict.upper())
        )
        for verdict in ("passed", "failed", "skipped", "error")
    }
    yield from (line for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED")))
    sys.exit(int(code != 0))


def agree(size: Sizes) -> Rows:
    sys.path.insert(0, str(TESTS))
    from mpidbo import UserError
    from support.devices import ITERATIONS, METHODS, PROBLEMS, TOLERANCE, apart, solved

    wrong = False
    for name, problem in PROBLEMS.items():
        for method in METHODS:
            for dtype, tolerance in TOLERANCE.items():
                iterations = 3 if size is TINY else ITERATIONS
                try:
                    runs = [
                        solved(problem, method, where, dtype=dtype, iterations=iterations)
                        for where in ("cuda", "cpu")
                    ]
                except UserError as error:  # the digits are another package's
                    yield f"{name}: {error}"
                    break
                difference = apart(*runs)
                wrong |= not difference <= tolerance
                yield {
                    "problem": name,
                    "method": method,
                    "dtype": dtype,
                    "iterations": iterations,
                    "difference": difference,
                    "tolerance": tolerance,
                    "within": "yes" if difference <= tolerance else "NO",
                }
    sys.exit(int(wrong))


def copy(size: Sizes) -> Rows:
    import cupy
    from scipy.sparse import csr_array

    from mpidbo.algorithms import STRATEGIES
    from mpidbo.network.gpu_exchange import OnDevice
    from mpidbo.parallel import Cuda

    sys.path.insert(0, str(TESTS))
    from support.devices import updated

    backend, clock = Cuda(cupy, 0), Clock(cupy, size.repeats)

    def moved(
        arrays: int, floats: int, dtype: str, make: Callable[[], Any], work: Callable[[Any], Any]
    ) -> tuple[float, float]:
        """(seconds, bytes a second) of work on what `make` makes, over several of them in turn."""
        count = floats * np.dtype(dtype).itemsize * arrays
        sets = [make() for _ in range(min(64, max(1, size.spread // count)))]
        held = [None] * len(sets)  # results are in different places too

        def one(i: int) -> None:
            held[i % len(sets)] = work(sets[i % len(sets)])

        for i in range(len(sets)):
            one(i)
        took = clock(one, max(len(sets), 16))
        return took, count / took

    for floats in size.floats:
        for dtype in ("float32", "float64"):
            numbers = cupy.asarray(np.random.default_rng(0).standard_normal(floats).astype(dtype))

            def arrays(count: int, rows: int = 1) -> list[Any]:
                return [(numbers * (k + 1)).reshape(rows, -1) for k in range(count)]

            took, best = moved(2, floats, dtype, lambda: arrays(2), lambda pair: cupy.copyto(*pair))
            yield _moved("copy", floats, dtype, took, best, best)
            for name, must in ARRAYS_MOVED.items():
                found = moved(
                    must,
                    floats,
                    dtype,
                    lambda: arrays(6),
                    lambda given: updated(STRATEGIES[name], given, backend.rows),
                )
                yield _moved(name, floats, dtype, *found, best)
            for m in (1, 8):
                ring = (
                    np.eye(m)
                    if m == 1
                    else np.eye(m) / 2
                    + (np.roll(np.eye(m), 1, axis=0) + np.roll(np.eye(m), -1, axis=0)) / 4
                )
                route = OnDevice([floats // m], [csr_array(ring.astype(dtype))], backend)
                found = moved(2, floats, dtype, lambda: (backend.rows(arrays(1, m)[0]),), route.mix)
                yield _moved(
                    f"W @ s, ring, {m} agents" if m > 1 else "W @ s, 1 agent",
                    floats,
                    dtype,
                    *found,
                    best,
                )


def _moved(
    what: str, floats: int, dtype: str, took: float, rate: float, best: float
) -> dict[str, Any]:
    return {
        "what": what,
        "floats": floats,
        "dtype": dtype,
        "us": took * 1e6,
        "GB/s": rate / 1e9,
        "of the copy, %": 100 * rate / best,
    }


def gaps(size: Sizes) -> Rows:
    import cupy

    sys.path.insert(0, str(TESTS))
    from support.devices import Entrywise

    class Still(Entrywise):
        """Without a draw nothing is copied to the device."""

        def draw(self, rng: Any) -> Any:
            return 0.0

    for d in size.gaps:
        for method in ("d-soba", "sparkle-ed-gt"):
            plan = plan_of(
                problem={"name": Still, "d": d},
                method={"name": method},
                run={"agents": 1, "device": "cuda"},
            )
            steps = stepping(plan)
            steps(3)
            busy, took = (
                Clock(cupy, size.repeats)(lambda _: steps(1), 8),
                wall(waiting(plan, steps), size),
            )
            yield {
                "d": d,
                "method": method,
                "iteration, us": took * 1e6,
                "kernels, us": busy * 1e6,
                "gaps, %": 100 * max(0.0, 1 - busy / took),
            }


def under_mpi(name: str, size: Sizes, ranks: int, timeout: float, **given: Any) -> Rows:
    """The output of a job of gpu_ranks.py."""
    from run import mpiexec

    words = [name, json.dumps(given), *["--stand-in"] * (size is TINY)]
    try:
        done = mpiexec(
            ranks,
            str(HERE / "gpu_ranks.py"),
            *words,
            timeout=timeout,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        yield "needs mpiexec, which is not on PATH here"
        return
    except subprocess.TimeoutExpired:
        yield f"{ranks} ranks: not finished after {timeout:g} s"
        return
    for line in done.stdout.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        values = " ".join(map(str, given.values()))
        yield f"{ranks} ranks, {name} {values}: exit code {done.returncode}; {last}"


def many(size: Sizes) -> Rows:
    for ranks in size.ranks:
        yield from under_mpi("many", size, ranks, 40)


def buffers(size: Sizes) -> Rows:
    with TemporaryDirectory() as folder:
        images(folder, size)
        for kind in ("host", "device"):
            yield from under_mpi("messages", size, 2, 20, buffers=kind)
        yield from under_mpi("hidden", size, 2, 30, folder=folder)


PARTS: dict[str, Callable[[Sizes], Rows]] = {
    "device": device,
    "tests": tests,
    "agree": agree,
    "copy": copy,
    "mlp": mlp,
    "many": many,
    "buffers": buffers,
    "gaps": gaps,
}


def main(name: str) -> None:
    size = TINY if "--stand-in" in sys.argv else Sizes()
    if size is TINY:
        stand_in()
    warnings.simplefilter("ignore", UserWarning)
    try:
        for row in PARTS[name](size):
            print(json.dumps(row), flush=True)
    except ModuleNotFoundError as error:
        print(json.dumps(f"needs {error.name}, which is not installed here"), flush=True)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps(f"{type(error).__name__}: {error}"), flush=True)
        sys.exit(3)


if __name__ == "__main__":
    main(sys.argv[1])

"""Run all benchmarks (`make bench`), on a machine that is otherwise idle."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
JOBS = [
    ("gossip.py", 2),
    ("gossip.py", 4),
    ("tracking.py", 2),
    ("ranks.py", 20),
    ("mlp.py", 2),
    ("checkpoint.py", 2),
    ("many.py", 0),
    ("agents.py", 0),
    ("losses.py", 0),
    ("trace.py", 1),
    ("fused.py", 0),
    ("workers.py", 0),
    ("crowded.py", 0),
]


def mpiexec(ranks: int, *args: str, timeout: float, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m mpi4py *args` on `ranks` ranks, also more than there are cores.

    With 0 ranks: `python *args`, for scripts that start mpiexec themselves.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = [str(beside) if beside.exists() else "mpiexec"]
    version = subprocess.run([*launcher, "--version"], capture_output=True, text=True).stdout
    if "Open MPI" in version or "prte" in version.lower():
        launcher += ["--oversubscribe", "--bind-to", "none"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    command = (
        [*launcher, "-n", str(ranks), sys.executable, "-m", "mpi4py", *args]
        if ranks
        else [sys.executable, *args]
    )
    return subprocess.run(command, env=environment, timeout=timeout, **how)


def main() -> int:
    wanted = sys.argv[1:]
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} cores, load {load:.1f} before the start; "
        "ratios are medians of interleaved pairs",
        flush=True,
    )
    for script, ranks in JOBS:
        if not wanted or script.removesuffix(".py") in wanted:
            done = mpiexec(ranks, str(HERE / script), timeout=900)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

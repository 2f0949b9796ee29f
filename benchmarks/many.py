"""(f) 64 agents on 1, 8 and 64 ranks: start-up, memory, a checkpoint and a restart.

The script starts mpiexec itself:

    .venv/bin/python benchmarks/many.py [TOPOLOGY ...]

Seconds are those of the slowest rank. Memory is the peak of a rank (VmHWM) minus the mean of a job
of as many processes that import mpi4py, numpy and h5py, start MPI and pass one barrier. It includes
shared pages, such as buffers of MPI.
"""

import sys
from time import perf_counter

import h5py  # noqa: F401
import numpy as np

AGENTS, TOPOLOGIES, RANKS = 64, ("ring", "exponential", "complete", "centralized"), (1, 8, 64)
STEPS = 5
TIMES = ("import", "plan", "first step", "a step", "checkpoint", "restart")


def peak() -> float:
    """The peak memory of this process in MB, since it became this program."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3


def job(name: str, folder: str) -> None:
    """Run one job and print a line of seconds, largest and mean memory on rank 0.

    The job `bare` is the reference.
    """
    from mpi4py import MPI

    comm, seconds = MPI.COMM_WORLD, dict.fromkeys(TIMES, 0.0)
    comm.Barrier()
    if name != "bare":
        run(name, folder, comm, seconds)
    mine = np.array([*seconds.values(), peak()])
    everyone = np.empty((comm.size, mine.size))
    comm.Allgather(mine, everyone)
    if comm.rank == 0:
        print(*everyone.max(axis=0), everyone[:, -1].mean(), flush=True)


def run(name: str, folder: str, comm: object, seconds: dict[str, float]) -> None:
    last = perf_counter()

    def until(what: str) -> None:
        nonlocal last
        comm.Barrier()
        seconds[what], last = perf_counter() - last, perf_counter()

    from pathlib import Path

    from mpidbo import config
    from mpidbo.solver import loop as runner
    from mpidbo.solver import plan
    from mpidbo.storage import Checkpoints, Snapshot

    until("import")
    method = (
        {"name": "sparkle", "lower": "ed", "upper": "ed"}
        if name != "centralized"
        else {"name": "soba"}
    )
    checked = config.check(
        {
            "problem": {"name": "quadratic", "p": 100, "q": 100},
            "method": method,
            "run": {"agents": AGENTS},
            "topology": {"name": name} if name != "centralized" else {"name": "ring"},
        }
    )
    with plan.Plan(checked, comm if comm.size > 1 else None) as made:
        loop, state = runner.Loop(made.method, made.oracle, made.W), made.method.start(*made.rows())
        until("plan")
        state = loop.steps(state, 0, 1)
        until("first step")
        state = loop.steps(state, 1, 1 + STEPS)
        until("a step")
        seconds["a step"] /= STEPS
        history = {f"column{i}": list(map(float, range(1000))) for i in range(20)}
        checkpoints = Checkpoints(
            Path(folder), made.agents, keep=1, topologies={}, tables=made.config.tables()
        )
        checkpoints.begin(Snapshot(1 + STEPS, state, {}, history))
        checkpoints.writing.advance(wait=True)
        until("checkpoint")
        snapshot, wrong = checkpoints.newest(state)
        until("restart")
        assert (
            not wrong
            and snapshot.history == history
            and all(map(np.array_equal, snapshot.state[:3], state[:3]))
        )


def main(wanted: list[str]) -> int:
    from tempfile import TemporaryDirectory

    from run import mpiexec

    for ranks in RANKS:
        bare = 0.0
        for name in ("bare", *(wanted or TOPOLOGIES)):
            with TemporaryDirectory() as folder:
                done = mpiexec(
                    ranks,
                    __file__,
                    "--job",
                    name,
                    folder,
                    timeout=300,
                    text=True,
                    capture_output=True,
                )
            if done.returncode:
                print(
                    f"(f) {name} on {ranks} ranks: exit code {done.returncode}\n"
                    f"{done.stderr[-3000:]}"
                )
                return done.returncode
            *seconds, largest, mean = map(float, done.stdout.split())
            if name == "bare":
                bare = mean
                print(f"(f) {ranks:>2} ranks, bare: {mean:.0f} MB a rank", flush=True)
            else:
                times = ", ".join(
                    f"{what} {value:.3f}" for what, value in zip(TIMES, seconds, strict=True)
                )
                print(
                    f"(f) {ranks:>2} ranks, {name}: seconds: {times}; "
                    f"MB above bare: largest {largest - bare:.1f}, mean {mean - bare:.1f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        job(*sys.argv[2:])
    else:
        sys.exit(main(sys.argv[1:]))

"""Many ranks and many agents: a rank opens and keeps what its own agents need, not what all do."""

import signal
import tracemalloc

import numpy as np
import pytest

from mpidbo import Problem, solve
from mpidbo.network import make
from support import MPI, SLOW
from support.runs import QUADRATIC, kept, run, same, toml

SCRIPT = MPI / "many_ranks.py"


@pytest.mark.long
def test_what_a_rank_opens(mpi, tmp_path):
    """Rank 0 alone opens manifest, history, W and result; a rank file is opened where its agents
    are, or verified."""
    np.save(tmp_path / "W.npy", make("ring", 8).W.toarray())
    path = toml(tmp_path, {**QUADRATIC, "run.agents": 8, "topology.file": str(tmp_path / "W.npy")})
    run(path, tmp_path / "whole")
    for ranks, iterations in ((4, 17), (3, 31)):
        done = mpi(
            ranks,
            [
                SCRIPT,
                tmp_path,
                "run",
                path,
                "--out",
                tmp_path / "out",
                "--set",
                f"run.iterations={iterations}",
            ],
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "resuming from iteration 17" in done.stdout and same(
        tmp_path / "whole", tmp_path / "out"
    )
    opened = [(tmp_path / str(rank)).read_text().splitlines() for rank in range(3)]
    there = [
        [
            line.removeprefix("out/checkpoints/17/")
            for line in lines
            if line.startswith("out/checkpoints/17/")
        ]
        for lines in opened
    ]
    assert [sorted(names) for names in there] == [
        ["agents-0-1.h5", "history.h5", "manifest.json"],
        ["agents-2-3.h5", "agents-4-5.h5"],
        ["agents-4-5.h5", "agents-6-7.h5"],
    ]
    for lines in opened[1:]:
        own = {
            "a.toml",
            "out",
            "out/config.toml",
            *(line for line in lines if "/agents-" in line or "/.agents-" in line),
        }
        assert set(lines) == own, "networkx, W.npy, history and result are for rank 0"
    assert {"W.npy", "out/.result.h5.part"} <= set(opened[0])


class Tiny(Problem):
    """f = (|x|^2 + |y|^2)/2 and g = |y|^2/2, in one dimension each."""

    dims = (1, 1)

    def f(self, x, y, sample):
        return float(x @ x + y @ y) / 2

    def g(self, x, y, sample):
        return float(y @ y) / 2

    def f_x(self, x, y, sample):
        return x

    def f_y(self, x, y, sample):
        return y

    def g_y(self, x, y, sample):
        return y

    def g_yy(self, x, y, v, sample):
        return v

    def g_xy(self, x, y, v, sample):
        return np.zeros_like(x)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sparkle-ed", "soba"])
def test_no_array_of_n_times_n(method):
    """A quarter of such an array of floats would show beside the agents themselves, some 5 kB
    each."""
    n = 3000
    tracemalloc.start()
    try:
        solve(Tiny, method, "ring", agents=n, iterations=2, evaluate_every=2)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * n * n, f"{most / 1e6:.1f} MB"


@pytest.mark.slow
@pytest.mark.timeout(780)
def test_64_ranks_are_stopped_and_go_on_as_64_and_as_5(mpi, tmp_path):
    """Ranks 3, 6 and 63 get SIGUSR1 in iteration 33; each rank has one agent and writes one
    file."""
    path = toml(
        tmp_path,
        {
            **QUADRATIC,
            "problem.name": f"{SLOW}:Slow",
            "run.agents": 64,
            "run.iterations": 44,
            "run.evaluate_every": 11,
            "checkpoint.every": 30,
            "method.name": "sparkle-ed-gt",
            "topology.name": "exponential",
        },
    )
    run(path, tmp_path / "whole")
    words = ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"]
    done = mpi(
        64,
        words,
        env={"MPIDBO_TEST_ASK": "63", "MPIDBO_TEST_SIGNAL": str(int(signal.SIGUSR1))},
        timeout=250,
    )
    assert done.returncode == 85, done.stdout + done.stderr
    assert kept(tmp_path / "out")[-1] in (34, 35, 36)
    for ranks, iterations in ((64, 39), (5, 44)):
        done = mpi(
            ranks,
            [*words, "--resume", "must", "--set", f"run.iterations={iterations}"],
            timeout=250,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert same(tmp_path / "whole", tmp_path / "out")
    assert [
        len(list((tmp_path / "out" / "checkpoints" / str(k)).glob("agents-*.h5"))) for k in (39, 44)
    ] == [64, 5]

"""No silent hang: a rank that falls silent ends the job with exit code 4 and its name; the same
command resumes."""

import json
import os
import re
import threading
import time
from pathlib import Path

import pytest

from mpidbo.solver import position
from support import SLOW
from support.runs import QUADRATIC, kept, run, same, toml

TABLES = {
    **QUADRATIC,
    "problem.name": f"{SLOW}:Slow",
    "run.agents": 6,
    "run.iterations": 60,
    "checkpoint.every": 7,
    "run.stall_timeout": 5,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the run that nothing holds up."""
    folder = tmp_path_factory.mktemp("whole")
    run(toml(folder, TABLES), folder / "out")
    return folder / "out"


def stalled(mpi, folder, **env):
    """The sentence of a run on 6 ranks that ends with exit code 4, and leaves none of its
    processes behind."""
    (folder / "pids").mkdir()
    done = mpi(
        6,
        ["-m", "mpidbo", "run", toml(folder, TABLES), "--out", folder / "out"],
        env={"MPIDBO_TEST_PIDS": str(folder / "pids"), **env},
    )
    assert done.returncode == 4 and "Traceback" not in done.stderr, done.stdout + done.stderr
    limit = time.monotonic() + 20
    while left := [
        path.name for path in (folder / "pids").iterdir() if Path("/proc", path.name).exists()
    ]:
        assert time.monotonic() < limit, f"left behind: {left}"
        time.sleep(0.1)
    found = re.search(r"rank \d: mpidbo: (stalled: no exchange completed for 5 s: .*)", done.stderr)
    assert found, done.stderr
    return found[1]


@pytest.mark.parametrize(
    "silent",
    [
        pytest.param({3}, marks=pytest.mark.long),
        pytest.param({0}, marks=pytest.mark.slow),
        pytest.param({1, 4}, marks=pytest.mark.slow),
    ],
)
def test_silent_ranks_are_named_and_the_job_ends(mpi, silent, whole, tmp_path, capsys):
    printed, out = stalled(mpi, tmp_path, MPIDBO_TEST_SILENT=str(silent)), tmp_path / "out"
    named = re.search(
        r": (rank.*) gave no sign; rank (\d) \(.+\) waits at iteration 33, level y;", printed
    )
    assert named and {*map(int, re.findall(r"rank (\d)", named[1]))} == silent, printed
    assert any((int(named[2]) - rank) % 6 in (1, 5) for rank in silent), (
        "a neighbour of the silent waits"
    )
    complete = (k for k in kept(out) if (out / "checkpoints" / str(k) / "manifest.json").exists())
    last = max(
        complete
    )  # the thread that was writing the one of 28 may have been stopped with its rank
    assert (
        last in (21, 28)
        and (
            f"the newest complete checkpoint is of iteration {last} (not verified), and the same "
            f"command"
        )
        in printed
    )
    notes = {json.loads(note.read_text())["rank"] for note in (out / "stall").iterdir()}
    assert notes >= {*range(6)} - silent  # a launcher may wake the others to end them
    capsys.readouterr()
    run(toml(tmp_path, TABLES), out)
    assert f"resuming from iteration {last}\n" in capsys.readouterr().out and same(whole, out)


@pytest.mark.long
def test_a_busy_rank_is_told_from_a_silent_one(mpi, tmp_path):
    printed = stalled(mpi, tmp_path, MPIDBO_TEST_BUSY="2")
    assert re.search(
        r": rank 2 \(.+\) is busy at slow_quadratic.py, line \d+: time.sleep\(1\); rank [13] \(",
        printed,
    ), printed
    assert printed.endswith("if a rank may take so long, raise run.stall_timeout")


@pytest.mark.slow
@pytest.mark.parametrize("shortest", [0, 1 << 30])
def test_without_a_folder_a_rank_tells_for_whom_it_waits(mpi, repo, shortest):
    """Also where rows are in memory that ranks share."""
    code = (
        f"from mpidbo.network import shared\nshared.MIN_SHARED_WIDTH = {shortest}\n"
        "from mpidbo import cli, solve\nfrom support.slow_quadratic import Slow\n"
        "solve(Slow, agents=6, iterations=60, comm=cli.comm_world(), stall_timeout=5)"
    )
    done = mpi(6, ["-c", code], env={"MPIDBO_TEST_SILENT": "3", "PYTHONPATH": str(repo / "tests")})
    assert done.returncode == 4, done.stdout + done.stderr
    assert re.search(
        r"rank 2 waits for rank 1 \(.+\) and rank 3 \(.+\) at iteration 33, level y; if a rank",
        done.stderr,
    ), done.stderr


@pytest.mark.slow
def test_a_rank_that_comes_back_in_time_is_none_the_worse(mpi, whole, tmp_path):
    """Computing is not waiting, and who is late by less than the limit is not silent; 0 switches
    the watch off."""
    for timeout in (30, 0):
        out = tmp_path / f"out{timeout}"
        done = mpi(
            3,
            [
                "-m",
                "mpidbo",
                "run",
                toml(tmp_path, TABLES),
                "--out",
                out,
                "--set",
                f"run.stall_timeout={timeout}",
            ],
            env={"MPIDBO_TEST_DRAW": "0.003"},
        )
        assert done.returncode == 0 and not (out / "stall").exists() and same(whole, out)


# From the first collective on, without a folder

LATE = """
import sys, time
from mpi4py import MPI
from mpidbo import cli, solve
from support.slow_quadratic import Slow
what, comm = sys.argv[1], MPI.COMM_WORLD
if what == "raise" and comm.rank == 1:
    raise ZeroDivisionError("before solve")
if what == "leave" and comm.rank > 0:
    sys.exit()
if what == "leave first" and comm.rank == 0:
    sys.exit()
if what == "twice":
    solve("quadratic", agents=4, iterations=5, comm=comm, stall_timeout=2)
    if comm.rank == 0:
        sys.exit()
if what == "sleep":
    class Slow(Slow):
        def __init__(self, agent, n_agents, **options):
            super().__init__(agent, n_agents, **options)
            if agent == n_agents - 1:
                time.sleep(600)
if what == "solver" and comm.rank == 0:
    import scipy.optimize
    scipy.optimize.minimize = lambda *_, **__: time.sleep(600)
metrics = ["hypergradient_norm"] if what == "solver" else []
solve(Slow, agents=4, iterations=5, comm=comm, stall_timeout=2, metrics=metrics)
"""


def with_tests(repo):
    """An environment in which slow_quadratic is imported."""
    return {"PYTHONPATH": os.pathsep.join([str(repo / "tests"), os.environ.get("PYTHONPATH", "")])}


WAITS = (
    r"rank {} \(.+\) waits for {} to call solve; call it on every rank, and start scripts with "
    r"python -m mpi4py, which ends the job"
)
STARTS = {
    "raise": (2, [WAITS.format(0, "rank 1"), "ZeroDivisionError: before solve"]),
    "leave": (3, [WAITS.format(0, "rank 1 and rank 2")]),
    "leave first": (2, [WAITS.format(1, "rank 0")]),
    "twice": (2, [WAITS.format(1, "rank 0")]),
    "sleep": (
        2,
        [
            r"rank 1: mpidbo: busy for 2 s at .+time\.sleep\(600\)",
            (
                r"rank 0 \(.+\) waits for rank 1 at the start of solve, setup\.py, line \d+: with "
                r"agreed\("
            ),
        ],
    ),
    "solver": (
        2,
        [
            r"rank 0: mpidbo: busy for 2 s at .+time\.sleep\(600\)",
            r"rank 1 waits for rank 0 \(.+\) at iteration 0, averages\.py, line \d+: bcast",
        ],
    ),
}


@pytest.mark.parametrize(
    "what",
    ["raise", *(pytest.param(what, marks=pytest.mark.slow) for what in STARTS if what != "raise")],
)
def test_a_rank_that_does_not_come_ends_the_job(what, mpi, repo, tmp_path):
    """Not to `solve`, not out of its problem's constructor, not out of a solver of scipy whose
    questions the others answer."""
    ranks, sentences = STARTS[what]
    (tmp_path / "late.py").write_text(LATE)
    done = mpi(ranks, [tmp_path / "late.py", what], env=with_tests(repo))
    assert done.returncode == 4, done.stdout + done.stderr
    for sentence in sentences:
        assert re.search(sentence, done.stderr), done.stderr
    assert (
        done.stderr.count("stalled: no exchange completed for 2 s") == 1
        and "raise run.stall_timeout" in done.stderr
    )


@pytest.mark.slow
def test_a_command_that_one_rank_does_not_start(mpi, tmp_path):
    """`mpidbo run`, `compare` and `reproduce`, where rank 1 does something else."""
    tables = {**QUADRATIC, "run.stall_timeout": 2}
    code = (
        "import sys, time; from mpidbo import cli; comm = cli.comm_world(); "
        "sys.exit(time.sleep(60) if comm.rank else cli.main(sys.argv[1:]))"
    )
    for command, more in (("run", {}), ("compare", {"study.seeds": 2})):
        config = toml(tmp_path, tables | more)
        done = mpi(2, ["-c", code, command, config, "--out", tmp_path / "out"])
        assert (
            done.returncode == 4 and f"waits for rank 1 to call mpidbo {command}; " in done.stderr
        ), done.stderr
    assert not (tmp_path / "out").exists()


def test_a_start_that_takes_its_time_is_none_the_worse(mpi, repo):
    """Ranks that come late by less than the limit, and one that makes its problem for longer
    than the others."""
    code = (
        "import time\nfrom mpidbo import cli, solve\nfrom support.slow_quadratic import Slow\ncomm "
        "= cli.comm_world()\n"
        "class Late(Slow):\n    def __init__(self, *a, **k):\n        super().__init__(*a, **k)\n  "
        "      time.sleep(self.agent)\n"
        "time.sleep(comm.rank)\nprint(solve(Late, agents=2, iterations=3, comm=comm, "
        "stall_timeout=20).iteration)"
    )
    done = mpi(2, ["-c", code], env=with_tests(repo))
    assert (
        done.returncode == 0 and done.stdout.split() == ["3", "3"] and "mpidbo" not in done.stderr
    ), done.stdout + done.stderr


def test_a_cache_of_lines_that_another_thread_changes_does_not_end_the_watch(monkeypatch):
    def getline(*_):
        raise TypeError("'<=' not supported between instances of 'int' and 'NoneType'")

    monkeypatch.setattr(position, "getline", getline)
    assert "line" in position.position(threading.get_ident())

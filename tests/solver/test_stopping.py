"""Stopping well: a signal to any rank, or the clock, ends all ranks with 85 and a checkpoint
from which the same command continues."""

import math
import os
import re
import signal
import subprocess
import time
import uuid

import pytest

import mpidbo
from mpidbo import cli
from mpidbo.solver.stopping import Stopping
from mpidbo.storage import files
from support import SLOW, launch
from support.runs import QUADRATIC, kept, run, same, toml

TABLES = {
    **QUADRATIC,
    "problem.name": f"{SLOW}:Slow",
    "checkpoint.every": 0,
    "run.iterations": 400,
    "run.evaluate_every": 50,
}
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    run(toml(folder, TABLES), folder / "out")
    return folder / "out"


def signalled(folder, path, ranks, number, to):
    """What a launched run says and returns after a signal to the processes `to(ids of the ranks,
    id of the launcher)`."""
    pids, mark = folder / "pids", uuid.uuid4().hex
    pids.mkdir()
    env = launch.environment(
        {launch.MARK: mark, "MPIDBO_TEST_PIDS": str(pids), "MPIDBO_TEST_DRAW": "0.004", **ROOT}
    )
    line = launch.command(ranks, ["-m", "mpidbo", "run", path, "--out", folder / "out"])
    with subprocess.Popen(
        line,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            limit = time.monotonic() + 60
            while len(ids := sorted(int(file.name) for file in pids.iterdir())) < (ranks or 1):
                assert process.poll() is None and time.monotonic() < limit, process.communicate()
                time.sleep(0.02)
            for pid in to(ids, process.pid):
                os.kill(pid, number)
            out, err = process.communicate(timeout=30)
        except BaseException:
            launch.end(process, mark)
            raise
    return out, err, process.returncode


SOME = {
    "one": lambda ids, launcher: ids[1:2],
    "all": lambda ids, launcher: ids,
    "launcher": lambda ids, launcher: [launcher],
}


@pytest.mark.parametrize(
    ("ranks", "number", "to"),
    [
        (None, signal.SIGTERM, "all"),
        (4, signal.SIGTERM, "one"),
        pytest.param(4, signal.SIGUSR1, "all", marks=pytest.mark.long),
        pytest.param(3, signal.SIGUSR1, "launcher", marks=pytest.mark.long),
        pytest.param(4, signal.SIGUSR1, "one", marks=pytest.mark.slow),
        pytest.param(4, signal.SIGTERM, "all", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_all_ranks_and_the_same_command_goes_on(
    mpi, ranks, number, to, whole, tmp_path, capsys
):
    path, out = toml(tmp_path, TABLES), tmp_path / "out"
    printed, err, code = signalled(tmp_path, path, ranks, number, SOME[to])
    # Of a signal to all ranks some may have noted it an iteration before others: these are named.
    where = " on rank 1" if ranks and to == "one" else "( on rank.*)?" if ranks else ""
    assert code == 85 and re.search(rf"\(stopped on request: {number.name}{where}\)", printed), (
        printed + err
    )
    assert "Traceback" not in err, printed + err
    (at,) = kept(out)
    assert 0 < at < 400 and not (out / files.DONE).exists() and not (out / files.RESULT).exists()
    run(path, out)
    assert f"resuming from iteration {at}\n" in capsys.readouterr().out and same(whole, out)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=["TERM", "USR1"])
@pytest.mark.parametrize("asking", ["5", "01234567"], ids=["one", "all"])
def test_8_ranks_stop_within_three_iterations(mpi, number, asking, tmp_path):
    """The signal comes in iteration 33; the ranks start to agree when it is done, and know when
    the next one is."""
    path, out = toml(tmp_path, TABLES | {"run.agents": 8}), tmp_path / "out"
    env = {
        "MPIDBO_TEST_DRAW": "0.005",
        "MPIDBO_TEST_ASK": asking,
        "MPIDBO_TEST_SIGNAL": str(int(number)),
    }
    done = mpi(8, ["-m", "mpidbo", "run", path, "--out", out], env=env)
    where = " on rank 5" if asking == "5" else ""
    assert done.returncode == 85 and f"stopped on request: {number.name}{where})" in done.stdout, (
        done.stdout + done.stderr
    )
    assert kept(out)[0] in (34, 35, 36)
    run(path, tmp_path / "whole")
    run(path, out, "--resume", "must")
    assert same(tmp_path / "whole", out)


def test_many_signals_are_one(whole, tmp_path):
    path = toml(tmp_path, TABLES)
    _, _, code = signalled(tmp_path, path, None, signal.SIGTERM, lambda ids, launcher: 20 * ids)
    assert code == 85
    run(path, tmp_path / "out")
    assert same(whole, tmp_path / "out")


def test_signals_are_the_callers_again_afterwards(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    run(toml(tmp_path, {**TABLES, "run.iterations": 3}), tmp_path / "out")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before


def test_max_seconds(whole, tmp_path, monkeypatch, capsys):
    path, out = toml(tmp_path, TABLES), tmp_path / "out"
    monkeypatch.setenv("MPIDBO_TEST_DRAW", "0.002")
    for _ in range(2):
        run(path, out, code=85, run__max_seconds=0.3)
        assert "(stopped on request: run.max_seconds = 0.3)\n" in capsys.readouterr().out
    assert len(kept(out)) == 2
    monkeypatch.delenv("MPIDBO_TEST_DRAW")
    run(path, out)
    assert same(whole, out)


def test_show_names_the_cause(whole, tmp_path, monkeypatch, capsys):
    """Until the run is resumed, and also where an earlier, shorter one of it had finished."""
    path, out = toml(tmp_path, TABLES), tmp_path / "out"

    def state():
        capsys.readouterr()
        assert cli.main(["show", str(out)]) == 0
        return capsys.readouterr().out.splitlines()[0].removeprefix(f"{out}: ")

    monkeypatch.setenv("MPIDBO_TEST_DRAW", "0.002")
    run(path, out, code=85, run__max_seconds=0.3)
    (at,) = kept(out)
    assert state() == f"stopped on request: run.max_seconds = 0.3; seen at iteration {at}"
    monkeypatch.delenv("MPIDBO_TEST_DRAW")
    run(path, out)
    assert state() == "finished, 400 iterations" and same(whole, out)
    monkeypatch.setenv("MPIDBO_TEST_DRAW", "0.002")
    run(path, out, code=85, run__max_seconds=0.3, run__iterations=10_000)
    assert state() == "400 iterations, not finished; stopped on request: run.max_seconds = 0.3"


@pytest.mark.parametrize(
    ("left", "ahead"), [(3600, 120), (480, 120), (240, 60), (60, 15), (2, 0.5)]
)
def test_how_long_before_the_end_of_a_slurm_job(left, ahead, monkeypatch):
    """A short job, too, gets most of its time, and every requeue of it gets further."""
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + left))
    assert abs(Stopping(None).deadline - time.monotonic() - (left - ahead)) < 1


NO_END = [
    "unknown",
    "0",
    "-5",
    "1600000000",
    "nan",
    "inf",
    "1e30",
    "99999999999999",
    "x" * 5000,
    "\N{ARABIC-INDIC DIGIT THREE}",
    "2026-01-01",
]


@pytest.mark.parametrize("text", NO_END)
def test_what_is_no_end_of_a_slurm_job_is_ignored(text, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", text)
    with pytest.warns(
        UserWarning,
        match=(
            "^SLURM_JOB_END_TIME = .{1,60} is not a time at which this job can end, so it is "
            "ignored"
        ),
    ) as printed:
        assert Stopping(None).deadline == math.inf
    assert len(printed) == 1 and len(str(printed[0].message)) < 200


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_end_of_a_slurm_job(text, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", text)
    assert Stopping(None).deadline == math.inf


@pytest.mark.filterwarnings("always:SLURM_JOB_END_TIME")
@pytest.mark.parametrize(("left", "code"), [(1.2, 85), (-100, 0), (1e6, 0), (None, 0)])
def test_the_end_of_a_slurm_job(left, code, whole, tmp_path, monkeypatch, capsys):
    path, out = toml(tmp_path, TABLES), tmp_path / "out"
    monkeypatch.setenv("SLURM_JOB_END_TIME", "unknown" if left is None else str(time.time() + left))
    monkeypatch.setenv("MPIDBO_TEST_DRAW", "0.002" if code else "0")
    run(path, out, code=code)
    printed = capsys.readouterr()
    assert bool(code) != (out / files.DONE).exists() and bool(code) == (
        "(stopped on request: the Slurm job ends at 20" in printed.out
    )
    assert printed.err.count("mpidbo: warning: SLURM_JOB_END_TIME") == (left is None or left < 0)
    monkeypatch.delenv("SLURM_JOB_END_TIME")
    monkeypatch.delenv("MPIDBO_TEST_DRAW")
    run(path, out)
    assert same(whole, out)


@pytest.mark.long
def test_one_rank_whose_clock_has_run_out(mpi, whole, tmp_path):
    """All ranks stop after the same iteration, whoever knew."""
    path, out = toml(tmp_path, TABLES), tmp_path / "out"
    code = (
        "import sys, time\nfrom mpidbo import cli; from mpidbo.solver import stopping\n"
        "if cli.comm_world().rank == 2:\n    stopping.job_end = lambda: time.time() + 0.1\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    done = mpi(3, ["-c", code, "run", path, "--out", out], env={"MPIDBO_TEST_DRAW": "0.001"})
    assert done.returncode == 85 and "stopped on request: the Slurm job ends at" in done.stdout, (
        done.stdout + done.stderr
    )
    assert len(kept(out)) == 1
    run(path, out)
    assert same(whole, out)


def test_requests_to_stop_are_read_at_the_next_look(monkeypatch):
    """The end of the context waits for them, so that it is only where the caller's code runs."""
    ends = []
    end = Stopping.__exit__
    monkeypatch.setattr(Stopping, "__exit__", lambda *it: (ends.append(1), end(*it))[1])
    result = mpidbo.solve("quadratic", agents=2, iterations=40, evaluate_every=20)
    assert len(ends) == len(result.history["iteration"])

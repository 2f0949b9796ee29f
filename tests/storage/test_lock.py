"""One run at a time in a folder: a second is refused while the first lives, and starts once that
is dead, here or elsewhere."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import mpidbo
from mpidbo.storage import files, lock
from support import SLOW, launch
from support.runs import QUADRATIC, kept, run, same, toml

TABLES = {
    **QUADRATIC,
    "problem.name": f"{SLOW}:Slow",
    "run.iterations": 4000,
    "run.evaluate_every": 1,
    "checkpoint.every": 1,
}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    monkeypatch.setattr(lock, "GRACE_S", 0.2)


@pytest.fixture
def path(tmp_path):
    return toml(tmp_path, QUADRATIC)


@pytest.fixture
def started(tmp_path):
    """A function: a run in another process, which has written its first checkpoint."""
    processes = []

    def start(
        out,
        ranks=None,
        code="from mpidbo import cli; import sys; sys.exit(cli.main(sys.argv[1:]))",
        until="checkpoints/*/manifest.json",
        **sets,
    ):
        path = toml(tmp_path, TABLES | sets, "slow.toml")
        line = launch.command(ranks, ["-c", code, "run", path, "--out", out])
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        process = subprocess.Popen(
            line,
            env=launch.environment(root),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        limit = time.monotonic() + 60
        while not list(out.glob(until)):
            assert process.poll() is None and time.monotonic() < limit, process.communicate()
            time.sleep(0.02)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "words",
    [
        ["--resume", "never"],
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in ([], ["--resume", "must"], ["--set", "run.iterations=5000"])
        ),
    ],
)
def test_a_second_run_is_refused_while_the_first_lives(words, started, tmp_path, capsys):
    first = started(tmp_path / "out")
    run(tmp_path / "slow.toml", tmp_path / "out", *words, code=2)
    printed = capsys.readouterr().err
    assert f"{tmp_path / 'out'} is in use by another run, process {first.pid} on " in printed
    first.terminate()
    assert (
        first.wait(60) == 85
        and not (tmp_path / "out.1").exists()
        and not (tmp_path / "out" / lock.LOCK).exists()
    )


def test_another_runs_config_does_not_get_in(started, path, tmp_path, capsys):
    first = started(tmp_path / "out")
    run(path, tmp_path / "out", "--resume", "never", code=2)
    assert "is in use by" in capsys.readouterr().err
    first.terminate()
    assert first.wait(60) == 85 and "Slow" in (tmp_path / "out" / files.CONFIG).read_text()


@pytest.mark.parametrize("resume", ["auto", "never"])
def test_a_killed_run_leaves_no_lock(resume, started, tmp_path, capsys):
    """Not even while its parent has not asked for its exit code."""
    first = started(tmp_path / "out")
    os.kill(first.pid, signal.SIGKILL)
    while lock._started(first.pid):
        time.sleep(0.01)
    assert (tmp_path / "out" / lock.LOCK).exists()
    run(
        tmp_path / "slow.toml",
        tmp_path / "out",
        "--resume",
        resume,
        run__iterations=max(kept(tmp_path / "out")) + 3,
    )
    assert ("resuming from" in capsys.readouterr().out) == (resume == "auto")


@pytest.mark.slow
def test_a_process_that_forked_leaves_no_lock(started, tmp_path):
    """A child that lives on has the file open, and with it the lock of flock."""
    fork = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\n"
    code = (
        "import sys\nfrom mpidbo import cli; from mpidbo.solver import folder\nusual = "
        "folder.Folder._take\n"
        f"def take(*args):\n    found = usual(*args)\n    exec({fork!r})\n    return found\n"
        "folder.Folder._take = take\nsys.exit(cli.main(sys.argv[1:]))"
    )
    first = started(tmp_path / "out", code=code)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    first.kill()
    try:
        with open(tmp_path / "out" / lock.LOCK) as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run(
            tmp_path / "slow.toml",
            tmp_path / "out",
            run__iterations=max(kept(tmp_path / "out")) + 3,
        )
    finally:
        for child in children:
            os.kill(int(child), signal.SIGKILL)


# another machine, another container


def foreign(out, silent=0.0, **holder):
    """A lock as another process would have left it, so many seconds ago."""
    out.mkdir(exist_ok=True)
    me = vars(lock.Holder.of_this_process(flock=True))
    (out / lock.LOCK).write_text(
        json.dumps({**me, "host": "n7", "pid": 77, "machine": "another", **holder})
    )
    then = time.time() - silent
    os.utime(out / lock.LOCK, (then, then))


def test_another_machines_lock_is_waited_for(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lock, "DEAD_S", 2.0)
    foreign(tmp_path / "out", silent=-60)
    began = time.monotonic()
    run(path, tmp_path / "out")
    assert time.monotonic() - began > 1.5
    printed = capsys.readouterr().out
    assert (
        "another run, process 77 on n7 gave its last sign of life 0 s ago; unless it gives "
        "another, this run starts in 2 s"
    ) in printed
    assert printed.count("n7") == 1


@pytest.mark.slow
def test_ranks_wait_for_another_machines_lock_and_do_not_stall(mpi, path, tmp_path):
    foreign(tmp_path / "out", silent=-60)  # however long the ranks take to start
    code = (
        "import sys\nfrom mpidbo import cli; from mpidbo.storage import lock\nlock.DEAD_S = "
        "8.0\nsys.exit(cli.main(sys.argv[1:]))"
    )
    done = mpi(
        3, ["-c", code, "run", path, "--out", tmp_path / "out", "--set", "run.stall_timeout=4"]
    )
    assert done.returncode == 0 and done.stdout.count("sign of life") == 1, (
        done.stdout + done.stderr
    )


def test_a_signal_ends_the_wait(path, tmp_path):
    foreign(tmp_path / "out")
    line = launch.command(None, ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"])
    with subprocess.Popen(
        line, env=launch.environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert "sign of life" in process.stdout.readline()
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 85 and "Traceback" not in err
    assert json.loads((tmp_path / "out" / lock.LOCK).read_text())["host"] == "n7"


@pytest.mark.parametrize("clock", [0.0, 86400.0, -86400.0])
def test_an_old_lock_of_another_machine_is_dead(clock, path, tmp_path, monkeypatch, capsys):
    """By the clock of the file system, whatever the one of this machine says."""
    foreign(tmp_path / "out", silent=lock.DEAD_S + 1)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + clock)
    run(path, tmp_path / "out")
    assert "sign of life" not in capsys.readouterr().out


def test_a_sign_of_life_refuses(path, tmp_path, monkeypatch, capsys):
    out, attempts, usual = tmp_path / "out", [], lock.Claim.attempt

    def attempt(self):
        attempts.append(self)
        if len(attempts) == 3:
            os.utime(out / lock.LOCK)
        return usual(self)

    monkeypatch.setattr(lock.Claim, "attempt", attempt)
    monkeypatch.setattr("mpidbo.solver.folder.POLL_INTERVAL_S", 0.05)
    foreign(out, silent=30)
    run(path, out, code=2)
    assert (
        "in use by another run, process 77 on n7" in capsys.readouterr().err and len(attempts) == 3
    )
    assert [item.name for item in out.iterdir()] == [lock.LOCK]


def test_a_container_of_this_machine_holds_by_flock(path, tmp_path, capsys):
    """There the number of its process means nothing here."""
    out = tmp_path / "out"
    foreign(out, machine=lock._machine(), namespace="pid:[1]", silent=1000)
    with open(out / lock.LOCK) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run(path, out, code=2)
        assert "in use by" in capsys.readouterr().err
    run(path, out)


def test_where_there_are_no_locks(started, path, tmp_path, monkeypatch, capsys):
    """flock fails with ENOLCK on some network file systems: processes of this machine are told
    by number and start."""

    def flock(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    first = started(
        tmp_path / "out",
        code="import fcntl, sys\ndef flock(*args):\n    raise OSError(37, 'No locks available')\n"
        "fcntl.flock = flock\nfrom mpidbo import cli\nsys.exit(cli.main(sys.argv[1:]))",
    )
    run(tmp_path / "slow.toml", tmp_path / "out", code=2)
    assert "in use by" in capsys.readouterr().err
    first.kill()
    first.communicate()
    run(tmp_path / "slow.toml", tmp_path / "out", run__iterations=max(kept(tmp_path / "out")) + 3)
    foreign(
        tmp_path / "other", pid=os.getpid(), machine=lock._machine(), started="1", flock=False
    )  # its number was given again
    run(path, tmp_path / "other")


def test_a_disk_without_room_for_a_lock(path, tmp_path, monkeypatch, capsys):
    def write(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        run(path, tmp_path / "out", code=2)
    assert "No space left on device" in capsys.readouterr().err
    run(path, tmp_path / "out")


def test_the_heartbeat(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    place = lock.Claim(tmp_path).attempt()
    os.utime(tmp_path / lock.LOCK, (0, 0))
    limit = time.monotonic() + 30
    while os.stat(tmp_path / lock.LOCK).st_mtime < 1 and time.monotonic() < limit:
        time.sleep(0.01)
    assert os.stat(tmp_path / lock.LOCK).st_mtime > 1 and not place.lost
    with pytest.raises(mpidbo.UserError, match="in use by another run"):
        lock.Claim(tmp_path).attempt()
    place.release()
    assert not list(tmp_path.iterdir())


# the folder goes while the run writes to it


def replaced(out):
    """By another folder with a finished run."""
    shutil.move(out, out.with_name("out.1"))
    shutil.copytree(out.with_name("other"), out)


def taken(out):
    """By a process elsewhere, after this one was suspended for too long."""
    (out / lock.LOCK).unlink()
    foreign(out)


AWAY = {
    "renamed": lambda out: out.rename(out.with_name("out.1")),
    "deleted": shutil.rmtree,
    "replaced": replaced,
    "taken": taken,
}


@pytest.mark.parametrize(
    ("what", "ranks"),
    [
        ("replaced", None),
        *(
            pytest.param(what, ranks, marks=pytest.mark.slow)
            for what in AWAY
            for ranks in (None, 2)
            if (what, ranks) != ("replaced", None)
        ),
    ],
)
def test_a_run_whose_folder_goes_stops(what, ranks, started, path, tmp_path):
    out = tmp_path / "out"
    run(path, tmp_path / "other")
    first = started(out, ranks)
    while True:
        try:
            AWAY[what](out)
            break
        except OSError:  # written to meanwhile
            continue
    before = (
        {item: item.stat().st_mtime_ns for item in out.rglob("*")} if what == "replaced" else {}
    )
    _, err = first.communicate(timeout=60)
    assert first.returncode == 2 and "Traceback" not in err, err
    words = {
        "taken": f"{out}: was taken by another run",
        "deleted": str(out),
    }  # a file may be deleted before its folder
    assert words.get(what, f"{out}: was moved, removed or replaced") in err
    if what == "taken":
        assert json.loads((out / lock.LOCK).read_text())["host"] == "n7"
    elif what != "deleted":
        assert {item: item.stat().st_mtime_ns for item in out.rglob("*")} == before
        run(
            tmp_path / "slow.toml",
            tmp_path / "out.1",
            run__iterations=max(kept(tmp_path / "out.1")),
        )


def test_the_heartbeat_stops_a_run_that_writes_seldom(started, tmp_path):
    code = (
        "import sys\nfrom mpidbo import cli; from mpidbo.storage import lock\nlock.BEAT_S = "
        "0.1\nsys.exit(cli.main(sys.argv[1:]))"
    )
    first = started(
        tmp_path / "out",
        code=code,
        until=files.CONFIG,
        **{"run.iterations": 10**9, "run.evaluate_every": 10**9, "checkpoint.every": 0},
    )
    (tmp_path / "out").rename(tmp_path / "out.1")
    _, err = first.communicate(timeout=60)
    assert (
        first.returncode == 2
        and "moved, removed or replaced" in err
        and not (tmp_path / "out").exists()
    )


@pytest.mark.slow
def test_two_starts_at_once(tmp_path):
    """One of them runs, the other is refused, or finds it finished."""
    path = toml(tmp_path, {**TABLES, "run.iterations": 40})
    line = launch.command(None, ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"])
    both = [
        subprocess.Popen(
            line,
            env=launch.environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in "ab"
    ]
    printed = [process.communicate(timeout=100) for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 2], [0, 0]) and "Traceback" not in printed[0][1] + printed[1][1], printed
    run(path, tmp_path / "whole")
    assert same(tmp_path / "whole", tmp_path / "out")


def test_a_look_at_who_uses_a_folder(started, tmp_path):
    """`Saved.running`: nothing is changed by looking, and a killed run is not a running one."""
    out = tmp_path / "out"
    process = started(out)
    before = (out / lock.LOCK).read_bytes()
    assert lock.in_use(out) and mpidbo.load(out).running
    process.kill()
    process.communicate()
    assert (out / lock.LOCK).read_bytes() == before
    assert not lock.in_use(out) and not mpidbo.load(out).running
    assert not lock.in_use(tmp_path / "nowhere")


def test_a_look_at_a_folder_of_another_machine(tmp_path):
    """By its heartbeat, as nothing else is known of it; so too a lock without a name."""
    path = tmp_path / lock.LOCK
    for text in (json.dumps(vars(lock.Holder("elsewhere", 1, "1", "another", "pid"))), ""):
        path.write_text(text)
        assert lock.in_use(tmp_path)
        os.utime(path, (time.time() - lock.DEAD_S - 1,) * 2)
        assert not lock.in_use(tmp_path)

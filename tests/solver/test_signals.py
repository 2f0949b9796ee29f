"""Signals at any time of a command, one or a storm of them: exit code 85 with what was done so
far, or 0 when all is done."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from threading import Timer

import pytest

from mpidbo import _signals as signals
from mpidbo import cli
from mpidbo.storage import files
from support import SLOW, launch
from support.runs import QUADRATIC, kept, run, same, toml

TABLES = {
    **QUADRATIC,
    "problem.name": f"{SLOW}:Slow",
    "checkpoint.every": 0,
    "run.iterations": 60,
    "run.evaluate_every": 50,
}
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
BOTH = [signal.SIGTERM, signal.SIGUSR1]


class Started:
    """A command on so many ranks, its processes, and how it ends."""

    def __init__(self, ranks, args, **env):
        self.ranks, self.mark = ranks or 1, uuid.uuid4().hex
        self.process = subprocess.Popen(
            launch.command(ranks, ["-m", "mpidbo", *args]),
            env=launch.environment({launch.MARK: self.mark, **ROOT, **env}),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        launch.end(self.process, self.mark)

    def pids(self):
        """The ranks, without the launcher and its helpers."""
        found = []
        for pid in launch.marked(self.mark):
            words = proc(pid, "cmdline").split("\0")
            found += [pid] if words[0] == sys.executable and "mpidbo" in words[:3] else []
        return found

    def until(self, true):
        limit = time.monotonic() + 60
        while not true() and self.process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.002)
        assert self.process.poll() is None, self.process.communicate()

    def noting(self):
        """Its ranks, once all of them note signals."""
        self.until(lambda: len(pids := self.pids()) == self.ranks and all(map(notes, pids)))
        return self.pids()

    def storm(self, pids, numbers, gap=0.002):
        """Signals until the end."""
        while self.process.poll() is None:
            for pid in pids:
                send(pid, random.choice(numbers))
            time.sleep(gap)
        return self.end()

    def end(self):
        out, err = self.process.communicate(timeout=40)
        return self.process.returncode, out, err


def proc(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def notes(pid, number=signal.SIGUSR1):
    """Whether a process has a handler of its own for a signal."""
    line = next(
        (line for line in proc(pid, "status").splitlines() if line.startswith("SigCgt:")),
        "SigCgt: 0",
    )
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    run(toml(folder, TABLES), folder / "out")
    return folder / "out"


@pytest.fixture
def started(tmp_path):
    """started(ranks, seconds=...): a run into tmp_path / "out" whose draws take so many seconds."""
    path = toml(tmp_path, TABLES)
    (tmp_path / "pids").mkdir()
    return lambda ranks, seconds="0.01", **env: Started(
        ranks,
        ["run", path, "--out", tmp_path / "out"],
        MPIDBO_TEST_DRAW=seconds,
        MPIDBO_TEST_PIDS=str(tmp_path / "pids"),
        **env,
    )


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_before_anything_is_loaded(number, started, tmp_path):
    with started(None) as process:
        (pid,) = process.noting()
        send(pid, number)
        code, out, err = process.end()
    printed = (
        f"mpidbo: stopped on request: {number.name}, before the first iteration; the same "
        f"command starts again\n"
    )
    assert (code, out, err) == (85, "", printed) and not (tmp_path / "out").exists()


RANKS = [None, pytest.param(3, marks=pytest.mark.slow)]
WHO = {"all": lambda pids: pids, "one": lambda pids: pids[-1:]}


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("who", WHO)
def test_a_storm_from_the_first_line_on(ranks, who, started, tmp_path):
    if ranks is None and who == "one":
        pytest.skip("one process is all")
    with started(ranks) as process:
        code, _, err = process.storm(WHO[who](process.noting()), BOTH)
    assert code == 85 and "mpidbo: stopped on request: SIG" in err and "Traceback" not in err, err
    assert ranks is None or (" on rank " in err) == (who == "one")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("who", WHO)
def test_a_storm_along_a_run(ranks, who, started, whole, tmp_path):
    """SIGTERM first, then anything, Ctrl-C too."""
    if ranks is None and who == "one":
        pytest.skip("one process is all")
    with started(ranks) as process:
        process.until(lambda: len(list((tmp_path / "pids").iterdir())) == process.ranks)
        pids = WHO[who](sorted(process.pids()))
        for pid in process.pids():
            send(pid, signal.SIGTERM)
        code, out, err = process.storm(pids, [*BOTH, signal.SIGINT])
    assert code == 85 and "(stopped on request: SIG" in out and "Traceback" not in err, out + err
    (at,) = kept(tmp_path / "out")
    assert 0 < at < 60 and (tmp_path / "out" / "checkpoints" / str(at) / "manifest.json").exists()
    run(tmp_path / "a.toml", tmp_path / "out", "--resume", "must")
    assert same(whole, tmp_path / "out")


@pytest.mark.parametrize("pause", [0.05, 0.1])
def test_a_second_signal(pause, started, tmp_path):
    with started(None) as process:
        process.until(lambda: list((tmp_path / "pids").iterdir()))
        for _ in range(4):
            send(process.process.pid, signal.SIGTERM)
            time.sleep(pause)
        code, out, _ = process.end()
    assert (
        code == 85 and "(stopped on request: SIGTERM)" in out and len(kept(tmp_path / "out")) == 1
    )


@pytest.mark.parametrize("ranks", RANKS)
def test_a_storm_when_all_is_done(ranks, started, whole, tmp_path):
    """To the end of the process, which is long after the result is written: interpreter and MPI
    end as well. SIGTERM first: a Ctrl-C alone may still interrupt the last lines."""
    with started(ranks, "0") as process:
        process.until(lambda: (tmp_path / "out" / files.DONE).exists())
        for pid in process.pids():
            send(pid, signal.SIGTERM)
        code, out, err = process.storm(process.pids(), [*BOTH, signal.SIGINT])
    assert code == 0 and "(all iterations done)" in out and err == "", out + err
    assert same(whole, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_storm_at_any_time(seed, started, whole, tmp_path):
    """On 2 ranks, of which one or both get it, from a moment on that is drawn."""
    draw = random.Random(seed)
    with started(2, "0.002") as process:
        pids = process.noting()[: draw.choice([1, 2])]
        time.sleep(draw.uniform(0, 2.5))
        code, out, err = process.storm(pids, BOTH)
    assert "Traceback" not in err and code in (0, 85), out + err
    assert (code == 0) == (tmp_path / "out" / files.DONE).exists()
    run(tmp_path / "a.toml", tmp_path / "out")
    assert same(whole, tmp_path / "out")


@pytest.mark.slow
def test_signals_to_the_launcher(mpi, started, whole, tmp_path):
    with started(3) as process:
        process.until(lambda: len(list((tmp_path / "pids").iterdir())) == 3)
        for _ in range(3):
            send(process.process.pid, signal.SIGUSR1)
        code, out, err = process.end()
    assert (
        code == 85 and "(stopped on request: SIGUSR1" in out and len(kept(tmp_path / "out")) == 1
    ), out + err


@pytest.mark.parametrize("ranks", RANKS)
def test_ctrl_c_more_than_once(ranks, started, tmp_path):
    """It ends the run at once, without a traceback, and no rank is left."""
    with started(ranks) as process:
        process.until(lambda: len(list((tmp_path / "pids").iterdir())) == process.ranks)
        code, _, err = process.storm(process.pids(), [signal.SIGINT])
        assert code == 130 and "mpidbo: interrupted" in err and "Traceback" not in err, err
        limit = time.monotonic() + 20  # the launcher does not wait for ranks that it has killed
        while process.pids() and time.monotonic() < limit:
            time.sleep(0.01)
        assert process.pids() == []


def test_a_signal_just_after_ctrl_c():
    """The system may deliver first what was sent second: both are a wish to stop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with signals.Command(to_the_end=False) as command:
            Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()
            signal.raise_signal(signal.SIGINT)
        assert command.asked == "SIGTERM"
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_handlers_are_set(monkeypatch):
    """Later ones must not end the process in Python's way."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(signals, "Arrived", interrupted)
    numbers = (signal.SIGINT, *BOTH)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        with pytest.raises(KeyboardInterrupt), signals.Command(to_the_end=True):
            pass
        assert [signal.getsignal(number) for number in numbers] == 3 * [signal.SIG_IGN]
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def test_ctrl_c_while_it_loads(started):
    with started(None) as process:
        process.noting()
        time.sleep(0.05)
        code, _, err = process.storm(process.pids(), [signal.SIGINT], gap=0.02)
    assert code == 130 and err == "mpidbo: interrupted\n"


STUDY = {
    "problem.name": f"{SLOW}:Slow",
    "problem.p": 3,
    "problem.q": 4,
    "run.agents": 2,
    "run.iterations": 400,
    "run.evaluate_every": 50,
    "study.methods": ["sparkle"],
    "study.topologies": ["ring"],
    "study.seeds": [0, 1],
    "study.metric": "upper_loss",
    "steps.alpha": 0.002,
}


@pytest.mark.parametrize("moment", ["first", "run"])
def test_compare(moment, tmp_path):
    (tmp_path / "pids").mkdir()
    line = ["compare", toml(tmp_path, STUDY), "--out", tmp_path / "out"]
    with Started(
        None, line, MPIDBO_TEST_DRAW="0.01", MPIDBO_TEST_PIDS=str(tmp_path / "pids")
    ) as process:
        pids = process.noting()
        process.until(lambda: moment == "first" or list((tmp_path / "pids").iterdir()))
        code, out, err = process.storm(pids, [signal.SIGTERM])
    assert code == 85 and "stopped on request: SIGTERM" in out + err and "Traceback" not in err, (
        out + err
    )


@pytest.mark.parametrize("words", [["show", "FIFO"], ["check", "FIFO:Problem"], ["plot", "FIFO"]])
def test_other_commands_end_at_once(words, tmp_path):
    """They wait here for a file that nobody writes."""
    os.mkfifo(tmp_path / "fifo.py")
    with Started(
        None, [word.replace("FIFO", str(tmp_path / "fifo.py")) for word in words]
    ) as process:
        process.until(lambda: "numpy" in proc(process.process.pid, "maps"))
        assert not notes(process.process.pid)
        send(process.process.pid, signal.SIGTERM)
        assert process.end()[0] == -signal.SIGTERM


def test_in_python_the_callers_handlers_come_back(tmp_path):
    before = [signal.getsignal(number) for number in (*BOTH, signal.SIGINT)]
    assert cli.main(["reproduce"]) == 0
    assert [signal.getsignal(number) for number in (*BOTH, signal.SIGINT)] == before


def test_one_within_another_shares_what_it_notes():
    with signals.Held() as outer:
        with signals.Held() as inner:
            assert signals.asked() == ""
            os.kill(os.getpid(), signal.SIGUSR1)
            assert signals.asked() == "SIGUSR1" == inner.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.asked == "SIGUSR1", "the first one counts"
    assert signals.asked() == ""


@pytest.mark.filterwarnings(
    "ignore:os.fork:RuntimeWarning"
)  # JAX, where another test has loaded it
def test_a_forked_worker_can_be_ended():
    """As multiprocessing ends its workers, and as data loaders do."""
    with signals.Held() as held:
        ready, there = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(there, b"x")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGTERM and held.asked == ""


def test_importing_the_package_is_light():
    code = (
        "import sys, mpidbo.cli; print([name for name in ('numpy', 'h5py', 'scipy', 'networkx') if "
        "name in sys.modules])"
    )
    assert launch.mpirun(None, ["-c", code]).stdout == "[]\n"


def test_all_public_names_are_found():
    code = (
        "import mpidbo; from mpidbo import *; print([getattr(mpidbo, name) is globals()[name] for "
        "name in mpidbo.__all__], mpidbo.solve.__module__, mpidbo.errors.UserError is UserError, "
        "set(mpidbo.__all__) <= set(dir(mpidbo)), hasattr(mpidbo, 'x'))"
    )
    done = launch.mpirun(None, ["-c", code])
    assert done.stdout.startswith("[True, True") and "False" not in done.stdout.replace(
        "True False\n", ""
    ), done.stdout + done.stderr
    assert done.stdout.endswith("mpidbo.solver.api True True False\n")

"""Signals and the clock while step sizes are searched for: the run ends at once, nothing is
written, and the same command finds what it would have found."""

import os
import signal
import sys
import tomllib

import pytest

import mpidbo
from mpidbo import cli
from mpidbo.errors import Stopped
from mpidbo.problems import Quadratic
from mpidbo.solver import stopping
from mpidbo.solver.tuning import tuned
from mpidbo.storage import files
from support.runs import QUADRATIC, kept, same, toml

ME = __name__
AUTO = {
    **{key: QUADRATIC[key] for key in QUADRATIC if key != "steps.alpha"},
    "problem.name": f"{ME}:Interrupted",
    "run.agents": 2,
    "steps": "auto",
}
AT = 200
"""The draw at which the signal comes, in a pilot of the first round."""


class Interrupted(Quadratic):
    """Sends a signal to its process at one draw of agent `on`, if `number` is one."""

    number, draws, at, on = None, 0, AT, 0

    def draw(self, rng):
        if self.agent == self.on:
            Interrupted.draws += 1
            if Interrupted.draws == self.at and self.number is not None:
                os.kill(os.getpid(), self.number)
        return super().draw(rng)


PATH = os.pathsep.join(sys.path)
RUN = {"agents": 2, "iterations": 31, "steps": "auto"}


@pytest.fixture
def interrupted(monkeypatch):
    """interrupted(number, at): from now on that draw of agent 0 sends this signal."""

    def arm(number, at=AT):
        monkeypatch.setattr(Interrupted, "number", number)
        monkeypatch.setattr(Interrupted, "at", at)
        monkeypatch.setattr(Interrupted, "draws", 0)
        monkeypatch.setattr(stopping, "LOOK_INTERVAL_S", 0)  # looks after every iteration

    return arm


def found(folder):
    tables = tomllib.loads((folder / files.CONFIG).read_text())
    return tables["steps"], tables["tuning"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    assert cli.main(["run", str(toml(folder, AUTO)), "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGTERM, 85, "stopped on request: SIGTERM, before step sizes were found; the same"),
        (signal.SIGUSR1, 85, "stopped on request: SIGUSR1, before step sizes were found; the same"),
        (signal.SIGINT, 130, "interrupted\n"),
    ],
)
def test_a_signal_ends_the_command(number, code, message, interrupted, whole, tmp_path, capsys):
    path, out = toml(tmp_path, AUTO), tmp_path / "out"
    interrupted(number)
    assert cli.main(["run", str(path), "--out", str(out)]) == code
    assert Interrupted.draws < AT + 3 * 3, "the iteration is finished, and the next one"
    assert capsys.readouterr().err.startswith(f"mpidbo: {message}")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    interrupted(None)
    assert cli.main(["run", str(path), "--out", str(out)]) == 0
    assert found(out) == found(whole) and same(out, whole)


def test_a_signal_in_the_middle_of_a_long_pilot(interrupted, tmp_path):
    """Not only between the parts of a pilot, after which the metric judges it."""
    path = toml(tmp_path, {**AUTO, "steps": {"beta": "auto"}, "run.iterations": 2000})
    first = 40 * 3  # of 160 iterations, the first 20 of which are judged and the next 20
    interrupted(signal.SIGTERM, first + 60)
    assert cli.main(["tune", str(path)]) == 85
    assert Interrupted.draws < first + 60 + 3 * 3


@pytest.mark.parametrize("command", ["run", "tune"])
def test_the_clock(command, interrupted, tmp_path, capsys):
    path, given = toml(tmp_path, AUTO), ["--set", "run.max_seconds=1e-9"]
    interrupted(None)
    assert cli.main([command, str(path), *given]) == 85
    assert Interrupted.draws < 3 * 10
    assert capsys.readouterr().err == (
        "mpidbo: stopped on request: run.max_seconds = 1e-09, before step sizes were found; the "
        "same command starts again, and needs more time\n"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_time_that_is_up_after_the_last_pilot_ends_the_run(
    whole, tmp_path, monkeypatch, interrupted
):
    """The clock of the pilots is that of the run, too."""
    path, out = toml(tmp_path, AUTO), tmp_path / "out"
    interrupted(None)

    def late(setup, observer):
        setup = tuned(setup, observer)
        observer.deadline = observer.limits["run.max_seconds = 9"] = 0
        return setup

    with monkeypatch.context() as patch:
        patch.setattr("mpidbo.solver.tuning.tuned", late)
        given = ["--set", "run.max_seconds=9"]
        assert cli.main(["run", str(path), "--out", str(out), *given]) == 85
    assert kept(out) == [1] and found(out) == found(whole)
    assert cli.main(["run", str(path), "--out", str(out)]) == 0
    assert same(out, whole)


def test_solve(interrupted):
    """There is no result yet that it could return."""
    interrupted(signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted, before step sizes were found$"):
        mpidbo.solve(Interrupted, **RUN)
    assert Interrupted.draws < AT + 3 * 3 and signal.getsignal(signal.SIGINT) is before
    interrupted(signal.SIGTERM)
    with pytest.raises(Stopped, match="SIGTERM, before step sizes were found"):
        mpidbo.solve(Interrupted, **RUN)


RANKS = f"""
import os, signal, sys
from mpi4py import MPI
import mpidbo
from mpidbo.solver import stopping
from {ME} import RUN, Interrupted

stopping.LOOK_INTERVAL_S = 0

comm = MPI.COMM_WORLD
Interrupted.on, Interrupted.number = map(int, sys.argv[1:])
try:
    mpidbo.solve(Interrupted, **RUN, comm=comm)
except (mpidbo.errors.Stopped, KeyboardInterrupt) as error:
    print(comm.rank, Interrupted.draws, type(error).__name__, error, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGTERM, "Stopped stopped on request: SIGTERM on rank 1"),
        pytest.param(
            signal.SIGINT, "KeyboardInterrupt interrupted on rank 1", marks=pytest.mark.long
        ),
    ],
)
def test_of_two_ranks_one(number, error, mpi):
    """Both end, together."""
    done = mpi(2, ["-c", RANKS, "1", str(int(number))], env={"PYTHONPATH": PATH})
    printed = sorted(line.split(maxsplit=2) for line in done.stdout.splitlines())
    assert done.returncode == 0 and [rank for rank, *_ in printed] == ["0", "1"], done
    assert all(text.startswith(f"{error}, before step sizes were found") for *_, text in printed)
    assert AT <= int(printed[1][1]) < AT + 3 * 3

"""An interrupt in a notebook or a script returns what there is; `mpidbo run` is in
test_signals.py."""

import os
import pickle
import signal
import time

import numpy as np
import pytest

import mpidbo
from mpidbo.problems import Quadratic
from mpidbo.storage import files
from support.runs import kept, same

RUN = {"agents": 2, "iterations": 31, "evaluate_every": 5, "steps": {"alpha": 0.002}}
OPTIONS = {"p": 3, "q": 4, "noise": 0.3}


class Slow(Quadratic):
    """Whose iterations take long enough for a signal to be seen between two of them."""

    def draw(self, rng):
        time.sleep(0.002)
        return super().draw(rng)


class Interrupted(Slow):
    """In the middle of an iteration in the middle of the run, once."""

    how = staticmethod(lambda: os.kill(os.getpid(), signal.SIGINT))
    draws = 0

    def draw(self, rng):
        if self.agent == 0:
            type(self).draws += 1
            if type(self).draws == type(self).at:
                type(self).how()
        return super().draw(rng)


SLOW = {"name": Slow, **OPTIONS}


@pytest.fixture
def interrupted():
    """interrupted(how): a class whose oracle does that in the middle of the run, once."""

    def make(how):
        return type("Interrupted", (Interrupted,), {"how": staticmethod(how), "draws": 0, "at": 62})

    return make


def signalled():
    os.kill(os.getpid(), signal.SIGINT)


def raised():
    raise KeyboardInterrupt


def twice():
    signalled()
    time.sleep(0.6)
    signalled()
    time.sleep(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    mpidbo.solve({"name": Quadratic, **OPTIONS}, **RUN, out=out)
    return out


@pytest.mark.parametrize("how", [signalled, raised, twice])
def test_it_returns_what_there_is(how, interrupted, whole, tmp_path):
    cls, before = interrupted(how), signal.getsignal(signal.SIGINT)
    result = mpidbo.solve({"name": cls, **OPTIONS}, **RUN, out=tmp_path / "out")
    assert result.reason.startswith("interrupted") and result.stopped
    assert 5 < result.iteration < 31 and result.iteration == result.history["iteration"][-1]
    assert kept(tmp_path / "out") == [result.iteration]
    assert not (tmp_path / "out" / files.DONE).exists()
    assert signal.getsignal(signal.SIGINT) is before
    mpidbo.solve({"name": cls, **OPTIONS}, **RUN, out=tmp_path / "out", resume="must")
    assert same(whole, tmp_path / "out"), "iterates, history and counts, too"


@pytest.mark.parametrize("how", [signalled, raised])
def test_in_a_callback(how):
    def callback(progress):
        if progress.iteration == 10:
            how()

    result = mpidbo.solve(SLOW, **RUN, callback=callback)
    assert result.reason == "interrupted" and 10 <= result.iteration < 31


def test_in_a_loop_it_is_the_callers():
    with pytest.raises(KeyboardInterrupt), mpidbo.Solver("quadratic", **RUN) as solver:
        for _ in solver:
            signalled()
    assert solver.result.iteration == 0 and solver.result.reason == "stopped by the caller"


def test_in_a_step_it_ends_the_loop(interrupted):
    solver = mpidbo.Solver({"name": interrupted(signalled), **OPTIONS}, **RUN)
    at = [progress.iteration for progress in solver]
    assert at[-1] == solver.result.iteration < 31 and solver.result.reason == "interrupted"


def test_interrupts_in_quick_succession_are_one(interrupted):
    """As a launcher sends them, which forwards what its ranks get from the terminal."""
    cls = interrupted(lambda: [signalled() for _ in range(5)])
    result = mpidbo.solve({"name": cls, **OPTIONS}, **RUN)
    assert result.reason == "interrupted"


def test_handlers_of_the_caller_are_left_alone(interrupted):
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        result = mpidbo.solve({"name": interrupted(signalled), **OPTIONS}, **RUN)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT] and result.iteration == 31


SCRIPT = """
import os, signal, sys
from mpi4py import MPI
import mpidbo

def callback(progress):
    if progress.iteration == 10 and comm.rank in ranks:
        os.kill(os.getpid(), signal.SIGINT)

comm, ranks = MPI.COMM_WORLD, [int(word) for word in sys.argv[2:]]
sys.path.insert(0, {tests!r})
from solver.test_interrupts import RUN, SLOW

result = mpidbo.solve(SLOW, **RUN, comm=comm, callback=callback, out=sys.argv[1])
assert result.stopped and result.iteration < 31
print(comm.rank, result.iteration, result.reason, flush=True)
"""


@pytest.mark.parametrize("ranks", [["1"], pytest.param(["0", "1"], marks=pytest.mark.slow)])
def test_on_several_ranks_all_stop_together(ranks, mpi, repo, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(repo / "tests")))
    done = mpi(2, [script, tmp_path / "out", *ranks])
    assert done.returncode == 0, done.stderr
    message = sorted(line.split(maxsplit=2) for line in done.stdout.splitlines())
    assert [line[0] for line in message] == ["0", "1"] and message[0][1:] == message[1][1:]
    where = " on rank 1" if len(ranks) == 1 else ""
    assert message[0][2] == f"interrupted{where}" and kept(tmp_path / "out") == [int(message[0][1])]


def test_what_diverged_keeps_the_last_finite_iterate():
    with pytest.raises(mpidbo.Diverged) as caught:
        mpidbo.solve("quadratic", agents=2, iterations=500, steps={"beta": 50.0})
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value) and error.level in str(error)
    assert f"not finite after iteration {error.iteration}" in str(error)
    assert 0 <= error.last_finite == error.iteration - 1
    assert error.x.shape == (2, 5) and np.isfinite(error.x).all() and np.isfinite(error.y).all()
    assert error.history["iteration"][0] == 0
    other = pickle.loads(pickle.dumps(mpidbo.Diverged("diverged when it was last run")))
    assert other.iteration is None and other.history == {}

"""A checkpoint that is being written while the loop continues: what may happen to the run
meanwhile."""

import errno
import os
import signal
from contextlib import contextmanager
from threading import Event
from time import sleep

import numpy as np
import pytest

from mpidbo import Problem
from mpidbo._pytree import leaves
from mpidbo.algorithms import METHODS
from mpidbo.config import rule_of
from mpidbo.network import Levels, gossip_of, make
from mpidbo.parallel.agents import Agents
from mpidbo.problems.oracle import Oracle
from mpidbo.problems.quadratic import Quadratic
from mpidbo.solver.loop import Loop
from mpidbo.storage import checkpoint, files
from mpidbo.storage.checkpoint import Checkpoints, Snapshot
from support import launch
from support.runs import QUADRATIC, contents, kept, run, same, toml, with_method


@pytest.fixture
def during(monkeypatch):
    """during(14, work): the file of the rows of checkpoint 14, or of each for None, is written
    after `work()`, in the same thread."""
    usual = checkpoint.atomic_hdf5

    def arm(iteration, work):
        @contextmanager
        def atomic_hdf5(path):
            with usual(path) as file:
                if path.name.startswith("agents") and path.parent.name in (
                    str(iteration),
                    path.parent.name if iteration is None else "",
                ):
                    work()
                yield file

        monkeypatch.setattr(checkpoint, "atomic_hdf5", atomic_hdf5)

    return arm


@pytest.fixture
def path(tmp_path):
    return toml(tmp_path, QUADRATIC)


@pytest.fixture
def whole(path, tmp_path):
    """The folder of the run that nothing interrupts."""
    run(path, tmp_path / "whole")
    return tmp_path / "whole"


def unfinished(out):
    return [
        at for at in kept(out) if not (out / "checkpoints" / str(at) / "manifest.json").exists()
    ]


class Cheap(Problem):
    """Every oracle is one pass over rows that are long enough for their memory to be used again."""

    dims = (20_000, 20_000)

    def f_x(self, x, y, sample):
        return x + y

    def g_y(self, x, y, sample):
        return y - x

    def g_x(self, x, y, sample):
        return -y

    def g_yy(self, x, y, v, sample):
        return 2 * v

    g_xy = g_yy

    def f_y(self, x, y, sample):
        return y - 1


@pytest.mark.parametrize("name", ["sparkle", "sun-dsbo"])
def test_the_snapshot_is_that_of_its_iteration(name, during, tmp_path):
    agents, written = Agents(2), Event()
    method = rule_of({"name": name}, {}, n=2, horizon=9)
    g = gossip_of(make("complete", 2), agents)
    problems = [Cheap(i, 2, xp=np, seed=0) for i in range(2)]
    loop = Loop(method, Oracle(problems, agents), Levels(g, g, g))
    zero = np.zeros((2, 20_000))
    state = loop.steps(method.start(zero, zero), 0, 3)
    copies = {field: rows.copy() for field, rows in leaves(state)}
    checkpoints = Checkpoints(tmp_path, agents, keep=1, topologies={}, tables={})
    during(3, lambda: written.wait(60))
    checkpoints.begin(Snapshot(3, state, {}, {"iteration": [0]}))
    state = loop.steps(state, 3, 9)
    checkpoints.writing.advance()
    assert not checkpoints.writing.idle and unfinished(tmp_path) == [3]
    written.set()
    checkpoints.writing.advance(wait=True)
    snapshot, wrong = checkpoints.newest(state)
    assert checkpoints.writing.idle and not wrong and snapshot.iteration == 3
    assert all(np.array_equal(rows, copies[field]) for field, rows in leaves(snapshot.state))


@pytest.mark.parametrize("name", METHODS)
def test_steps_leave_states_as_they_were(name, tmp_path, monkeypatch):
    begin, seen = Checkpoints.begin, []

    def noted(self, snapshot):
        seen.append([(rows, rows.copy()) for _, rows in leaves(snapshot.state)])
        begin(self, snapshot)

    monkeypatch.setattr(Checkpoints, "begin", noted)
    run(
        toml(
            tmp_path, {**with_method(name, None, None), "checkpoint.every": 1, "run.iterations": 9}
        ),
        tmp_path / "out",
    )
    assert len(seen) == 9 and all(
        np.array_equal(rows, copy) for state in seen for rows, copy in state
    )


def test_the_loop_goes_on_meanwhile(path, whole, during, tmp_path, monkeypatch):
    """The writing waits for the loop, which must not wait for the writing."""
    draw, clear, drawn, met = Quadratic.draw, Checkpoints._clear, Event(), []
    monkeypatch.setattr(Quadratic, "draw", lambda self, rng: drawn.set() or draw(self, rng))
    monkeypatch.setattr(
        Checkpoints,
        "_clear",
        lambda self, place: (place.name == "14" and drawn.clear()) or clear(self, place),
    )
    during(14, lambda: met.append(drawn.wait(20)))
    run(path, tmp_path / "out")
    assert met == [True] and same(whole, tmp_path / "out") and not unfinished(tmp_path / "out")


def test_one_after_the_other(path, whole, during, tmp_path, monkeypatch):
    """A checkpoint that is due waits for the one before, and the end for the last."""
    out, seen, usual = tmp_path / "out", [], Checkpoints._clear

    def clear(self, place):
        usual(self, place)
        seen.append((int(place.name), unfinished(out)))

    monkeypatch.setattr(Checkpoints, "_clear", clear)
    during(None, lambda: sleep(0.05))
    run(path, out, checkpoint__every=3, checkpoint__keep=20)
    assert seen == [(at, [at]) for at in (*range(3, 31, 3), 31)]
    assert kept(out) == [*range(3, 31, 3), 31] and not unfinished(out)


def test_a_signal_meanwhile(path, during, tmp_path):
    out = tmp_path / "out"
    during(7, lambda: (os.kill(os.getpid(), signal.SIGTERM), sleep(0.05)))
    run(path, out, code=85, run__iterations=10_000_000)
    assert kept(out)[0] >= 7 and len(kept(out)) == 2 and not unfinished(out)
    during(None, lambda: None)
    stopped = kept(out)[-1]
    run(path, out, run__iterations=stopped + 3)
    run(path, tmp_path / "straight", run__iterations=stopped + 3)
    assert contents(out / files.RESULT) == contents(tmp_path / "straight" / files.RESULT)


def test_divergence_meanwhile(path, during, tmp_path, capsys):
    out = tmp_path / "out"
    during(None, lambda: sleep(0.2))
    run(
        path,
        out,
        code=3,
        steps__beta=1e50,
        checkpoint__every=1,
        run__evaluate_every=100,
        run__iterations=50,
    )
    assert "diverged" in capsys.readouterr().err and kept(out) and not unfinished(out)


def test_a_disk_that_fills_meanwhile(path, whole, during, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"

    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context():
        during(14, full)
        run(path, out, code=2)
    printed = capsys.readouterr().err
    assert (
        "agents-0-3.h5: cannot be written (No space left on device); make room" in printed
        and "Traceback" not in printed
    )
    assert kept(out) == [7] and (out / files.HISTORY).exists()
    during(None, lambda: None)
    run(path, out)
    assert "resuming from iteration 7" in capsys.readouterr().out and same(whole, out)


@pytest.mark.parametrize("name", ["agents-0-3.h5", "history.h5", "manifest.json"])
def test_killed_meanwhile(name, path, whole, tmp_path):
    """SIGKILL, when a file of checkpoint 14 is written and has not yet its name."""
    out = tmp_path / "out"
    code = f"""
import os, signal, sys
from time import sleep
from mpidbo import cli
usual = os.replace
def replace(source, target):
    if str(target).endswith("14/{name}"):
        sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    usual(source, target)
os.replace = replace
sys.exit(cli.main(sys.argv[1:]))
"""
    done = launch.mpirun(None, ["-c", code, "run", path, "--out", out])
    assert done.returncode == -signal.SIGKILL and kept(out) == [7, 14] and unfinished(out) == [14]
    run(path, out)
    assert same(whole, out) and kept(out) == [28, 31]


def test_the_disk_of_one_rank_is_full(mpi, tmp_path):
    path, out = (
        toml(tmp_path, {**QUADRATIC, "problem.p": 150, "problem.q": 150, "problem.noise": 0.0}),
        tmp_path / "out",
    )
    code = (
        "import resource, sys; from mpidbo import cli; comm = cli.comm_world();"
        "comm.rank == 1 and resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    assert (
        mpi(2, ["-m", "mpidbo", "run", path, "--out", out, "--set", "run.iterations=10"]).returncode
        == 0
    )
    done = mpi(2, ["-c", code, "run", path, "--out", out])
    assert (
        done.returncode == 2
        and "agents-2-3.h5: cannot be written (File too large)" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert kept(out) == [7, 10] and not unfinished(out)

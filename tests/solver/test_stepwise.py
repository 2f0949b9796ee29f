"""A run in steps: callbacks, the user's own loop, and what both leave behind."""

import inspect
import logging
import re
import signal
import weakref

import numpy as np
import pytest

import mpidbo
from mpidbo.config import RUN_FIELDS
from mpidbo.solver import Solver
from mpidbo.storage import files
from support.runs import kept, same

RUN = {
    "problem": {"name": "quadratic", "p": 3, "q": 4, "noise": 0.3},
    "agents": 4,
    "iterations": 31,
    "evaluate_every": 5,
    "steps": {"alpha": 0.002},
}
AT = [0, 5, 10, 15, 20, 25, 30, 31]
"""The iterations at which it evaluates."""


def solved(**more):
    return mpidbo.solve(**{**RUN, **more})


def test_a_callback_sees_every_row_of_the_history():
    seen = []
    result = solved(callback=seen.append)
    assert [progress.iteration for progress in seen] == AT
    for name, column in result.history.items():
        sentence = [progress.row[name] for progress in seen]
        assert np.array_equal(sentence, column, equal_nan=True), name
    assert result.reason == "all iterations done" and not result.stopped


def test_what_a_callback_is_given():
    seen = []
    result = solved(callback=seen.append)
    last = seen[-1]
    assert np.array_equal(last.x, result.x) and np.array_equal(last.z, result.z)
    assert last.t is None and np.array_equal(last.x_mean, result.x_tree)
    assert np.array_equal(last.y_tree, result.y_tree)
    for array in (last.x, last.y, last.x_mean):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    with pytest.raises(AttributeError):
        last.iteration = 3
    assert repr(last).startswith("Progress(iteration=31, row={")


def test_local_lower_variables_have_no_mean():
    seen = []
    solved(method="lopa", callback=seen.append)
    assert seen[0].y_mean is seen[0].y_tree is None and seen[0].y.shape == (4, 4)


def raising(progress):
    if progress.iteration == 10:
        raise StopIteration


TRUE = {
    "true": lambda progress: progress.iteration >= 10,
    "numpy": lambda progress: np.float64(progress.iteration) >= 10,
    "array": lambda progress: np.array(progress.iteration >= 10),
    "exception": raising,
}


@pytest.mark.parametrize("kind", TRUE)
def test_a_callback_ends_the_run(kind):
    result = solved(callback=TRUE[kind])
    assert result.iteration == 10 and result.reason == "stopped by the callback"
    assert result.stopped and result.history["iteration"].tolist() == [0, 5, 10]


@pytest.mark.parametrize("answer", [None, 0, 1, "yes", [1], {"a": 1}, np.ones(2)])
def test_any_other_answer_does_not(answer):
    assert solved(callback=lambda progress: answer).iteration == 31


def test_a_callback_at_the_end_ends_nothing():
    result = solved(callback=lambda progress: progress.iteration == 31)
    assert result.reason == "all iterations done" and not result.stopped


def test_the_callers_settings_are_in_force_between_evaluations():
    """Signal handlers in a loop of the caller's own; numpy's errors in callbacks too."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), np.geterr()
    seen = []
    solved(callback=lambda progress: seen.append(np.geterr()["over"]))
    for _ in Solver(**RUN):
        now = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), np.geterr()
        assert now == before
    assert set(seen) == {before[2]["over"]} == {"warn"}
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before[:2]


def test_threads_are_limited_in_the_run_alone():
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return {library["num_threads"] for library in threadpool_info()}

    with threadpool_limits(2):
        usual = threads()
        for _ in Solver(**RUN, threads=1):
            assert threads() == usual
        assert threads() == usual


@pytest.mark.parametrize("error", [KeyError("mine"), mpidbo.UserError("mine: wrong")])
def test_an_error_of_a_callback_ends_the_run_with_its_history(error, tmp_path):
    def failing(progress):
        if progress.iteration == 20:
            raise error

    with pytest.raises(type(error), match="mine"):
        solved(callback=failing, out=tmp_path / "out", checkpoint=7)
    assert kept(tmp_path / "out") == [7, 14] and not (tmp_path / "out" / files.DONE).exists()
    assert mpidbo.load(tmp_path / "out").columns["iteration"].tolist() == [0, 5, 10, 15, 20]
    assert not (tmp_path / "out" / ".lock").exists()
    solved(out=tmp_path / "out", resume="must", checkpoint=7)
    solved(out=tmp_path / "whole", checkpoint=7)
    assert same(tmp_path / "whole", tmp_path / "out")


# the user's own loop


def test_a_loop_is_the_same_run():
    solver = Solver(**RUN)
    assert [progress.iteration for progress in solver] == AT
    result = solved()
    assert np.array_equal(solver.result.x, result.x) and solver.result.reason == result.reason
    assert next(solver, None) is None and solver.result is solver.result


def test_a_loop_that_is_left_goes_on():
    solver = Solver(**RUN)
    for progress in solver:
        if progress.iteration == 10:
            break
    early = solver.result
    assert early.iteration == 10 and early.stopped and early.reason == "not finished"
    assert [progress.iteration for progress in solver] == AT[3:]
    assert np.array_equal(solver.result.x, solved().x)


def test_solvers_in_turn():
    """Two runs share the process, its signal handlers and the stall watch."""
    pairs = zip(Solver(**RUN), Solver(**RUN, seed=1), strict=True)
    assert [(a.iteration, b.iteration) for a, b in pairs] == [(k, k) for k in AT]


def test_what_is_left_early_is_resumed(tmp_path):
    with Solver(**RUN, out=tmp_path / "out") as solver:
        next(solver)
        next(solver)
    assert solver.result.reason == "stopped by the caller" and solver.result.iteration == 5
    saved = mpidbo.load(tmp_path / "out")
    assert saved.reason == saved.stopped == "stopped by the caller" and not saved.finished
    assert np.array_equal(saved.x, solver.result.x) and kept(tmp_path / "out") == [5]
    result = solved(out=tmp_path / "out", resume="must")
    solved(out=tmp_path / "whole")
    assert same(tmp_path / "whole", tmp_path / "out") and not result.stopped
    assert mpidbo.load(tmp_path / "out").stopped == ""


def test_a_loop_that_is_left_leaves_a_checkpoint(tmp_path):
    """Also without a close, in a single process; a new solver may then take the folder."""
    solver = Solver(**RUN, out=tmp_path / "out")
    for progress in solver:
        if progress.iteration == 10:
            break
    assert kept(tmp_path / "out") == [10]
    again = Solver(**RUN, out=tmp_path / "out", resume="must")
    assert [progress.iteration for progress in again] == AT[3:]
    assert next(solver, None) is None
    solved(out=tmp_path / "whole")
    assert same(tmp_path / "whole", tmp_path / "out")


def test_an_error_in_the_loop_leaves_a_checkpoint(tmp_path):
    with pytest.raises(ZeroDivisionError), Solver(**RUN, out=tmp_path / "out") as solver:
        for progress in solver:
            1 / (progress.iteration - 15)
    assert kept(tmp_path / "out") == [15] and not (tmp_path / "out" / ".lock").exists()


def test_a_solver_that_is_dropped_releases_its_folder(tmp_path):
    solver = Solver(**RUN, out=tmp_path / "out")
    next(solver)
    del solver
    assert not (tmp_path / "out" / ".lock").exists()


def test_after_an_error_there_is_no_result():
    solver = Solver(**{**RUN, "steps": {"alpha": 1e200, "beta": 1e200}})
    with pytest.raises(mpidbo.Diverged):
        list(solver)
    assert next(solver, None) is None
    with pytest.raises(mpidbo.UserError, match="ended with an error"):
        _ = solver.result


# arguments


def test_the_signature_has_every_key_of_a_run():
    """With its default; a new key is an argument of `Solver` and a line of solve's docstring."""
    parameters = inspect.signature(mpidbo.solve).parameters
    assert parameters == inspect.signature(mpidbo.Solver).parameters
    assert set(RUN_FIELDS) <= set(parameters)
    for name, found in RUN_FIELDS.items():
        assert parameters[name].default == found.default, name
    assert all(found.annotation is not found.empty for found in parameters.values())
    # without its indentation, which Python removes from 3.13 on
    section = inspect.getdoc(mpidbo.solve).partition("Parameters\n")[2].partition("Returns\n")[0]
    documented = re.findall(r"^([\w, ]+) : ", section, re.MULTILINE)
    assert ", ".join(documented).split(", ") == [*parameters]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 1}, r"no argument is called seeds; did you mean seed\?"),
        ({"resume": "yes", "out": "a"}, 'resume: "yes" is unknown; known: auto, never, must'),
        ({"resume": "auto"}, 'resume: "auto" needs the folder of the run'),
        ({"checkpoint": 5}, "checkpoint: a run without a folder has no checkpoints"),
        ({"checkpoint": "5", "out": "a"}, r"checkpoint\.every: \"5\" is not a whole number"),
    ],
)
def test_mistakes(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (mpidbo.solve, mpidbo.Solver):
        with pytest.raises(mpidbo.UserError, match=message):
            call(**{**RUN, **arguments})
    assert not list(tmp_path.iterdir())


def test_what_is_told_is_logged(tmp_path, caplog, capfd):
    with caplog.at_level(logging.INFO, "mpidbo"):
        with Solver(**RUN, out=tmp_path / "out") as solver:
            next(solver)
            next(solver)
        solved(out=tmp_path / "out", resume="auto")
    sentence = [record.getMessage() for record in caplog.records]
    assert (
        sentence[0].startswith("iteration 0  upper_loss ")
        and "resuming from iteration 5" in sentence
    )
    assert {record.name for record in caplog.records} == {"mpidbo"} and capfd.readouterr().err == ""


def test_a_bar(capsys):
    solved(progress=True)
    assert "0/31" in capsys.readouterr().err
    solved(progress=None)
    assert capsys.readouterr().err == ""


# several ranks

SCRIPT = """
import sys
from pathlib import Path
from mpi4py import MPI
import mpidbo
sys.path.insert(0, {tests!r})
from solver.test_stepwise import RUN

comm, out = MPI.COMM_WORLD, Path(sys.argv[1])
common = dict(RUN, comm=comm)

def last(progress):
    return comm.rank == comm.size - 1 and progress.iteration == 10

result = mpidbo.solve(**common, callback=last if comm.rank else None, out=out / "stopped")
assert (result.iteration, result.reason) == (10, "stopped by the callback"), result
with mpidbo.Solver(**common, out=out / "left") as solver:
    for progress in solver:
        assert len(progress.x) == 4 * (comm.rank + 1) // comm.size - 4 * comm.rank // comm.size
        if progress.iteration == 15:
            break
assert solver.result.iteration == 15 and solver.result.x.shape == (4, 3)
left = mpidbo.Solver(**common)
next(left), next(left)
assert left.result.iteration == 5
left.close()
try:
    if len(sys.argv) > 2:
        mpidbo.solve(**common, callback=lambda progress: 1 / (comm.rank - 1), out=out / "failed")
finally:
    print("done", flush=True)
"""


def test_on_several_ranks(mpi, repo, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(repo / "tests")))
    done = mpi(3, [script, tmp_path, "fail"])
    assert done.returncode == 1 and "rank 1: ZeroDivisionError" in done.stderr, done.stderr
    solved(out=tmp_path / "whole")
    for name, at in (("stopped", 10), ("left", 15)):
        assert kept(tmp_path / name) == [at]
        solved(out=tmp_path / name, resume="must")
        assert same(tmp_path / "whole", tmp_path / name)


ENDLESS = """
import sys, time
from mpi4py import MPI
import mpidbo
sys.path.insert(0, {tests!r})
from solver.test_stepwise import RUN

comm = MPI.COMM_WORLD
solver = mpidbo.Solver(**RUN, comm=comm, stall_timeout=1.0, out=sys.argv[1])
next(solver)
time.sleep(3)  # on all ranks: nobody waits
next(solver)
print("together", flush=True)
if comm.rank == 1:
    time.sleep(60)
next(solver)
"""


@pytest.mark.slow
def test_the_time_between_two_evaluations_is_the_callers(mpi, repo, tmp_path):
    """A rank that does not come back is named, with the line of the caller that it executes."""
    script = tmp_path / "script.py"
    script.write_text(ENDLESS.format(tests=str(repo / "tests")))
    done = mpi(2, [script, tmp_path / "out"])
    assert done.returncode == 4 and done.stdout.count("together") == 2, done.stderr
    assert "stalled: no exchange completed for 1 s: rank 1" in done.stderr
    assert "is busy at script.py, line 15: time.sleep(60)" in done.stderr, done.stderr


def test_a_whole_configuration_is_no_problem():
    with pytest.raises(
        mpidbo.UserError, match=r"^problem: problem and run are sections of a configuration; give"
    ):
        mpidbo.solve({"problem": {"name": "quadratic"}, "run": {"agents": 2}})


def test_a_callback_that_is_no_function():
    with pytest.raises(
        mpidbo.UserError, match=r'^callback: "print" is not a function; give one that'
    ):
        mpidbo.solve("quadratic", agents=2, callback="print")


def test_the_state_of_an_evaluation_is_not_kept_until_the_next():
    """It is as large as that of the run."""
    seen = []

    def look(progress):
        assert [earlier() for earlier in seen] == [None] * len(seen)
        seen.append(weakref.ref(progress))

    mpidbo.solve("quadratic", iterations=6, evaluate_every=2, callback=look)
    assert len(seen) == 4

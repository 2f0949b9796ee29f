"""The one way through a run: what is resolved without a communicator, set up without a file, and
executed once."""

from dataclasses import FrozenInstanceError, replace
from typing import ClassVar

import pytest

from mpidbo import config
from mpidbo.errors import Diverged, Stopped, UserError
from mpidbo.problems import Quadratic
from mpidbo.solver import Plan, run_config, set_up
from mpidbo.solver.recorder import Recorder
from mpidbo.solver.resolve import resolve
from mpidbo.solver.watchdog import StallWatch
from mpidbo.storage import files
from mpidbo.storage.hdf5 import read_arrays

TABLES = {
    "problem": {"name": "quadratic", "p": 2, "q": 3},
    "run": {"agents": 4, "iterations": 6, "evaluate_every": 3},
}


def checked(**run):
    return config.check({**TABLES, "run": {**TABLES["run"], **run}})


class WithData(Quadratic):
    agents = 5
    steps: ClassVar = {"alpha": 0.125}


@pytest.mark.parametrize(
    ("given", "cls", "n"), [(4, WithData, 4), (None, WithData, 5), (None, Quadratic, 3)]
)
def test_the_configuration_the_data_and_the_ranks_decide_on_agents(given, cls, n):
    resolved = resolve(checked(agents=given), cls, ranks=3)
    assert resolved.n == resolved.config.run.agents == n
    assert resolved.tables["x"] == ("topology", {"name": "ring"})


def test_steps_of_the_class_are_resolved():
    resolved = resolve(checked(), WithData, ranks=1)
    assert resolved.config.steps["alpha"] == 0.125 == resolved.method.alpha.start


def test_what_is_set_up_is_frozen_and_a_changed_copy_runs():
    with set_up(checked()) as setup:
        with pytest.raises(FrozenInstanceError):
            setup.method = None
        other = replace(setup, method=replace(setup.method, alpha=setup.method.gamma))
        assert other.W is setup.W and other.method != setup.method
    with Plan(checked()) as plan, pytest.raises(FrozenInstanceError):
        plan.W = None


def test_a_finished_run_is_not_run_again(tmp_path, monkeypatch):
    first = run_config(checked(out=str(tmp_path / "out")))
    assert first.iteration == 6 and (tmp_path / "out" / "done").is_file()
    monkeypatch.setattr("mpidbo.solver.execute.set_up", None)
    assert run_config(checked(out=str(tmp_path / "out"))) is None


def test_a_run_that_diverged_is_repeated_on_request_only(tmp_path):
    tables = {**TABLES, "steps": {"alpha": 1e200, "beta": 1e200}}
    diverging = config.check({**tables, "run": {**TABLES["run"], "out": str(tmp_path / "out")}})
    with pytest.raises(Diverged, match="after iteration"):
        run_config(diverging)
    with pytest.raises(Diverged, match="diverged when it was last run"):
        run_config(diverging, repeat_diverged=False)
    with pytest.raises(Diverged, match="after iteration"):
        run_config(diverging)


@pytest.mark.parametrize("stage", [1, 2])
def test_an_interrupt_before_the_loop_leaves_no_files(stage, tmp_path):
    calls = []

    def interrupt():
        calls.append(1)
        if len(calls) == stage:
            raise Stopped("now")

    with pytest.raises(Stopped):
        run_config(checked(out=str(tmp_path / "out")), interrupt=interrupt)
    assert len(calls) == stage and not (tmp_path / "out").exists()


def test_nothing_is_written_before_all_is_checked(tmp_path):
    with pytest.raises(UserError, match=r"run\.metrics: refined_residual"):
        run_config(checked(out=str(tmp_path / "out"), metrics=["refined_residual"]))
    assert not (tmp_path / "out").exists()


class Writing:
    """A checkpoint that is written for ever."""

    idle = False

    def __init__(self):
        self.looks = 0

    def advance(self, wait=False):
        self.looks += 1


def test_looks_at_a_checkpoint_in_writing_become_less_frequent():
    recorder = object.__new__(Recorder)
    recorder.every, recorder._last_checkpoint, recorder._next_advance = 0, 100, 101
    recorder._written_at, recorder.keeper = float("inf"), None
    recorder.folder = type("Folder", (), {"is_lost": False})
    recorder.evaluation = type("Evaluation", (), {"next": staticmethod(lambda k: 10**9)})
    recorder.checkpoints = type("Checkpoints", (), {"writing": Writing()})
    k, seen = 100, []
    for _ in range(5):
        k = recorder.next(k)
        recorder.look(k, None, False)
        seen.append(k)
    assert seen == [101, 103, 107, 115, 131] and recorder.checkpoints.writing.looks == 5


@pytest.mark.parametrize("method", ["resume", "pause"])
def test_an_interrupt_between_two_evaluations_keeps_the_history(method, tmp_path, monkeypatch):
    original, calls = getattr(StallWatch, method), []

    def interrupted(watch):
        calls.append(method)
        if len(calls) == 4:
            raise KeyboardInterrupt
        original(watch)

    monkeypatch.setattr(StallWatch, method, interrupted)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_config(checked(out=str(out), evaluate_every=1))
    history, _ = read_arrays(out / files.HISTORY)
    assert len(history["iteration"]) > 1

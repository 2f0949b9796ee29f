"""Loggers get every row once, on rank 0, and whatever they do the run is the same."""

import json
import sys
from threading import Event

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo.solver import Plan, logs, run_config
from mpidbo.storage import Logger, files, read_arrays, stored_run
from mpidbo.storage.loggers import table
from support import launch
from support.runs import QUADRATIC, Killed, cutting, run, same, toml

FILE = "history.jsonl"


@pytest.fixture
def path(tmp_path):
    return toml(tmp_path, {**QUADRATIC, "run.log": ["jsonl"]})


def lines(out):
    return [json.loads(line) for line in (out / FILE).read_text().splitlines()]


def untimed(out):
    """The lines as they are, but for the seconds."""
    rows = [{k: v for k, v in row.items() if not k.startswith("seconds_")} for row in lines(out)]
    return [json.dumps(row) for row in rows]


def as_lines(history):
    """The rows of history.h5 as they have to be in the file."""
    rows = [
        dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)
    ]
    return [
        {name: value.item() for name, value in row.items() if np.isfinite(value)} for row in rows
    ]


def test_the_file_has_every_row_of_the_history(path, tmp_path):
    run(path, tmp_path / "out")
    found, (history, _) = lines(tmp_path / "out"), read_arrays(tmp_path / "out" / files.HISTORY)
    assert found == as_lines(history)
    assert [row["iteration"] for row in found] == [0, 5, 10, 15, 20, 25, 30, 31]
    assert next(iter(found[1])) == "iteration" and type(found[1]["floats"]) is int
    assert 'log = [\n    "jsonl",\n]' in (tmp_path / "out" / files.CONFIG).read_text()


def test_a_resumed_run_writes_what_an_uninterrupted_one_does(path, tmp_path, monkeypatch):
    """Killed without the logger, and then in the middle of a line that the restart makes again."""
    run(path, tmp_path / "whole")
    cutting(monkeypatch, 14, 28)
    with pytest.raises(Killed):
        run(path, tmp_path / "out", run__log=[])
    assert not (tmp_path / "out" / FILE).exists()
    with pytest.raises(Killed):
        run(path, tmp_path / "out")
    with open(tmp_path / "out" / FILE, "a") as file:
        file.write('{"iteration": 30, "upper')
    run(path, tmp_path / "out")
    assert untimed(tmp_path / "out") == untimed(tmp_path / "whole")
    assert same(tmp_path / "out", tmp_path / "whole")


def test_columns_that_come_later_are_in_the_same_order_after_a_restart(path, tmp_path, monkeypatch):
    """A line is a function of the history alone, with what a row has not left out."""
    for out in ("whole", "out"):
        run(path, tmp_path / out, run__iterations=10)
        more = {"run__metrics": ["hypergradient_norm"], "run__iterations": 31}
        if out == "out":
            cutting(monkeypatch, 21)
            with pytest.raises(Killed):
                run(path, tmp_path / out, **more)
        run(path, tmp_path / out, **more)
    assert untimed(tmp_path / "out") == untimed(tmp_path / "whole")
    rows = lines(tmp_path / "out")
    assert ["hypergradient_norm" in row for row in rows] == [False] * 3 + [True] * 5


class Kept(Logger):
    """Keeps what it is given."""

    made: list["Kept"] = []  # noqa: RUF012

    def __init__(self, about):
        self.about, self.rows, self.end = about, [], None
        Kept.made.append(self)

    def log(self, row):
        self.rows.append(row)

    def close(self, status, reason):
        self.end = status, reason


@pytest.fixture
def kept():
    Kept.made.clear()
    return Kept.made


def checked(**tables):
    run = {
        "agents": 3,
        "iterations": 10,
        "evaluate_every": 5,
        "log": [Kept],
        **tables.pop("run", {}),
    }
    return config.check({"problem": {"name": "quadratic"}, "run": run, **tables})


def test_a_class_of_ones_own(kept):
    result = mpidbo.solve("quadratic", agents=3, iterations=10, evaluate_every=5, log=Kept)
    (logger,) = kept
    assert [row["iteration"] for row in logger.rows] == [0, 5, 10]
    assert [row["upper_loss"] for row in logger.rows] == [*result.history["upper_loss"]]
    assert logger.end == ("finished", "all iterations done")
    assert logger.about.folder is None and logger.about.name == "quadratic sparkle"
    assert logger.about.config["problem.name"] == "quadratic"
    assert logger.about.config["steps.alpha"] == 0.01
    assert {type(value) for value in logger.about.config.values()} <= {bool, int, float, str}


def test_a_class_by_its_name_from_a_folder_of_a_configuration(tmp_path):
    (tmp_path / "own_logger.py").write_text(
        "class Own:\n"
        "    def __init__(self, about):\n"
        "        self.file = about.folder / 'own'\n"
        "    def log(self, row):\n"
        "        self.file.write_text(str(row['iteration']))\n"
        "    def close(self, status, reason):\n"
        "        self.file.write_text(self.file.read_text() + ' ' + status)\n"
    )
    path = toml(tmp_path, {**QUADRATIC, "run.log": ["own_logger:Own"]})
    try:
        run(path, tmp_path / "out")
    finally:
        sys.path.remove(str(tmp_path))
    assert (tmp_path / "out" / "own").read_text() == "31 finished"


def test_a_class_has_its_name_in_the_configuration(tmp_path, kept):
    out = tmp_path / "out"
    mpidbo.solve("quadratic", agents=2, iterations=5, out=out, log=[Kept, "jsonl"])
    assert mpidbo.load(out).tables["run"]["log"] == [f"{Kept.__module__}:Kept", "jsonl"]
    assert kept[0].about.folder == out and kept[0].about.name == "out"


class Fails(BaseException):
    """An error that no run expects."""


def failing(k, error):
    class Observer:
        def next(self, at):
            return at + 1

        def look(self, at, state, last):
            if at == k:
                raise error

    return Observer()


@pytest.mark.parametrize(
    ("tables", "error", "end"),
    [
        ({}, None, ("finished", "all iterations done")),
        (
            {"run": {"stop": {"metric": "upper_loss", "above": 0.0}}},
            None,
            ("finished", "upper_loss"),
        ),
        ({"run": {"max_seconds": 0.0}}, None, ("stopped", "run.max_seconds")),
        ({}, KeyboardInterrupt(), ("stopped", "")),
        ({}, RuntimeError("odd"), ("failed", "RuntimeError: odd")),
        ({"steps": {"alpha": 1e200}}, None, ("diverged", "level")),
    ],
)
def test_how_a_run_ends(kept, tables, error, end):
    with Plan(checked(**tables)) as plan:
        try:
            plan.run(observers=[failing(7, error)] if error else [])
        except (mpidbo.Diverged, KeyboardInterrupt, RuntimeError):
            pass
    status, reason = kept[0].end
    assert status == end[0] and end[1] in reason


def start(self, about):
    raise OSError("no server")


def log(self, row):
    if row["iteration"] == 5:
        raise ValueError("odd\nrow")
    self.rows.append(row)


def always(self, row):
    raise ValueError("again")


def close(self, status, reason):
    raise RuntimeError("too late")


@pytest.mark.parametrize(
    ("method", "printed", "rows"),
    [
        (start, "Kept cannot be started (OSError: no server); the run continues without", None),
        (log, "Kept failed (ValueError: odd row); the run continues", 2),
        (always, "Kept failed (ValueError: again)", 0),
        (close, "Kept failed (RuntimeError: too late)", 3),
    ],
)
def test_one_that_fails_costs_a_warning(kept, monkeypatch, method, printed, rows):
    """One, and the others get all rows."""
    name = {start: "__init__", always: "log"}.get(method, method.__name__)
    failing = type("Kept", (Kept,), {name: method})
    plain = run_config(checked(run={"log": []}))
    with pytest.warns(UserWarning) as found:
        result = run_config(checked(run={"log": [failing, Kept]}))
    assert [str(warning.message)[: len(f"run.log: {printed}")] for warning in found] == [
        f"run.log: {printed}"
    ]
    assert result.x.tobytes() == plain.x.tobytes()
    whole = next(logger for logger in kept if type(logger) is Kept)
    assert len(whole.rows) == 3 and whole.end
    if rows is not None:
        assert len(next(logger for logger in kept if type(logger) is failing).rows) == rows


def test_one_that_hangs_is_left_alone(kept, monkeypatch):
    forever = Event()
    monkeypatch.setattr(logs, "CLOSING_S", 0.01)
    hanging = type("Hanging", (Kept,), {"log": lambda self, row: forever.wait()})
    try:
        with pytest.warns(UserWarning, match=r"run\.log: Hanging has not finished in time"):
            assert run_config(checked(run={"log": [hanging]})).iteration == 10
    finally:
        forever.set()


HANGS = """
import sys, time, warnings
import mpidbo
from mpidbo.solver import logs

class Hangs(mpidbo.storage.Logger):
    def __init__(self, about):
        time.sleep(1000)

logs.CLOSING_S = 0.01
print(mpidbo.solve("quadratic", agents=2, iterations=5, log=Hangs).iteration)
"""


@pytest.mark.slow
def test_one_that_hangs_does_not_keep_the_program_from_its_end():
    done = launch.mpirun(None, ["-c", HANGS], timeout=60)
    assert done.returncode == 0 and done.stdout == "5\n", done.stderr


def test_nothing_is_written_where_a_package_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    path = toml(tmp_path, {**QUADRATIC, "run.log": ["jsonl", "tensorboard"]})
    run(path, tmp_path / "out", code=2)
    assert "pip install 'mpidbo[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_called_like_a_package_is_none(tmp_path, monkeypatch):
    """Such as the folder that wandb itself writes into the working folder."""
    (tmp_path / "wandbox").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(mpidbo.UserError, match="needs the package wandbox"):
        run_config(checked(run={"log": [type("Box", (Kept,), {"package": "wandbox"})]}))


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        (["json"], 'no logger is called "json"; did you mean jsonl?'),
        ("tensorbord", "did you mean tensorboard?"),
        ([3], "run.log: 3 is not a logger"),
        (3, 'run.log: 3 does not fit; give a list of "jsonl"'),
        ([Kept("")], "in Python classes, not instances"),
        (["no_such:Logger"], "no_such cannot be imported (ModuleNotFoundError"),
        (["json:Logger"], 'json has no class "Logger"'),
        (["jsonl"], '"jsonl" writes into the run\'s folder, and this run has none'),
    ],
)
def test_mistakes(given, printed):
    with pytest.raises(mpidbo.UserError) as error:
        mpidbo.solve("quadratic", agents=2, iterations=5, log=given)
    assert str(error.value).startswith("run.log: ") and printed in str(error.value)


def test_what_loggers_write_belongs_to_the_run(path, tmp_path):
    """So that the folder is moved aside with it."""
    run(path, tmp_path / "out")
    for name in ("tensorboard", "wandb", "mlflow.db", files.TRACE):
        (tmp_path / "out" / name).touch()
    assert stored_run(tmp_path / "out").others == ()
    run(path, tmp_path / "out", "--resume", "never")
    assert (tmp_path / "out.1" / FILE).exists()


SCRIPT = """
import os, sys
from mpi4py import MPI
import mpidbo

class Ranks:
    def __init__(self, about):
        self.folder = about.folder
    def log(self, row):
        with open(self.folder / "ranks", "a") as file:
            print(MPI.COMM_WORLD.rank, row["iteration"], file=file)
    def close(self, status, reason):
        self.log({"iteration": status})

mpidbo.solve(
    "quadratic", agents=4, iterations=10, evaluate_every=5, comm=MPI.COMM_WORLD, out=sys.argv[1],
    log=[Ranks, "jsonl"],
)
"""


def test_only_rank_0_logs(mpi, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = mpi(3, [tmp_path / "script.py", tmp_path / "out"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "ranks").read_text().split("\n")[:-1] == [
        "0 0",
        "0 5",
        "0 10",
        "0 finished",
    ]
    assert len(lines(tmp_path / "out")) == 3


@pytest.mark.slow
def test_a_restart_on_more_ranks(mpi, path, tmp_path, monkeypatch):
    run(path, tmp_path / "whole")
    cutting(monkeypatch, 14)
    with pytest.raises(Killed):
        run(path, tmp_path / "out")
    assert mpi(3, ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"]).returncode == 0
    assert untimed(tmp_path / "out") == untimed(tmp_path / "whole")

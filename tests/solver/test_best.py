"""The best iterate of a run: which it is, by a plain reading of the history, and that it has the
same bits after restarts, on any number of ranks and in every place where it can be read."""

import json
import math
import random
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

import mpidbo
from mpidbo.errors import UserError
from mpidbo.parallel import Agents
from mpidbo.problems import Quadratic
from mpidbo.solver import best as solver_best
from mpidbo.solver import recorder
from mpidbo.storage import files, read_arrays, read_best
from support import SUPPORT
from support.runs import QUADRATIC, Killed, contents, cutting, run, same, toml
from support.turning import Turning

RULE = {"metric": "closeness", "mode": "max"}
BEST = {
    **QUADRATIC,
    "problem.name": f"{SUPPORT / 'turning.py'}:Turning",
    "run.best": RULE,
    "run.iterations": 33,
}
"""The best is of iteration 15, where neither a checkpoint is written nor the run ends."""
VARIABLES = "xyzt"


def alike(a, b):
    """Whether two best iterates have the same bits."""
    assert (a.metric, a.mode, a.iteration, a.value) == (b.metric, b.mode, b.iteration, b.value)
    for name in VARIABLES:
        rows, others = getattr(a, name), getattr(b, name)
        assert (rows is None) == (others is None), name
        assert rows is None or rows.tobytes() == others.tobytes(), name
    for name in ("x_mean", "y_mean"):
        rows, others = getattr(a, name), getattr(b, name)
        assert (rows is None) == (others is None) and np.array_equal(rows, others), name
    return True


def same_best(a, b):
    assert same(a, b) and contents(a / files.BEST) == contents(b / files.BEST)
    return alike(read_best(a / files.BEST), read_best(b / files.BEST))


# which iterate


class State(NamedTuple):
    x: np.ndarray
    y: np.ndarray


class Seen(NamedTuple):
    """What the keeper reads of an evaluation."""

    iteration: int
    row: dict
    state: State
    point: object


def test_as_a_plain_reading():
    """Of equal values the first, and never NaN."""
    dice, changes = random.Random(2), 0

    point = SimpleNamespace(rows={})
    for _ in range(300):
        values = [dice.choice([math.nan, -1.0, 0.0, 1.0, 2.0, math.inf]) for _ in range(8)]
        mode, best = dice.choice(["min", "max"]), None
        keeper = solver_best.Keeper(
            "m", mode, every=5, agents=Agents(1), problem=Quadratic, has_common_y=True
        )
        for i, value in enumerate(values):
            state = State(*np.full((2, 1, 3), float(i)))
            keeper(Seen(5 * i, {"m": value}, state, point))
            sign = 1 if mode == "min" else -1
            if not math.isnan(value) and (best is None or sign * value < sign * values[best]):
                best, changes = i, changes + 1
            found = keeper.regular
            if best is None:
                assert found is None
            else:
                assert (found.iteration, found.value) == (5 * best, values[best])
                assert found.x[0, 0] == found.y[0, 0] == best
    assert changes > 500


@pytest.mark.parametrize("method", ["sparkle", "sun-dsbo", "d-soba", "lopa", "maml"])
def test_its_rows_are_those_of_a_run_that_ends_there(method):
    def solve(iterations, target=0.0, **more):
        return mpidbo.solve(
            {"name": Turning, "noise": 0.3, "target": target},
            method,
            agents=4,
            iterations=iterations,
            evaluate_every=1,
            seed=3,
            **more,
        )

    passed = -solve(9).history["closeness"][-1]
    result = solve(20, passed, best=RULE)
    best = result.best
    values = result.history["closeness"]
    assert best.iteration == values.argmax() in range(1, 20) and best.value == values.max()
    short = solve(best.iteration)
    for name in VARIABLES:
        rows = getattr(short, name)
        assert (rows is None) == (getattr(best, name) is None)
        assert rows is None or rows.tobytes() == getattr(best, name).tobytes()
    assert np.array_equal(best.x_tree, short.x_tree) and np.array_equal(best.x_mean, short.x_tree)
    assert (best.y_mean is None) == (short.y_tree is None)


def test_without_a_rule_and_without_a_value():
    class Holes(Quadratic):
        def metrics(self, x, y):
            return {"auc": math.nan}

    assert mpidbo.solve("quadratic", agents=2, iterations=3).best is None
    result = mpidbo.solve(Holes, agents=2, iterations=3, best="auc")
    assert result.best is None and np.isnan(result.history["auc"]).all()


def test_the_end_counts_where_it_is_no_regular_evaluation():
    """The distance still falls at iteration 7, of which 5 is the last regular evaluation."""
    result = mpidbo.solve("quadratic", agents=4, iterations=7, evaluate_every=5, best="distance")
    assert result.best.iteration == 7 and result.best.x.tobytes() == result.x.tobytes()


# files


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the run that nothing interrupts, and its file."""
    folder = tmp_path_factory.mktemp("whole")
    path = toml(folder, BEST)
    run(path, folder / "out")
    assert read_best(folder / "out" / files.BEST).iteration == 15
    return path, folder / "out"


def test_in_all_places(whole, capsys):
    path, out = whole
    kept = mpidbo.load(out).best
    values = read_arrays(out / files.HISTORY)[0]
    assert kept.value == values["closeness"].max() and kept.x.shape == (4, 3)
    assert mpidbo.load(out).iteration == 33
    alone = mpidbo.load(out / files.BEST)
    assert alone.iteration == 15 and alone.x.tobytes() == kept.x.tobytes()
    assert alone.x_tree.tobytes() == kept.x_mean.tobytes() and not alone.finished
    for file, line in (
        (out, "best      closeness"),
        (out / files.BEST, "best.h5: 15 iterations, the best closeness, "),
    ):
        assert mpidbo.cli.main(["show", str(file)]) == 0
        assert line in capsys.readouterr().out
    run(path, out.parent / "again")
    assert "best closeness " in capsys.readouterr().out and same_best(out, out.parent / "again")
    run(path, out.parent / "from", run__iterations=0, run__start=str(out / files.BEST))
    start = read_arrays(out.parent / "from" / files.RESULT)[0]
    assert (start["x"] == kept.x_mean).all() and (start["y"] == kept.y_mean).all()


@pytest.mark.parametrize("cuts", [(7,), (14,), (14, 21), (28,), (33,)])
def test_after_restarts(cuts, whole, tmp_path, monkeypatch):
    path, out = whole
    left = cutting(monkeypatch, *cuts)
    for _ in cuts:
        with pytest.raises(Killed):
            run(path, tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert not left and same_best(out, tmp_path / "cut")


@pytest.mark.parametrize("times", [2, 3, 4])
def test_killed_right_after_it_was_written(times, whole, tmp_path, monkeypatch):
    """It is then newer than the newest checkpoint."""
    path, out = whole
    monkeypatch.setattr(recorder, "BEST_INTERVAL_S", 0.0)
    monkeypatch.setattr(recorder, "BEST_SHARE", math.inf)
    written, usual = [], recorder.write_best

    def write_best(file, best, attributes):
        usual(file, best, attributes)
        written.append(best.iteration)
        if len(written) == times:
            raise Killed

    monkeypatch.setattr(recorder, "write_best", write_best)
    with pytest.raises(Killed):
        run(path, tmp_path / "cut")
    assert mpidbo.load(tmp_path / "cut").best.iteration == 5 * times - 5 == written[-1]
    run(path, tmp_path / "cut")
    assert written[-1] == 15 and same_best(out, tmp_path / "cut")


def test_an_extended_run(tmp_path):
    """Where it ended before, it evaluated out of turn, which the extended run does not."""
    path = toml(tmp_path, {**BEST, "problem.target": 0.65})  # passed at iteration 13
    run(path, tmp_path / "whole")
    for iterations, best in ((8, 8), (13, 13), (19, 15), (33, 15)):
        run(path, tmp_path / "out", run__iterations=iterations)
        assert read_best(tmp_path / "out" / files.BEST).iteration == best
    assert same_best(tmp_path / "whole", tmp_path / "out")


def test_with_patience(tmp_path, monkeypatch):
    tables = {**BEST, "run.stop": {**RULE, "patience": 2}}
    path = toml(tmp_path, {**tables, "checkpoint.every": 5})
    run(path, tmp_path / "whole")
    assert (tmp_path / "whole" / files.DONE).read_text().startswith("25\n")
    cutting(monkeypatch, 15, 25)
    for _ in range(2):
        with pytest.raises(Killed):
            run(path, tmp_path / "cut")
    run(path, tmp_path / "cut")
    assert same_best(tmp_path / "whole", tmp_path / "cut")
    assert read_best(tmp_path / "cut" / files.BEST).iteration == 15


def test_another_metric_when_resumed(whole, tmp_path, capsys):
    path, out = whole
    run(path, tmp_path / "out", run__iterations=20)
    run(path, tmp_path / "out", run__best={**RULE, "mode": "min"})
    printed = "the checkpoint has no best closeness, so that the best is that from iteration 20 on"
    assert printed in capsys.readouterr().out
    history = read_arrays(tmp_path / "out" / files.HISTORY)[0]
    after = history["iteration"] >= 20
    best = read_best(tmp_path / "out" / files.BEST)
    assert best.value == history["closeness"][after].min()
    assert best.iteration == 33
    # Without a rule the file stays, and says what it is.
    run(path, tmp_path / "none", run__iterations=20)
    before = contents(tmp_path / "none" / files.BEST)
    path = toml(tmp_path, {key: value for key, value in BEST.items() if key != "run.best"})
    run(path, tmp_path / "none")
    assert contents(tmp_path / "none" / files.BEST) == before and same(out, tmp_path / "none")


def test_a_run_that_diverges_leaves_it(tmp_path):
    path = toml(tmp_path, {**BEST, "steps.beta": 9.0, "run.iterations": 400})
    run(path, tmp_path / "out", code=3, run__best="upper_loss")
    best = mpidbo.load(tmp_path / "out").best
    history = read_arrays(tmp_path / "out" / files.HISTORY)[0]["upper_loss"]
    assert best.value == history.min() and np.isfinite(best.x).all()


def test_damage_is_named(whole, tmp_path, capsys):
    path, _ = whole
    run(path, tmp_path / "out")
    file = tmp_path / "out" / files.BEST
    file.write_bytes(file.read_bytes()[:-100])
    found = mpidbo.load(tmp_path / "out")
    assert found.x.shape == (4, 3)
    with pytest.raises(UserError, match=r"best\.h5: cannot be read .* remove it"):
        _ = found.best
    assert mpidbo.cli.main(["show", str(tmp_path / "out")]) == 2
    assert "remove it" in capsys.readouterr().err


class Tree(Quadratic):
    def x_tree(self, x):
        return {"first": x[:2], "rest": [x[2:]]}


def test_in_the_form_of_the_problem(tmp_path):
    result = mpidbo.solve(
        Tree, agents=3, iterations=20, evaluate_every=3, best="distance", out=tmp_path / "out"
    )
    for best in (result.best, mpidbo.load(tmp_path / "out").best):
        assert (np.concatenate([best.x_tree["first"], *best.x_tree["rest"]]) == best.x_mean).all()
        assert np.array_equal(best.y_tree, best.y_mean)
    alone = mpidbo.load(tmp_path / "out" / files.BEST)
    assert np.array_equal(alone.x_tree["first"], best.x_tree["first"])


# ranks


@pytest.mark.slow
def test_on_other_ranks(mpi, tmp_path):
    """Four agents on one rank, on three, and on one again, also stopped by a rule at the end."""
    tables = {**BEST, "run.stop": {**RULE, "patience": 3}}
    path = toml(tmp_path, tables)
    run(path, tmp_path / "whole")
    assert (tmp_path / "whole" / files.DONE).read_text().startswith("30\n")
    for ranks, iterations in ((None, 12), (3, 22), (2, 33)):
        words = ["--out", tmp_path / "out", "--set", f"run.iterations={iterations}"]
        done = mpi(ranks, ["-m", "mpidbo", "run", path, *words])
        assert done.returncode == 0, done.stderr
    assert same_best(tmp_path / "whole", tmp_path / "out")


# with patience and a logger, from one rank to three

LOG = "history.jsonl"
ALL_THREE = {
    **BEST,
    "run.stop": [{**RULE, "patience": 2}, {"metric": "closeness", "above": 1e9}],
    "run.log": ["jsonl"],
    "checkpoint.every": 5,
}
"""Patience is over at iteration 25, two evaluations after the best."""


def logged(out):
    """The lines of the logger as they are, but for the seconds."""
    rows = map(json.loads, (out / LOG).read_text().splitlines())
    return [
        json.dumps({k: v for k, v in row.items() if not k.startswith("seconds_")}) for row in rows
    ]


def killed_at(out, path, monkeypatch, *iterations):
    """Start and kill a run in its folder as often as there are iterations."""
    cutting(monkeypatch, *iterations)
    for _ in iterations:
        with pytest.raises(Killed):
            run(path, out)


def same_in_all(a, b):
    assert (a / files.DONE).read_text() == (b / files.DONE).read_text()
    return same_best(a, b) and logged(a) == logged(b)


@pytest.mark.parametrize("cuts", [(5,), (10, 20), (15,), (25,)])
def test_a_restart_with_best_patience_and_a_logger(cuts, tmp_path, monkeypatch):
    path = toml(tmp_path, ALL_THREE)
    run(path, tmp_path / "whole")
    assert (tmp_path / "whole" / files.DONE).read_text().startswith("25\n")
    killed_at(tmp_path / "cut", path, monkeypatch, *cuts)
    run(path, tmp_path / "cut")
    assert same_in_all(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("cut", [10, 20])
def test_the_same_from_one_rank_to_three(cut, mpi, tmp_path, monkeypatch):
    """Killed before the best iterate, and between it and the end."""
    path = toml(tmp_path, ALL_THREE)
    run(path, tmp_path / "whole")
    killed_at(tmp_path / "cut", path, monkeypatch, cut)
    done = mpi(3, ["-m", "mpidbo", "run", path, "--out", tmp_path / "cut"])
    assert done.returncode == 0, done.stderr
    assert same_in_all(tmp_path / "whole", tmp_path / "cut")

"""A metric is one registered function: configuration, history, tables and figures take it from
the registry."""

from types import SimpleNamespace

import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.problems import METRICS, Quadratic, metric
from mpidbo.reports import draw_curves, show
from mpidbo.solver.bar import ProgressBar
from mpidbo.storage import files, history, read_arrays, read_run
from support.runs import QUADRATIC, run, toml


@pytest.fixture
def size():
    """A metric that only this test knows."""

    @metric("size_of_x", label="norm of x", needs=("f",))
    def size_of_x(point):
        return float(np.linalg.norm(point.means["x"]))

    yield size_of_x
    del METRICS["size_of_x"]


@pytest.fixture
def measured(size, tmp_path):
    """A run with that metric."""
    run(toml(tmp_path, {**QUADRATIC, "run.metrics": ["size_of_x"]}), tmp_path / "out")
    return tmp_path / "out"


def test_it_is_in_history_table_and_figure(measured, capsys):
    found = read_run(measured)
    values = found.columns["size_of_x"]
    assert np.isfinite(values).all() and values[-1] > 0 and values.dtype == np.float64
    assert "size_of_x" in show(found)
    axes = draw_curves([found]).axes
    assert "norm of x" in [ax.get_ylabel() for ax in axes]
    assert cli.main(["show", str(measured), "--history"]) == 0
    assert "size_of_x" in capsys.readouterr().out


def test_only_where_it_is_requested(size):
    plain = mpidbo.solve("quadratic", agents=3, iterations=2)
    stopped = mpidbo.solve(
        "quadratic", agents=3, iterations=2, stop={"metric": "size_of_x", "above": 1e9}
    )
    assert "size_of_x" not in plain.history and "size_of_x" in stopped.history


def test_its_name_is_suggested(size):
    with pytest.raises(mpidbo.UserError, match="did you mean size_of_x"):
        mpidbo.solve("quadratic", agents=3, iterations=2, metrics=["size_of_y"])


def test_what_it_needs_is_checked(size):
    class Lossless(Quadratic):
        f = None

    with pytest.raises(mpidbo.UserError, match=r"size_of_x needs f, which the problem does not"):
        mpidbo.solve(Lossless, agents=3, iterations=2, metrics=["size_of_x"])


def test_a_problem_cannot_take_its_name(size):
    class Taken(Quadratic):
        def metrics(self, x, y):
            return {"size_of_x": 1.0}

    with pytest.raises(mpidbo.UserError, match="size_of_x is a name of mpidbo's own"):
        mpidbo.solve(Taken, agents=3, iterations=2)


def test_two_metrics_of_one_name():
    with pytest.raises(ValueError, match="distance is registered already"):
        metric("distance", label="another")


def test_a_family_has_a_column_for_each_variable(tmp_path):
    @metric("largest", label="largest entry", family=True, on_request=False)
    def largest(point):
        return {level: float(abs(point.means[level]).max()) for level in point.levels}

    try:
        found = mpidbo.solve("quadratic", agents=3, iterations=2).history
        assert [name for name in found if name.startswith("largest")] == [
            "largest_x",
            "largest_y",
            "largest_z",
        ]
        assert history.column("largest_z").family == "largest"
    finally:
        del METRICS["largest"]


def test_columns_of_a_row_are_in_their_order():
    found = mpidbo.solve(
        "linear-regression", agents=3, iterations=2, metrics=["curvature", "hypergradient_norm"]
    ).history
    metrics = [name for name in found if history.is_metric(name)]
    assert metrics == [
        "upper_loss",
        "lower_loss",
        "phi",
        "phi_calls",
        "hypergradient_estimate",
        "moved_x",
        "moved_y",
        "consensus_x",
        "consensus_y",
        "consensus_z",
        "lower_distance",
        "distance",
        "hypergradient_norm",
        "curvature",
    ]
    assert [*found][:1] + [*found][-1:] == ["iteration", "seconds_evaluation"]
    assert history.metrics_of(found)[:5] == [
        "upper_loss",
        "phi",
        "lower_loss",
        "distance",
        "hypergradient_norm",
    ]


def test_types_of_columns(tmp_path):
    run(toml(tmp_path, QUADRATIC), tmp_path / "out")
    found, _ = read_arrays(tmp_path / "out" / files.HISTORY)
    integers = {name for name, values in found.items() if values.dtype == np.int64}
    assert integers == {"iteration", "floats", "bytes", "messages", "rounds"} | {
        name for name in found if name.startswith("calls_")
    }
    assert all(history.column(name).dtype == values.dtype for name, values in found.items())
    assert history.column("seconds_update").unit == "s"


def test_the_bar_shows_headlines(monkeypatch):
    bar = ProgressBar(10)
    shown = []
    monkeypatch.setattr(bar.bar, "set_postfix_str", lambda text, refresh: shown.append(text))
    row = dict.fromkeys(
        ("iteration", "lower_loss", "consensus_y", "consensus_x", "error", "distance", "floats"),
        1.0,
    )
    bar.show_row(SimpleNamespace(row=row))
    bar.close()
    assert shown == ["distance 1, consensus_x 1"]


class Shifted(Quadratic):
    """A metric that tells at which x and y it was taken, and which agent took it."""

    def metrics(self, x, y):
        return {"where": float(x.sum() + 10 * y.sum() + 100 * self.agent)}


@pytest.fixture
def own():
    return mpidbo.solve(
        Shifted, agents=3, iterations=4, evaluate_every=2, seed=1, metrics=["agents_own"]
    )


def test_own_metrics_are_those_at_each_agents_own_rows(own):
    rows = zip(own.x, own.y, strict=True)
    where = [x.sum() + 10 * y.sum() + 100 * i for i, (x, y) in enumerate(rows)]
    assert own.history["agents_own_where"][-1] == pytest.approx(np.mean(where), rel=1e-12)
    problems = [Shifted(i, 3, xp=np, seed=1) for i in range(3)]
    rows = zip(problems, own.x, own.y, strict=True)
    losses = [problem.f(x, y, None) for problem, x, y in rows]
    assert own.history["agents_own_upper_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-12)
    assert own.history["agents_own_upper_loss"][-1] != own.history["upper_loss"][-1]


def test_own_metrics_have_the_label_and_the_direction_of_the_metric():
    found = history.column("agents_own_test_accuracy")
    assert (found.label, found.mode) == ("test accuracy, agents' own", "max")
    assert history.column("agents_own_upper_loss").mode == "min"
    assert history.is_reserved("agents_own_anything") and not history.is_reserved("own")
    assert not history.is_reserved("own_error") and not history.is_reserved("agents")


@pytest.mark.parametrize("key", ["metrics", "stop", "best"])
def test_a_column_of_own_requests_it(key):
    name = "agents_own_upper_loss"
    value = {"metrics": [name], "stop": {"metric": name, "above": 1e9}, "best": name}[key]
    run = mpidbo.solve("quadratic", agents=3, iterations=2, **{key: value})
    assert np.isfinite(run.history[name]).all()


def test_own_metrics_of_a_personalized_method_are_refused():
    with pytest.raises(mpidbo.UserError, match=r"run\.metrics: agents_own is of one y"):
        mpidbo.solve("quadratic", method="lopa", agents=3, iterations=2, metrics=["agents_own"])

"""The result of `solve`: by scipy's names, as text, as HTML, as a figure, in a file."""

import sys

import numpy as np
import pytest

import mpidbo
from mpidbo.problems import Quadratic


@pytest.fixture(scope="module")
def result():
    return mpidbo.solve("quadratic", "sparkle-gt-ed", agents=4, iterations=60, evaluate_every=20)


def test_names_of_scipy(result):
    assert result.success and result.message == "all iterations done" and result.nit == 60
    assert np.allclose(result.x_mean, result.x.mean(axis=0))
    assert np.allclose(result.y_mean, result.y.mean(axis=0)) and result.x_tree is result.x_mean
    early = mpidbo.solve("quadratic", agents=4, callback=lambda progress: True)
    assert not early.success and early.message == "stopped by the callback" and early.nit == 0
    rule = {"metric": "distance", "below": 1e9}
    assert mpidbo.solve("quadratic", agents=4, stop=rule).success


def test_a_text_of_ten_lines(result):
    lines = repr(result).splitlines()
    assert 8 <= len(lines) <= 12 and lines[0].strip() == "message: all iterations done"
    text = {name.strip(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert text["run"] == "sparkle-gt-ed on quadratic, 4 agents" and text["x"] == "(4, 5) float64"
    assert float(text["upper_loss"]) == pytest.approx(result.history["upper_loss"][-1], rel=1e-5)


def test_html(result, monkeypatch):
    pytest.importorskip("matplotlib")
    html = result._repr_html_()
    assert html.startswith("<pre>") and html.count("<svg") == html.count("</svg>") == 1
    assert "success: True" in html and "<?xml" not in html
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "<svg" not in result._repr_html_()
    with pytest.raises(mpidbo.UserError, match="pip install 'mpidbo"):
        result.plot()


def test_a_figure(result):
    pytest.importorskip("matplotlib")
    figure = result.plot("distance", against="floats")
    (ax,) = figure.axes
    (drawn,) = ax.lines
    assert drawn.get_xdata().tolist() == result.history["floats"].tolist()
    assert drawn.get_ydata().tolist() == result.history["distance"].tolist()
    assert figure._repr_svg_().startswith("<svg") and len(result.plot().axes) > 1
    with pytest.raises(mpidbo.UserError, match="distanc: not in the history; did you mean dist"):
        result.plot(["distanc"])


def same(result, saved):
    for name in ("x", "y", "z"):
        assert np.array_equal(getattr(result, name), getattr(saved, name)), name
    assert saved.t is None and saved.iteration == result.nit and saved.reason == result.message
    assert saved.finished == result.success and saved.config.method == result.config.method
    for name, column in result.history.items():
        assert np.array_equal(column, saved.columns[name], equal_nan=True), name
    return True


@pytest.mark.parametrize("name", ["mine.h5", "result.h5", "."])
def test_a_file(name, result, tmp_path):
    result.save(tmp_path / name)
    path = tmp_path / ("result.h5" if name == "." else name)
    saved = mpidbo.load(path)
    assert same(result, saved) and [file.name for file in tmp_path.iterdir()] == [path.name]
    assert np.array_equal(saved.x_tree, result.x_tree)
    assert saved.method == "sparkle-gt-ed" and saved.provenance["ranks"] == 1


class Layers(Quadratic):
    def __init__(self, agent, n_agents, *, xp, seed, data=None):
        super().__init__(agent, n_agents, xp=xp, seed=seed)

    def x_tree(self, x):
        return {"first": x[:2], "rest": [x[2:].reshape(3, 1)]}


def test_a_file_of_a_problem_with_a_form_and_data_of_its_own(tmp_path):
    problem = {"name": Layers, "data": np.zeros(3)}
    made = mpidbo.solve(problem, agents=2, iterations=3, callback=lambda at: at.iteration == 0)
    made.save(tmp_path / "a.h5")
    saved = mpidbo.load(tmp_path / "a.h5")
    assert not saved.finished and saved.x_tree["rest"][0].shape == (3, 1)
    assert np.array_equal(saved.x_tree["first"], made.x_tree["first"])
    assert np.array_equal(saved.y_tree, made.y_tree)


def test_a_part_is_not_saved(result, tmp_path):
    from dataclasses import replace

    part = replace(result, x=result.x[:1])
    with pytest.raises(mpidbo.UserError, match="rows of this rank alone; solve with gather"):
        part.save(tmp_path / "a.h5")

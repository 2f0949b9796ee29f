"""Figures of claims for print: format and width."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure

from mpidbo.reports import COLUMN_WIDTH, FORMATS, FigureFolder
from mpidbo.studies.claims import panels as panels_module
from mpidbo.studies.claims.comparison import better
from mpidbo.studies.claims.decay import growth
from mpidbo.studies.claims.finding import findings
from mpidbo.studies.claims.intervals import draw_findings
from mpidbo.studies.claims.panels import panels

X = np.array([1.0, 2.0, 4.0])
VALUES = np.array([[3.0, 2.0, 1.0], [4.0, 3.0, 2.0]])
POINTS = 72
"""To an inch."""


def draw(out):
    """One figure of each kind."""
    shown = {f"panel {i}": {"a method with quite a long name": (X, VALUES)} for i in range(3)}
    judged = findings([better("a comparison of two methods with long names", "", *VALUES)])
    return [
        panels(out, "curves", shown, "iterations", "distance to x* of all agents", log=True),
        growth(out, "growth", {"n": {"a": (X, VALUES)}}, {"n": -1}, "iterations"),
        draw_findings(out, judged),
    ]


@pytest.mark.parametrize(
    ("share", "seeds", "words"),
    [(None, 8, "the middle half"), (0.75, 8, "the middle 75 %"), (0.75, 7, "all")],
)
def test_a_figure_says_what_its_band_is(share, seeds, words, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(Figure, "suptitle", lambda self, title, **rest: titles.append(title))
    rows = np.ones((seeds, 3)) + np.arange(seeds)[:, None]
    curves = {"panel": {"a": (X, rows)}}
    panels(FigureFolder(tmp_path), "curves", curves, "iterations", "distance", share=share)
    assert titles == [f"median over {seeds} seeds, in a band of {words}"]


@pytest.mark.parametrize(("share", "ends"), [(None, [2, 5]), (0.75, [0.875, 6.125])])
def test_the_band_is_of_the_inner_seeds(share, ends):
    """A seed that diverged is worse than all others."""
    rows = np.array([3, 7, 1, 0, 5, 2, 4, 6.0])[:, None] * np.ones(2)
    assert panels_module._band(rows, share).T.tolist() == [ends] * 2
    rows[rows == 6] = np.nan
    assert np.isfinite(panels_module._band(rows)).all()
    assert np.isnan(panels_module._band(rows, 0.75)).all()


def size(path):
    """Width and height of an SVG in inches."""
    root = ET.parse(path).getroot()
    return [float(root.get(side).removesuffix("pt")) / POINTS for side in ("width", "height")]


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(kind, tmp_path):
    for path in draw(FigureFolder(tmp_path, kind)):
        assert path.suffix == f".{kind}" and path.stat().st_size > 0


def test_one_column(tmp_path):
    for path in draw(FigureFolder(tmp_path, "svg", column=True)):
        assert size(path)[0] == pytest.approx(COLUMN_WIDTH), path
    panels_below, *_ = draw(FigureFolder(tmp_path, "svg", column=True))
    width, height = size(panels_below)
    assert height > width  # three panels below each other
    panels_beside, *_ = draw(FigureFolder(tmp_path, "svg"))
    width, height = size(panels_beside)
    assert width > height

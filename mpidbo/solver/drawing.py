"""Figures of a result, which a package above this one draws.

`solve` needs no figures, and figures need no solver: the package that draws is named here, and
imported when a figure is asked for, as pandas does with its plotting backends.
"""

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from io import StringIO
from typing import Any

from ..storage import Saved

BACKEND = "mpidbo.reports"
"""The package with `draw_curves`."""


def draw(runs: Sequence[Saved], metrics: Sequence[str], against: str) -> Any:
    """Return a figure of the curves of runs, which a notebook shows."""
    figure = import_module(BACKEND).draw_curves(runs, metrics, against)
    # IPython asks an object for it; without pyplot it would show no figure.
    figure._repr_svg_ = partial(as_svg, figure)
    return figure


def as_svg(figure: Any) -> str:
    """Return a figure as text that HTML may hold."""
    drawn = StringIO()
    figure.savefig(drawn, format="svg")
    text = drawn.getvalue()
    return text[text.index("<svg") :]

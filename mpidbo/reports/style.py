"""The style of all figures: colors, lines, axes, bands over seeds, and their files."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from .._types import Array, Float
from ..errors import UserError

Figure = Any
"""A figure of matplotlib, which is optional and imported where it is used."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
"""Distinguishable with colour blindness: Okabe and Ito's, with Tol's olive in place of yellow."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
"""By which curves are distinguished without colors, in the order of `COLORS`."""
SPACED_MARKERS = 8
"""Markers of a curve that is too long for one at each point."""
FORMATS = ("png", "pdf", "svg")
DPI = 150
COLUMN_WIDTH = 3.4
"""Inches of a column of a two-column page."""
COLUMN_FONT_SIZE = 8
MAX_COLUMN_TITLE = 44
"""Characters of a line of a title that is one column wide."""
MARKER_SIZE = 3
MAX_MARKED_POINTS = 25
"""Points of a curve up to which each has a marker."""
MIN_LOG_RATIO = 100
"""How many times the smallest value the largest must be for a logarithmic axis."""
MIN_ABBREVIATED = 10**4
"""From where on the numbers of an x axis are written as 20 k."""


def matplotlib(module: str) -> Any:
    """Import a module of matplotlib.

    Raises
    ------
    UserError
        Where matplotlib is not installed.
    """
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError:
        raise UserError(
            "figures need matplotlib, which is not installed; install it: "
            "pip install 'mpidbo[plot]'"
        ) from None


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, which makes room for labels and legends."""
    return matplotlib("figure").Figure(figsize=(width, height), layout="constrained")


def text_of(column: bool) -> AbstractContextManager[Any]:
    """Return a context in which text has the size for one column of a page, or the usual one."""
    settings = {"font.size": COLUMN_FONT_SIZE} if column else {}
    context: AbstractContextManager[Any] = import_module("matplotlib").rc_context(settings)
    return context


def draw_target(ax: Any, value: float) -> None:
    """Draw a line at a value that curves are to reach."""
    ax.axhline(value, color="0.3", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)


def draw_divergence(ax: Any, x: Any, y: Any, color: str) -> None:
    """Draw a cross at the last finite value of a run that diverged."""
    finite = np.flatnonzero(np.isfinite(y))
    if finite.size:
        last = finite[-1]
        ax.plot(x[last], y[last], color=color, marker="x", markersize=7, markeredgewidth=2)


def line(**properties: Any) -> Any:
    """Return a line for a legend."""
    return matplotlib("lines").Line2D([], [], **properties)


def widths(count: int, thickest: float = 2.6, thinnest: float = 1.2) -> list[float]:
    """Return line widths: later lines are thinner, so that all lines that coincide are seen."""
    step = (thickest - thinnest) / max(1, count - 1)
    return [thickest - step * i for i in range(count)]


def marker(points: int) -> str:
    """Return the marker of a curve with so many points: none where they are many."""
    return "o" if points <= MAX_MARKED_POINTS else ""


def markers(points: int, number: int) -> dict[str, Any]:
    """Return the markers of curve `number` of several: at each point, or some where they are many.

    Parameters
    ----------
    points : int
        How many points the curve has.
    number : int
        The place of the curve among the others, by which it also has its color.

    Returns
    -------
    dict
        Properties of a line of matplotlib. Curves of different numbers have their markers at
        different points, so that those of curves that coincide are all seen.
    """
    every = 1 if points <= MAX_MARKED_POINTS else -(-points // SPACED_MARKERS)
    kind = number % len(MARKERS)
    return {
        "marker": MARKERS[kind],
        "markersize": MARKER_SIZE if every == 1 else MARKER_SIZE + 1.5,
        "markevery": (kind * every // len(MARKERS), every),
    }


def style_axes(ax: Any, *, ticks: int = 0, abbreviate: bool = True) -> None:
    """Set the grid, spines, margins and numbers of axes; call it once their data are drawn.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    ticks : int, default 0
        Intervals of the x axis at most; 0: as matplotlib has them.
    abbreviate : bool, default True
        Whether large numbers of the x axis are written as 20 k.
    """
    ticker = matplotlib("ticker")
    if ticks:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    if abbreviate and ax.dataLim.x1 >= MIN_ABBREVIATED:
        ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=" "))
    ax.margins(x=0.02)
    style_frame(ax)


def style_frame(ax: Any) -> None:
    """Set the grid and spines of axes."""
    ax.grid(True, color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def is_logarithmic(columns: Iterable[Array]) -> bool:
    """Return whether an axis of these values is to be logarithmic.

    It is where no value is negative and the positive ones span more than two orders of magnitude.
    """
    values = np.concatenate([*columns, np.empty(0)])
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if not positive.size or values.min() < 0:
        return False
    return bool(positive.max() > MIN_LOG_RATIO * positive.min())


def draw_band(
    ax: Any,
    x: Float[Array, " points"],
    values: Float[Array, "seeds points"],
    color: str,
    width: float,
    *,
    alpha: float = 0.15,
    median: Float[Array, " points"] | None = None,
    marker: str = "",
) -> None:
    """Draw the median over seeds, in a band from the smallest to the largest value.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : array of shape (points,)
    values : array of shape (seeds, points)
        NaN where a seed has no value.
    color : str
    width : float
        Of the line of the median.
    alpha : float, default 0.15
        Opacity of the band.
    median : array of shape (points,), optional
        In place of the median of `values`; not drawn where it is not finite.
    marker : str, default ""
        Of each point of the median.
    """
    with catch_warnings(), np.errstate(all="ignore"):
        simplefilter("ignore", RuntimeWarning)  # a point without any finite value
        smallest, largest = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    ax.fill_between(x, smallest, largest, color=color, alpha=alpha, linewidth=0)
    if median is None:
        median = np.median(values, axis=0)
    shown = np.where(np.isfinite(median), median, np.nan)
    ax.plot(x, shown, color=color, linewidth=width, marker=marker, markersize=MARKER_SIZE)


def legend_below(
    figure: Figure, lines: Sequence[Any], names: Sequence[str], columns: int, **look: Any
) -> None:
    """Add a legend below all axes of a figure."""
    figure.legend(lines, names, loc="outside lower center", ncols=columns, frameon=False, **look)


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a .png, .pdf or .svg, by the name of the file.

    The same figure has the same bytes at any time. A PDF has its fonts as TrueType, as journals ask
    for.

    Raises
    ------
    UserError
        Where the file has another format, or cannot be written.
    """
    kind = figure_format(path)
    drawn = BytesIO()
    dated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with import_module("matplotlib").rc_context({"pdf.fonttype": 42, "svg.hashsalt": "mpidbo"}):
        figure.savefig(drawn, format=kind, dpi=DPI, metadata=dated.get(kind))
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise UserError(
            f"{path}: could not be written ({error.strerror or error}); give another file"
        ) from None


def figure_format(path: Path) -> str:
    """Return "png", "pdf" or "svg", the format of a figure with this name.

    Raises
    ------
    UserError
        Where the name has another ending.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UserError(f"{path}: a figure is a .{', a .'.join(FORMATS)}; give such a name")
    return kind


@dataclass(frozen=True)
class FigureFolder:
    """A folder for several figures of one format and width.

    Parameters
    ----------
    folder : Path
        The folder, which exists.
    kind : {"png", "pdf", "svg"}, default "png"
        The format.
    column : bool, default False
        Whether figures are as wide as one column of a page, 3.4 inches, with small text and panels
        below each other.
    """

    folder: Path
    kind: str = "png"
    column: bool = False

    def text(self) -> AbstractContextManager[Any]:
        """The context in which text has the size for this width."""
        return text_of(self.column)

    def filled(self, title: str, width: int = MAX_COLUMN_TITLE) -> str:
        """A title; in one column in lines of at most so many characters."""
        return fill(title, width) if self.column else title

    def save(self, figure: Figure, name: str) -> Path:
        """Write a figure, and return its file."""
        path = self.folder / f"{name}.{self.kind}"
        save(figure, path)
        return path

"""The metrics of mpidbo's own: each is one function, registered with its name, label and needs.

A metric is computed at every evaluation and is a column of the history. Those on request cost more
than an evaluation and are computed where `run.metrics` or `run.stop` names them. Figures, tables,
the progress bar and the checks of a configuration read the registry `METRICS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._types import Array, Float
from .averages import Averaged
from .hypergradients import hypergradient
from .lower_level import EXACT, Accuracy, LowerSolution, solve_lower_level

LAST = 100
"""The order of metrics that have no place of their own in tables and figures."""


@dataclass(frozen=True)
class Point:
    """What metrics are computed from at an evaluation.

    Parameters
    ----------
    averaged : Averaged
        Losses and oracles averaged over all agents: `averaged("g_y", x, y)`; collective.
    rows : mapping
        Variable ("x", "y", "z", "t") -> its rows of this rank's agents, (m, d).
    means : mapping
        Variable -> its mean over all agents, (d,).
    levels : tuple of str
        The variables that gossip.
    y_of_losses : array of shape (q,) or (m, q)
        The lower variable at which losses are taken: the mean of y, or each agent's own with a
        personalized method.
    solution : array of shape (p,) or None
        x* of the whole network, where the problem knows it.
    start : mapping
        "x" and "y" -> where the run started, (p,) and (q,).
    estimate : array of shape (p,) or None
        The mean over agents of the method's own estimate of the hypergradient, where it has one.
    k : int
        Iterations done.
    second_order : bool
        Whether metrics that nobody asked for may call g_yy.
    accuracy : Accuracy
        Of the minimiser of g.
    of_problem : callable
        (x, y), (p,) and (q,) or a row for each agent -> the problem's own metrics there, averaged
        over all agents; collective.
    """

    averaged: Averaged
    rows: Mapping[str, Float[Array, "m d"]]
    means: Mapping[str, Float[Array, " d"]]
    levels: tuple[str, ...]
    y_of_losses: Array
    solution: Float[Array, " p"] | None
    start: Mapping[str, Float[Array, " d"]]
    estimate: Float[Array, " p"] | None
    k: int
    second_order: bool = True
    accuracy: Accuracy = EXACT
    of_problem: Callable[[Array, Array], Mapping[str, float]] = lambda x, y: {}

    @cached_property
    def lower_solution(self) -> LowerSolution:
        """The minimiser of the network's g at the mean x; the first access is collective."""
        x, y = self.means["x"], self.means["y"]
        return solve_lower_level(
            self.averaged, x, y, second_order=self.second_order, accuracy=self.accuracy
        )

    def moved(self, variable: str) -> float:
        """Return the distance of the mean of x or y from its start."""
        return _norm(self.means[variable] - self.start[variable])

    def spread(self, variable: str, center: Float[Array, " d"]) -> float:
        """Return the root mean square over agents of the distance to a point; collective."""
        squares = [float(d @ d) for d in self.rows[variable] - center]
        return float(np.sqrt(self.averaged.agents.mean(np.array(squares))))


Measure = Callable[[Point], float | Mapping[str, float] | None]


@dataclass(frozen=True)
class Metric:
    """A metric of mpidbo's own: how it is called and shown, what it needs, and how it is computed.

    Parameters
    ----------
    name : str
        The column of the history; of a family the first part of its columns' names.
    label : str
        The y axis of figures.
    measure : callable or None
        Point -> the number, None where this run does not have it; of a family variable -> number.
        None: methods compute it (`Method.metrics`).
    needs : tuple of str
        The losses and oracles that every agent's problem must define.
    variable : str
        A variable that the method must have: "z" or "t".
    common_y : bool
        Whether it is of one y for the network, which a personalized method does not have.
    on_request : bool
        Whether it is computed only where `run.metrics` or `run.stop` names it.
    if_small : bool
        Whether a metric on request is also computed by default where the problem is small.
    beside : str
        The metric with which it is computed, of which it is a detail: not requested by itself, and
        not shown where metrics are listed in one line.
    family : bool
        Whether it has a column for each variable, NAME_x, NAME_y, ...
    per_metric : bool
        Whether it has a column for each metric of the problem and for f, NAME_METRIC.
    headline : bool
        Whether figures show it unless asked for others, and the progress bar.
    order : int
        Its place in tables and figures; the smaller the earlier.
    mode : {"min", "max", ""}
        Whether it is to become small or large; "" where neither is better.
    """

    name: str
    label: str
    measure: Measure | None = None
    needs: tuple[str, ...] = ()
    variable: str = ""
    common_y: bool = False
    on_request: bool = False
    if_small: bool = False
    beside: str = ""
    family: bool = False
    per_metric: bool = False
    headline: bool = False
    order: int = LAST
    mode: str = "min"

    def columns(self, point: Point) -> dict[str, float]:
        """Return its columns of a row of the history; collective."""
        found = self.measure(point) if self.measure else None
        if found is None:
            return {}
        if isinstance(found, Mapping):
            return {f"{self.name}_{variable}": value for variable, value in found.items()}
        return {self.name: found}


METRICS: dict[str, Metric] = {}
"""Name -> metric, in the order of their columns in a row of the history."""


def metric(
    name: str,
    *,
    label: str,
    needs: tuple[str, ...] = (),
    variable: str = "",
    common_y: bool = False,
    on_request: bool = True,
    if_small: bool = False,
    beside: str = "",
    family: bool = False,
    per_metric: bool = False,
    headline: bool = True,
    order: int = LAST,
    mode: str = "min",
) -> Callable[[Measure], Measure]:
    """Register a function of a `Point` as a metric.

    Parameters
    ----------
    name, label, needs, variable, common_y, on_request, if_small, beside, family, per_metric,
    headline, order, mode
        As of `Metric`; on request and shown in figures by default.

    Returns
    -------
    callable
        A decorator that returns the function unchanged.
    """
    if name in METRICS:
        raise ValueError(f"a metric {name} is registered already")

    def register(measure: Measure) -> Measure:
        METRICS[name] = Metric(
            name,
            label,
            measure,
            needs=needs,
            variable=variable,
            common_y=common_y,
            on_request=on_request,
            if_small=if_small,
            beside=beside,
            family=family,
            per_metric=per_metric,
            headline=headline,
            order=order,
            mode=mode,
        )
        return measure

    return register


def requestable() -> list[str]:
    """Return the metrics that are computed where `run.metrics` names them."""
    return [name for name, entry in METRICS.items() if entry.on_request and not entry.beside]


def requested_for(column: str) -> str:
    """Return the metric on request that a column of the history belongs to; "" if none."""
    for name in requestable():
        if column == name or (METRICS[name].per_metric and column.startswith(f"{name}_")):
            return name
    return ""


@metric("upper_loss", label="upper loss f", needs=("f",), on_request=False, order=0)
def upper_loss(point: Point) -> float:
    """f at the agents' averages, the mean over agents."""
    return float(point.averaged.loss("f", point.means["x"], point.y_of_losses))


@metric("lower_loss", label="lower loss g", needs=("g",), on_request=False, headline=False, order=2)
def lower_loss(point: Point) -> float:
    """g at the agents' averages, the mean over agents."""
    return float(point.averaged.loss("g", point.means["x"], point.y_of_losses))


@metric(
    "phi",
    label="Φ(x), y solved for",
    needs=("f", "g", "g_y"),
    common_y=True,
    if_small=True,
    order=1,
)
def phi(point: Point) -> float:
    """f at the average of x and the minimiser of g there, the mean over agents."""
    y = point.lower_solution.y
    if np.isnan(y).any():
        return np.nan
    return float(point.averaged.loss("f", point.means["x"], y.astype(point.means["y"].dtype)))


@metric("phi_calls", label="oracle calls for Φ", beside="phi", headline=False)
def phi_calls(point: Point) -> float:
    """What `phi` cost at this evaluation: calls of oracles and losses, total over agents."""
    return float(point.lower_solution.calls + point.averaged.agents.n)


@metric(
    "hypergradient_estimate",
    label="|estimate of grad Φ|",
    on_request=False,
    headline=False,
    order=5,
)
def hypergradient_estimate(point: Point) -> float | None:
    """The norm of the agents' average of the method's own estimate; NaN before the first one."""
    if point.estimate is None:
        return None
    return _norm(point.estimate) if point.k else np.nan


@metric("moved_x", label="distance of x from its start", on_request=False, headline=False, mode="")
def moved_x(point: Point) -> float:
    """The distance of the average of x from its start."""
    return point.moved("x")


@metric("moved_y", label="distance of y from its start", beside="moved_x", headline=False, mode="")
def moved_y(point: Point) -> float:
    """The distance of the average of y from its start."""
    return point.moved("y")


@metric("consensus", label="consensus distance", on_request=False, family=True, order=8)
def consensus(point: Point) -> dict[str, float]:
    """The root mean square over agents of the distance to their average, of each variable."""
    return {level: point.spread(level, point.means[level]) for level in point.levels}


@metric("distance", label="distance to x*", on_request=False, order=3)
def distance(point: Point) -> float | None:
    """The root mean square over agents of the distance of x to x*."""
    return None if point.solution is None else point.spread("x", point.solution)


METRICS["residual"] = Metric("residual", "residual G − V", headline=True, order=6)
METRICS["refined_residual"] = Metric(
    "refined_residual", "refined residual G − V", on_request=True, order=7
)
# The two are computed by the methods with a variable t (`Method.metrics`).


@metric(
    "hypergradient_norm",
    label="|grad Φ|",
    needs=("f_x", "f_y", "g", "g_y", "g_yy", "g_xy"),
    common_y=True,
    order=4,
)
def hypergradient_norm(point: Point) -> float:
    """The norm of grad Phi at the average of x."""
    found = hypergradient(point.averaged, point.means["x"], point.means["y"])
    return float(np.linalg.norm(found))


@metric(
    "curvature", label="curvature along z", needs=("g_yy",), variable="z", headline=False, mode=""
)
def curvature(point: Point) -> float:
    """z' g_yy z / |z|^2 at the agents' averages; NaN where z is 0."""
    x, y, z = (point.means[variable] for variable in "xyz")
    square = float(z @ z)
    return float(z @ point.averaged("g_yy", x, y, z)) / square if square else np.nan


@metric("agents_own", label="agents' own", needs=("f",), common_y=True, per_metric=True)
def agents_own(point: Point) -> dict[str, float]:
    """f and the problem's metrics at each agent's own x and y, the mean over agents."""
    x, y = point.rows["x"], point.rows["y"]
    loss = float(point.averaged.loss("f", x, y))
    return {"upper_loss": loss, **point.of_problem(x, y)}


def _norm(vector: Float[Array, " d"]) -> float:
    return float(np.linalg.norm(np.asarray(vector, np.float64)))

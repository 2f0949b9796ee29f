"""The metrics of a run at a state: those of the package, of its method and of its problem."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .._linalg import added
from .._types import Array, Float
from ..algorithms import METHODS, Method
from ..errors import UserError, shown
from ..parallel import Agents, agreed, host
from ..problems import EXACT, METRICS, Accuracy, Averaged, Oracle, Point, of_agent, returned
from ..storage import is_reserved, place_in_row
from .small import is_small


class Measures:
    """The metrics that a run has, computed at the agents' averages of a state.

    Every method is collective and has the same answer on every rank, whatever their number.

    Parameters
    ----------
    method : Method
        The method of the run.
    problems : list of Problem
        The problems of this rank's agents.
    oracle : Oracle
        Their oracles; calls of metrics are not counted as its own.
    agents : Agents
        The agents of the run.
    requested : tuple of str
        The metrics on request, `run.metrics`.
    start : mapping
        "x" and "y" -> where the run started, (p,) and (q,).
    """

    def __init__(
        self,
        method: Method,
        problems: list[Any],
        oracle: Oracle,
        agents: Agents,
        requested: tuple[str, ...],
        start: Mapping[str, Float[Array, " d"]],
    ) -> None:
        self.method, self.problems, self.agents = method, problems, agents
        self.requested, self.start = requested, start
        self.averaged = Averaged(oracle.twin(), agents)
        self.is_small = is_small(problems, agents)
        self.metrics = [
            entry
            for entry in METRICS.values()
            if self._is_measured(entry.beside or entry.name)
            and self._is_defined(METRICS[entry.beside or entry.name].needs)
        ]
        self.of_method = [
            name
            for name, needs in method.own_metrics.items()
            if self._is_measured(name) and self._is_defined(needs)
        ]
        # A first-order method may solve problems whose g_yy cannot be computed.
        self.second_order = "g_yy" in method.needs or "phi" in requested
        # Of other methods x is not meant to be x*: a distance would say nothing.
        self.solution = None
        if method.bilevel and not method.personalized:
            self.solution = self._solution()

    def point(self, k: int, state: Any, accuracy: Accuracy = EXACT) -> Point:
        """Return what metrics are computed from after k iterations: rows and averages.

        The accuracy is that of the minimiser of g.
        """
        levels = self.method.levels
        variables = dict.fromkeys(("x", "y", *levels))
        rows = {variable: host(getattr(state, variable)) for variable in variables}
        means = {variable: self.agents.mean(part) for variable, part in rows.items()}
        y = means["y"]
        if self.method.personalized:
            y = self._heads(means["x"], y, state)
        estimates = self.method.estimate(max(k, 1), state)
        return Point(
            self.averaged,
            rows,
            means,
            tuple(levels),
            y,
            self.solution,
            self.start,
            None if estimates is None else self.agents.mean(host(estimates)),
            k,
            self.second_order,
            accuracy,
            self._of_problem,
        )

    def row(self, state: Any, point: Point) -> dict[str, float]:
        """Return the metrics at a state and its `point`, in the order of the history."""
        found: dict[str, float] = {}
        for entry in self.metrics:
            found |= entry.columns(point)
        found |= self._of_problem(point.means["x"], point.y_of_losses)
        found |= self.method.metrics(self.averaged, point.means, self.of_method)
        return {name: found[name] for name in sorted(found, key=place_in_row)}

    def _is_measured(self, name: str) -> bool:
        """Whether a run has the metric if its problem defines it: requested, or not on request."""
        if name in self.requested or name not in METRICS:
            return True
        entry, method = METRICS[name], self.method
        has_common_y = method.bilevel and not method.personalized
        fits = has_common_y or not entry.common_y
        return not entry.on_request or (entry.if_small and self.is_small and fits)

    def _is_defined(self, needs: Iterable[str]) -> bool:
        """Whether every agent's problem defines these losses and oracles."""
        return all([self.averaged.defines(need) for need in needs])

    def _all(self, conditions: Iterable[bool]) -> bool:
        """Whether the conditions are true on every rank."""
        failures = np.array([not all(conditions)], np.int64)
        return not self.agents.allreduce_sum(failures)[0]

    def _solution(self) -> Float[Array, " p"] | None:
        """x* where every agent knows it."""
        problem, p = self.problems[0], self.averaged.p
        x = problem.solution() if hasattr(problem, "solution") else None
        with agreed(self.agents.comm):
            if x is not None and returned(x) != f"shape ({p},)":
                where = f"problem {type(problem).__name__}.solution()"
                raise UserError(f"{where}: {returned(x)}; return x* of shape ({p},), or None")
        return host(x) if self._all([x is not None]) else None

    def _heads(
        self, x: Float[Array, " p"], y: Float[Array, " q"], state: Any
    ) -> Float[Array, "m q"]:
        """Each agent's own lower variable at the averages x and y."""
        backend, m = self.averaged.oracle.backend, self.agents.m
        xs, ys = (backend.rows(np.repeat(part[None], m, axis=0)) for part in (x, y))
        return host(self.method.heads(self.averaged.full, xs, ys, state))

    def _of_problem(self, x: Float[Array, "*m p"], y: Float[Array, "*m q"]) -> dict[str, float]:
        """The problem's own metrics, averaged over the agents that have them.

        x and y are common, (p,) and (q,), or have a row for each agent of this rank.
        """
        x, y = (self.averaged.oracle.backend.array(part) for part in (x, y))
        found = []
        with agreed(self.agents.comm):
            for i, problem in enumerate(self.problems):
                if hasattr(problem, "metrics"):
                    row = problem.metrics(of_agent(x, i), of_agent(y, i))
                    found.append(_checked(problem, row))
        names = self._names_of_problem(found)
        row = {}
        for name in names:
            mine = np.array([metrics.get(name, np.nan) for metrics in found])
            # NaN, which is not equal to itself: the agent's problem lacks the metric or its value.
            values = [value for value in self.agents.gather(mine).tolist() if value == value]
            row[name] = added(values) / len(values) if values else np.nan
        return row

    def _names_of_problem(self, found: list[dict[str, float]]) -> list[str]:
        """The names of all agents' own metrics. Raises UserError for a name of the package."""
        mine = "\n".join({name for metrics in found for name in metrics})
        # Problems of other ranks may have other metrics; the columns have to be the same on all.
        everyone = self.agents.allgather_text(mine)
        names = sorted({name for text in everyone for name in text.split("\n") if name})
        # Those of methods that are not imported are in METRICS.
        of_methods = set[str]().union(*(rule.own_metrics for rule in METHODS.imported()))
        taken = [name for name in names if is_reserved(name, of_methods)]
        if taken:
            with agreed(self.agents.comm):
                where = f"problem {type(self.problems[0]).__name__}.metrics"
                raise UserError(f"{where}: {taken[0]} is a name of mpidbo's own; choose another")
        return names


def _checked(problem: Any, row: Any) -> dict[str, float]:
    """A problem's own metrics. Raises UserError unless they are numbers with names."""
    where = f"problem {type(problem).__name__}.metrics"
    if not isinstance(row, Mapping):
        raise UserError(
            f"{where}: {shown(row)} is not a dictionary; return {{name: number}}, or {{}}"
        )
    for name, value in row.items():
        if not isinstance(name, str) or not name or set(name) & set("/\n"):
            raise UserError(
                f"{where}: {shown(name)} cannot be a metric's name; give a string without a slash"
            )
        if returned(value) != "shape ()":
            raise UserError(f"{where}: {name} is {shown(value)}, not a number; return one")
    return {name: float(value) for name, value in row.items()}


def check_request(
    requested: tuple[str, ...], method: Method, problems: list[Any], agents: Agents
) -> None:
    """Refuse metrics on request that this method or problem does not have; collective.

    Parameters
    ----------
    requested : tuple of str
        `run.metrics`.
    method : Method
    problems : list
        The problems of this rank's agents.
    agents : Agents

    Raises
    ------
    UserError
        On all ranks.
    """
    with agreed(agents.comm):
        for name in requested:
            entry = METRICS[name]
            needs = entry.needs or method.own_metrics.get(name, ())
            missing = [
                need for need in needs if any(getattr(p, need, None) is None for p in problems)
            ]
            if missing:
                raise UserError(
                    f"run.metrics: {name} needs {', '.join(missing)}, which the problem does not "
                    "define; leave it out"
                )
            if "g_xy" in needs and getattr(problems[0], "project_y", None) is not None:
                raise UserError(
                    f"run.metrics: {name} is of a y without constraints, and the problem has a "
                    "project_y; leave it out, or take phi"
                )
            if entry.variable and entry.variable not in method.levels:
                raise UserError(
                    f"run.metrics: {name} needs a method with a variable {entry.variable}; "
                    "leave it out or choose another method"
                )
            if entry.measure is None and name not in method.own_metrics:
                owners = [key for key, (rule, _) in METHODS.items() if name in rule.own_metrics]
                raise UserError(
                    f"run.metrics: {name} is a metric of {' and '.join(owners)}; "
                    "leave it out or choose one of these methods"
                )
            if entry.common_y and method.personalized:
                raise UserError(
                    f"run.metrics: {name} is of one y for the network, here each agent has its "
                    "own; leave it out"
                )

"""The best iterate along a run, by the metric of `run.best`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from ..parallel import Agents, agreed, host
from ..storage import VARIABLES, Best, column, trees
from .evaluation import Evaluated
from .stop_rules import improves, mistake, spelled

Gather = Literal["everywhere", "root", "no"]


class Keeper:
    """A watcher that keeps the best iterate by a metric; of equal ones the first, and never a NaN.

    States are never changed, so a reference keeps one. An evaluation at the end of a run that is
    not a regular one counts for the result alone, since a resumed run drops it.

    Parameters
    ----------
    metric : str
        A metric of the history.
    mode : {"min", "max", ""}, optional
        Whether smaller or larger is better; default: by the name of the metric.
    every : int
        Iterations between two regular evaluations.
    agents : Agents
    problem : Problem
        One of this rank's, for the problem's own form of the averages.
    has_common_y : bool
        Whether the mean of y over the agents is of use.
    """

    def __init__(
        self,
        metric: str,
        mode: str = "",
        *,
        every: int,
        agents: Agents,
        problem: Any,
        has_common_y: bool,
    ) -> None:
        self.metric, self.mode = metric, mode or column(metric).mode
        self.every, self.agents, self.problem = every, agents, problem
        self.averaged = ("x", "y") if has_common_y else ("x",)
        self.regular: Best | None = None
        """The best of the regular evaluations, with this rank's rows."""
        self.end: Best | None = None
        """The same with the evaluation at the end, if that is not regular."""
        self._is_checked = False

    def __call__(self, evaluated: Evaluated) -> None:
        """Keep the iterate of an evaluation if it is the best so far.

        Raises
        ------
        UserError
            On all ranks: the run has no such metric, or it is not known what is better.
        """
        if not self._is_checked:
            self.metric, self.mode = spelled(self.metric, self.mode, evaluated.row)
            wrong = mistake(self.metric, self.mode, evaluated.row, "run.best", needs_metric=True)
            if wrong:
                with agreed(self.agents.comm):
                    raise UserError(wrong)
            self._is_checked = True
        self.end = self._better(
            evaluated.iteration,
            evaluated.row.get(self.metric, np.nan),
            evaluated.state,
            evaluated.point.rows,
        )
        if evaluated.iteration % self.every == 0:
            self.regular = self.end

    def resume(
        self, k: int, state: Any, kept: Best | None, history: Mapping[str, Sequence[float]]
    ) -> None:
        """Go on from a checkpoint after k iterations.

        Parameters
        ----------
        k : int
        state : NamedTuple of arrays (m, d)
            The state then.
        kept : Best or None
            What the checkpoint has; of another metric it is of no use.
        history : mapping
            The columns then.
        """
        self.metric, self.mode = spelled(self.metric, self.mode, history)
        if self.is_of_this(kept):
            self.regular = kept
        if self.metric in history and history["iteration"][-1] == k:
            self.regular = self._better(k, history[self.metric][-1], state)
        self.end = self.regular

    def is_of_this(self, kept: Best | None) -> bool:
        """Whether that is the best by the same metric."""
        if kept is None:
            return False
        return (kept.metric, kept.mode) == spelled(self.metric, self.mode, [kept.metric])

    def best(self, gather: Gather = "everywhere") -> Best | None:
        """Return the best iterate so far with its averages; collective.

        Parameters
        ----------
        gather : {"everywhere", "root", "no"}
            Which ranks get the rows of all agents. The others have this rank's, or none.
        """
        if self.end is None:
            return None
        agents, rows = self.agents, dict(self.end.rows)
        means = {name: agents.mean(rows[name]) for name in self.averaged}
        with agreed(agents.comm):
            forms = trees.of(self.problem, means["x"], means.get("y"))
        if gather != "no":
            everywhere = gather == "everywhere"
            rows = {name: agents.gather(part, everywhere) for name, part in rows.items()}
        return replace(self.end, rows=rows, means=means, trees=forms)

    def _better(
        self, k: int, value: float, state: Any, rows: Mapping[str, Float[Array, "m d"]] = {}
    ) -> Best | None:
        """The better one of this iterate and the best of the regular evaluations.

        `rows` has variables that are on the host already.
        """
        best = self.regular
        if not improves(value, best.value if best else np.nan, self.mode):
            return best
        found = {
            name: rows[name] if name in rows else host(getattr(state, name))
            for name in VARIABLES
            if hasattr(state, name)
        }
        return Best(self.metric, self.mode, k, float(value), found)

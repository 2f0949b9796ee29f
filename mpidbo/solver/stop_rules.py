"""The rules of `run.stop`, which end a run by what its history has."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..errors import known_as, shown
from ..problems import requestable, similar_metric
from ..storage import column, is_metric

SIGNS = {"min": -1.0, "max": 1.0}
"""Mode -> the sign of a metric with which larger is better."""


def improves(value: float, best: float, mode: str, min_delta: float = 0.0) -> bool:
    """Return whether a value is better than the best so far by more than `min_delta`.

    A first value is better than the NaN that means no value so far; NaN is never better.
    """
    if best != best:
        return value == value
    return SIGNS[mode] * (value - best) > min_delta


def spelled(metric: str, mode: str, known: Collection[str]) -> tuple[str, str]:
    """Return a metric as the history spells it, and its mode, by that name where it is ""."""
    name = known_as(metric, known) or metric
    return name, mode or column(name).mode


def mistake(
    metric: str, mode: str, known: Collection[str], where: str, *, needs_metric: bool = False
) -> str:
    """Return what is wrong with a rule of a metric, "" for nothing.

    Parameters
    ----------
    metric : str
        The name in the rule.
    mode : str
        "" where it is not known.
    known : collection of str
        The columns of the run's history.
    where : str
        What the message calls the rule.
    needs_metric : bool, default False
        Whether a count of the history will not do.
    """
    names = [name for name in known if is_metric(name)] if needs_metric else [*known]
    if metric not in names:
        return f"{where}.metric: this run has no metric {shown(metric)}; " + (
            similar_metric(metric, [*names, *requestable()])
        )
    if not mode:
        return (
            f"{where}.mode: missing, as the name {metric} does not tell whether smaller or larger "
            'is better; add mode = "min" or mode = "max"'
        )
    return ""


class StopRule:
    """A rule that stops a run by the columns of its history.

    It applies once the last value of its metric is below or above a bound, or once the metric has
    not improved for a number of evaluations. It decides by the columns alone, so that a resumed run
    stops where the run without a break does.

    Parameters
    ----------
    metric : str
        A column of the history.
    below, above : float, optional
        The rule applies once the metric is smaller, or larger.
    patience : int, optional
        The rule applies once the metric has not improved for so many evaluations. They are counted
        from its first value on, and NaN is no improvement.
    min_delta : float, default 0
        An improvement is one by more than this on the value at the last improvement.
    mode : {"min", "max", ""}, optional
        Whether smaller or larger is better; default: by the name of the metric, "" where that is
        not known.
    """

    def __init__(
        self,
        metric: str,
        below: float = -np.inf,
        above: float = np.inf,
        patience: int | None = None,
        min_delta: float = 0.0,
        mode: str = "",
    ) -> None:
        self.metric, self.below, self.above = metric, below, above
        self.patience, self.min_delta = patience, min_delta
        self.mode = mode or column(metric).mode
        # Of the rows that were read so far, so that none is read twice.
        self._rows, self._best, self._at = 0, np.nan, 0

    def mistake(self, history: Mapping[str, Sequence[float]], where: str) -> str:
        """Return what is wrong with the rule for a run with such a history, "" for nothing.

        From here on the rule calls its metric as the history does.

        Parameters
        ----------
        history : mapping
            The columns.
        where : str
            What the message calls the rule.
        """
        self.metric, self.mode = spelled(self.metric, self.mode, history)
        mode = self.mode if self.patience else "min"
        return mistake(self.metric, mode, history, where)

    def __call__(self, history: Mapping[str, Sequence[float]]) -> str | None:
        """Return the reason to stop after the last row of a history, None to continue.

        Parameters
        ----------
        history : mapping
            The columns; each call has the rows of the call before and further ones.
        """
        values = history.get(self.metric, ())
        if not len(values):
            return None
        if values[-1] < self.below:
            return f"{self.metric} = {values[-1]:.3g} is below {self.below:g}"
        if values[-1] > self.above:
            return f"{self.metric} = {values[-1]:.3g} is above {self.above:g}"
        if self.patience is None:
            return None
        waited = self._evaluations_without_improvement(values)
        if waited < self.patience:
            return None
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return (
            f"{self.metric} has not improved{by} for {waited} evaluations, since "
            f"{self._best:.3g} at iteration {int(history['iteration'][self._at])}"
        )

    def _evaluations_without_improvement(self, values: Sequence[float]) -> int:
        for i in range(self._rows, len(values)):
            if improves(values[i], self._best, self.mode, self.min_delta):
                self._best, self._at = values[i], i
        self._rows = len(values)
        return 0 if self._best != self._best else self._rows - 1 - self._at

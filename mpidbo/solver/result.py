"""The result of a run."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import tomli_w

from .._text import plural
from .._types import Array, Float
from .._version import __version__
from ..config import Config, found_text
from ..errors import UserError
from ..storage import (
    RESULT,
    Best,
    Saved,
    column,
    method_name,
    metrics_of,
    provenance_of,
    write_single,
)
from .drawing import as_svg, draw

MAX_METRICS = 4
"""In the text of a result."""


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a run, as `solve` returns it.

    Parameters
    ----------
    x : array (n, p)
        Upper variables, a row for each agent in agent order. With ``gather=False`` only the rows of
        this rank's agents, here and in the other arrays.
    y : array (n, q)
        Lower variables.
    z : array (n, q), or None
        The solutions of the linear systems with the Hessian of g, of methods that have them.
    t : array (n, q), or None
        The auxiliary lower variables of penalty methods (SUN-DSBO, F2SA).
    history : mapping of str to array (evaluations,)
        The columns of history.h5: iteration, losses, consensus distances, metrics, what was sent,
        oracle calls and seconds.
    iteration : int
        Iterations done.
    reason : str
        Why the run ended there.
    stopped : bool
        Whether it was stopped before its end by a signal, `run.max_seconds` or the end of a Slurm
        job.
    config : Config
        The configuration that was run, with everything filled in that it left to the problem or to
        an estimate.
    x_tree : tree of arrays, or array (p,)
        The average of x over all agents in the problem's own form, nested dicts and lists of arrays
        (`Problem.x_tree`); the vector itself where the problem has none.
    y_tree : tree of arrays, array (q,), or None
        The average of y in the problem's own form; None where each agent has a lower variable of
        its own (LoPA).
    x_mean : array (p,)
        The average of x over all agents.
    y_mean : array (q,), or None
        The average of y over all agents; None where each agent has its own (LoPA).
    best : Best or None
        The best iterate by the metric of `run.best`, with its rows, averages, iteration and value;
        None without `run.best`, and where the metric had no value.

    Attributes
    ----------
    success : bool
        Whether the run reached its end: all iterations, or a stop rule.
    message : str
        `reason`, by the name that scipy has for it.
    nit : int
        `iteration`, by the name that scipy has for it.
    """

    x: Float[Array, "n p"]
    y: Float[Array, "n q"]
    z: Float[Array, "n q"] | None
    t: Float[Array, "n q"] | None
    history: Mapping[str, np.ndarray]
    iteration: int
    reason: str
    stopped: bool
    config: Config
    x_tree: Any
    y_tree: Any
    x_mean: Float[Array, " p"]
    y_mean: Float[Array, " q"] | None
    best: Best | None = None

    @property
    def success(self) -> bool:
        return not self.stopped

    @property
    def message(self) -> str:
        return self.reason

    @property
    def nit(self) -> int:
        return self.iteration

    def __repr__(self) -> str:
        facts = {"message": self.message, "success": self.success, "nit": self.nit}
        facts |= {"run": self._title, **self._variables(), **self._metrics()}
        facts |= {"found": text} if (text := found_text(self.config)) else {}
        facts |= {"best": str(self.best)} if self.best else {}
        width = max(map(len, facts))
        return "\n".join(f"{name:>{width}}: {value}" for name, value in facts.items())

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the text, and the curves where matplotlib is installed."""
        from html import escape  # here, since only a notebook needs it

        try:
            picture = as_svg(self.plot())
        except UserError:  # matplotlib is not installed, or nothing was evaluated
            picture = ""
        return f"<pre>{escape(repr(self))}</pre>{picture}"

    def plot(self, metrics: str | Sequence[str] = (), against: str = "iterations") -> Any:
        """Draw the curves of the run.

        Parameters
        ----------
        metrics : str or sequence of str, optional
            Columns of the history, a panel for each; default: the usual ones.
        against : {"iterations", "floats", "bytes", "seconds"}, default "iterations"
            The x axis.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; ``figure.savefig("curves.png")`` writes it.

        Raises
        ------
        UserError
            A metric is not in the history, or matplotlib is not installed.

        Examples
        --------
        >>> import mpidbo
        >>> result = mpidbo.solve("quadratic", agents=4, iterations=100)
        >>> figure = result.plot("distance", against="floats")
        """
        names = [metrics] if isinstance(metrics, str) else [*metrics]
        return draw([self._saved()], names, against)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result with its history to one file; on one rank.

        Parameters
        ----------
        path : str or Path
            The file, such as result.h5, or a folder for a file of this name. `mpidbo.load` reads
            it, and `solve` takes it as ``start``.

        Raises
        ------
        UserError
            The result has the rows of this rank alone (``gather=False``), or the file cannot be
            written.

        Examples
        --------
        >>> import mpidbo
        >>> mpidbo.solve("quadratic", agents=4, iterations=100).save("result.h5")
        >>> mpidbo.load("result.h5").iteration
        100
        """
        if len(self.x) != self.config.run.agents:
            raise UserError("save: the result has the rows of this rank alone; solve with gather")
        tables = _storable(self.config.tables())
        attributes = {
            "iteration": self.iteration,
            "reason": self.reason,
            "finished": self.success,
            "method": method_name(tables),
            "version": __version__,
            "config": tomli_w.dumps(tables),
            "trees": False,
        }
        average = {"x": self.x_tree, "y": self.y_tree}
        write_single(
            Path(path) / RESULT if os.path.isdir(path) else Path(path),
            self._rows(),
            attributes,
            self.history,
            {name: tree for name, tree in average.items() if tree is not None},
            provenance_of(None, [gethostname()], self.config.run.threads, self.config.run.workers),
        )

    @property
    def _title(self) -> str:
        """The run in a few words: "sparkle-ed-gt on quadratic, 8 agents"."""
        tables = self.config.tables()
        problem = str(tables["problem"]["name"]).rpartition("/")[2]
        return f"{method_name(tables)} on {problem}, {plural(tables['run']['agents'], 'agent')}"

    def _rows(self) -> dict[str, Any]:
        named = {"x": self.x, "y": self.y, "z": self.z, "t": self.t}
        return {name: rows for name, rows in named.items() if rows is not None}

    def _variables(self) -> dict[str, str]:
        """Shape of each variable."""
        return {name: f"{rows.shape} {rows.dtype}" for name, rows in self._rows().items()}

    def _metrics(self) -> dict[str, str]:
        """The last values of the metrics that figures show, the usual ones first."""
        shown = [name for name in metrics_of(self.history) if column(name).headline]
        return {name: f"{self.history[name][-1]:.6g}" for name in shown[:MAX_METRICS]}

    def _saved(self) -> Saved:
        """The result as figures and tables take a run."""
        return Saved(
            path=Path("result"),
            iteration=self.iteration,
            reason=self.reason,
            finished=self.success,
            x=self.x,
            y=self.y,
            z=self.z,
            t=self.t,
            tables=self.config.tables(),
            columns=self.history,
            trees=None,
            method=method_name(self.config.tables()),
        )


def _storable(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables without the options of the problem that TOML cannot hold, such as arrays."""
    options = {}
    for key, value in tables["problem"].items():
        with suppress(TypeError):
            tomli_w.dumps({key: value})
            options[key] = value
    return {**tables, "problem": options}

"""The best iterate of a run by a metric, and its file best.h5.

    x, y, z or t      rows in agent order, as in result.h5
    average/x, y      the average over the agents in the problem's own form, as in trees.h5

The attributes are iteration, metric, mode and value, beside those of result.h5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from .._types import Array, Float
from ..parallel import Agents
from . import files, trees
from .hdf5 import open_hdf5
from .single import AVERAGE, write_single

VARIABLES = ("x", "y", "z", "t")
"""The fields of a method's state that a result has."""
REMEDY = f"remove it to read the rest of the run, whose {files.RESULT} has the last iterate"
"""Of a damaged best.h5."""


@dataclass(frozen=True)
class Best:
    """The best iterate of a run by a metric; of equal ones the first.

    Parameters
    ----------
    metric : str
        The column of the history by which it was chosen.
    mode : {"min", "max"}
        Whether it has the smallest or the largest value.
    iteration : int
        Iterations done.
    value : float
        Of the metric then.
    rows : mapping of str to array (n, d)
        Variable -> its rows, in agent order.
    means : mapping of str to array (d,)
        "x", "y" -> the mean over the agents; without "y" where each agent has its own (LoPA).
    trees : mapping of str to tree
        The same in the problem's own form.
    """

    metric: str
    mode: str
    iteration: int
    value: float
    rows: Mapping[str, Float[Array, "n d"]] = field(repr=False)
    means: Mapping[str, Float[Array, " d"]] = field(default_factory=dict, repr=False)
    trees: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def x(self) -> Float[Array, "n p"]:
        """The upper variables, a row for each agent."""
        return self.rows["x"]

    @property
    def y(self) -> Float[Array, "n q"]:
        """The lower variables."""
        return self.rows["y"]

    @property
    def z(self) -> Float[Array, "n q"] | None:
        """The auxiliary variables of methods with a linear system; None for other methods."""
        return self.rows.get("z")

    @property
    def t(self) -> Float[Array, "n q"] | None:
        """The auxiliary variables of penalty methods; None for other methods."""
        return self.rows.get("t")

    @property
    def x_mean(self) -> Float[Array, " p"]:
        """The mean of x over the agents."""
        return self.means["x"]

    @property
    def y_mean(self) -> Float[Array, " q"] | None:
        """The mean of y over the agents; None where each agent has its own (LoPA)."""
        return self.means.get("y")

    @property
    def x_tree(self) -> Any:
        """The mean of x in the problem's own form, else (p,)."""
        return self.trees["x"]

    @property
    def y_tree(self) -> Any:
        """The mean of y in the problem's own form, else (q,); None where each agent has its own."""
        return self.trees.get("y")

    def __str__(self) -> str:
        """Such as "auc 0.968 at iteration 150"."""
        return f"{self.metric} {self.value:.6g} at iteration {self.iteration}"


def write_best(path: Path, best: Best, attributes: Mapping[str, Any]) -> None:
    """Write the best iterate, with the rows of all agents, to a file.

    Parameters
    ----------
    path : Path
    best : Best
    attributes : mapping
        Further attributes of the file.

    Raises
    ------
    UserError
        Where the operating system refuses to write; `path` is unchanged.
    """
    chosen = {key: getattr(best, key) for key in ("iteration", "metric", "mode", "value")}
    about = {**attributes, **chosen, "finished": False}
    write_single(path, best.rows, about, {}, best.trees, {})


def read_best(path: Path, with_rows: bool = True) -> Best:
    """Read the best iterate from a file; without its rows what it is.

    Raises
    ------
    Unreadable, Damaged
    """
    with open_hdf5(path, REMEDY) as file:
        about = file.attrs
        best = Best(
            str(about["metric"]),
            str(about["mode"]),
            int(about["iteration"]),
            float(about["value"]),
            {},
        )
        if not with_rows:
            return best
        rows = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
        averages = trees.read_from(file[AVERAGE])
    means = {name: Agents(len(rows[name])).mean(rows[name]) for name in averages}
    return Best(best.metric, best.mode, best.iteration, best.value, rows, means, averages)

"""What a callback and the loop of a `Solver` are given at an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .._types import Array, Float
from ..parallel import host
from ..storage import trees
from .evaluation import Evaluated
from .setup import Setup


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a run is, at an evaluation; nothing of it is computed before it is asked for.

    No attribute is collective: a rank may look at what it likes. Arrays cannot be written to, since
    the run continues with them.

    Attributes
    ----------
    iteration : int
        Iterations done.
    row : dict of str to float
        The row of the history: metrics and costs so far, the same on every rank.
    x, y : array (m, p) and (m, q)
        The variables of this rank's agents, a row for each.
    z, t : array (m, q), or None
        The auxiliary variables of methods that have them.
    x_mean : array (p,)
        The average of x over all agents.
    y_mean : array (q,), or None
        The average of y over all agents; None where each agent has its own (LoPA).
    x_tree, y_tree : tree of arrays
        These averages in the problem's own form; the vectors themselves where it has none.
    """

    iteration: int
    row: Mapping[str, float]
    _evaluated: Evaluated = field(repr=False)
    _setup: Setup = field(repr=False)

    @cached_property
    def x(self) -> Float[Array, "m p"]:
        return self._rows("x")

    @cached_property
    def y(self) -> Float[Array, "m q"]:
        return self._rows("y")

    @cached_property
    def z(self) -> Float[Array, "m q"] | None:
        return self._rows("z")

    @cached_property
    def t(self) -> Float[Array, "m q"] | None:
        return self._rows("t")

    @property
    def x_mean(self) -> Float[Array, " p"]:
        return _read_only(self._mean("x"))

    @property
    def y_mean(self) -> Float[Array, " q"] | None:
        return _read_only(self._mean("y"))

    @property
    def x_tree(self) -> Any:
        return self._trees["x"]

    @property
    def y_tree(self) -> Any:
        return self._trees.get("y")

    @cached_property
    def _trees(self) -> dict[str, Any]:
        return trees.of(self._setup.problems[0], self._mean("x"), self._mean("y"))

    def _mean(self, variable: str) -> Array | None:
        """The average of x or y; None of what each agent has for itself."""
        if variable == "y" and self._setup.method.has_local_lower_level():
            return None
        return self._evaluated.point.means[variable]

    def _rows(self, variable: str) -> Any:
        rows = getattr(self._evaluated.state, variable, None)
        return None if rows is None else _read_only(host(rows))


def progress_of(evaluated: Evaluated, setup: Setup) -> Progress:
    """Return what the caller is given of an evaluation of a run."""
    return Progress(evaluated.iteration, dict(evaluated.row), evaluated, setup)


def _read_only(array: Any) -> Any:
    """A view of an array that cannot be written to; None for None."""
    if array is None:
        return None
    view: np.ndarray = array.view()
    view.flags.writeable = False
    return view

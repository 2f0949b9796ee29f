"""`mpidbo.load`: what a run's folder holds, in Python."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..algorithms import METHODS
from ..config import validate as configuration
from ..config.validate import Config
from ..errors import UserError, shown
from ..parallel.agents import Agents
from . import checkpoint, files, trees
from . import load as archive
from .history import COUNTS

Array = Any


@dataclass(frozen=True)
class Saved:
    """A run as its folder has it.

    `x` (n, p), `y` (n, q), `z` or `t` (n, q) where the method has it, rows in agent order, after `iteration` iterations: of the
    result, or of a run without one yet of its newest checkpoint that is whole; None, and iteration -1, where there is neither.
    `reason` tells why the run ended, "" without a result; `finished` whether it reached its end. `columns` has the history's
    arrays, `tables` those of config.toml, {} where only a history is left.
    """

    path: Path
    iteration: int
    reason: str
    finished: bool
    x: Array | None
    y: Array | None
    z: Array | None
    t: Array | None
    tables: Mapping[str, Any] = field(repr=False)
    columns: Mapping[str, np.ndarray] = field(repr=False)
    trees: Path | None = field(repr=False)
    """The file of `x_tree` and `y_tree`; None where they are plain vectors, and without a result."""

    @cached_property
    def config(self) -> Config:
        """The configuration. UserError where it is none of this version, or where only a history is left."""
        try:
            return configuration.check(self.tables)
        except UserError as error:
            raise UserError(f"{self.path}: the configuration of this run: {error}") from None

    @cached_property
    def history(self) -> Any:
        """The history as a pandas.DataFrame: a row for each evaluation; `iteration`, metrics, counts. UserError without pandas."""
        try:
            from pandas import DataFrame
        except ImportError:
            raise UserError("history: a table of pandas, which is not installed; pip install 'mpidbo[pandas]', or take the same "
                            "arrays from columns") from None
        return DataFrame({name: self.columns[name] for name in sorted(self.columns, key=_place)})

    @property
    def x_tree(self) -> Any:
        """The average of x over the agents in the problem's own form, else (p,); None without a result. UserError: trees.h5 is damaged."""
        return self._average.get("x")

    @property
    def y_tree(self) -> Any:
        """The same of y, (q,); None too where each agent has a y of its own (LoPA)."""
        return self._average.get("y")

    @cached_property
    def _average(self) -> dict[str, Any]:
        if not self.reason:
            return {}
        if self.trees is None:
            vectors = "x" if METHODS[self.tables["method"]["name"]][0].apart() else "xy"
            return {name: Agents(len(rows)).mean(rows) for name in vectors for rows in [getattr(self, name)]}
        found, iteration = trees.read(self.trees)
        if iteration != self.iteration:
            raise UserError(f"{self.trees}: of iteration {iteration}, but the result of {self.iteration}; {trees.REMEDY}")
        return found


def _place(column: str) -> tuple[bool, bool, str]:
    return column != "iteration", column.startswith(COUNTS), column


def load(run: Any) -> Saved:
    """The run in a folder, or of its result.h5, finished or not. Raises UserError where there is none or a file is damaged."""
    if not isinstance(run, (str, os.PathLike)):
        raise UserError(f"load: {shown(run)} is no path; give the folder of a run, or its {files.RESULT}")
    found = archive.read(Path(run).absolute())
    folder = found.path if found.path.is_dir() else found.path.parent
    result = found.path / files.RESULT if found.path.is_dir() else found.path
    iteration, reason, own = found.iteration, "", None
    if iteration >= 0:
        rows, about = files.read_arrays(result)
        reason, own = str(about.get("reason", "")), folder / files.TREES if about.get("trees") else None
    else:
        iteration, rows = checkpoint.newest_rows(found.path, "xyzt")
    return Saved(path=found.path, iteration=iteration, reason=reason, finished=found.finished, tables=found.config, columns=found.history,
                 trees=own, **{name: rows.get(name) for name in "xyzt"})

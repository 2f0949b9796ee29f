"""The reader of a run's folder: `mpidbo.load`, and what `show`, `plot` and studies read."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import h5py

from .._types import Array, Float
from ..algorithms import METHODS
from ..config import Config
from ..config import check as check_config
from ..errors import UserError, shown
from ..parallel import Agents
from . import files, trees
from .best import VARIABLES, Best, read_best
from .folder import is_run
from .hdf5 import open_hdf5, read_arrays
from .history import is_metric, with_bytes
from .lock import in_use
from .manifest import newest_rows
from .single import AVERAGE, HISTORY, PROVENANCE

REMEDY = f"take the run's configuration from its {files.RESULT}"


@dataclass(frozen=True)
class Saved:
    """A run as its folder has it, finished or not; made by `mpidbo.load`.

    A run without a result, because it is running, was stopped or diverged, has the rows of its
    newest verified checkpoint.

    Parameters
    ----------
    path : Path
        The run's folder, or the file of a result or history that was renamed.
    iteration : int
        Iterations done in the state below; -1 where there is neither a result nor a checkpoint.
    reason : str
        Why the run ended or was stopped, or how it diverged; "" where its folder does not have it:
        it is running, or was killed.
    finished : bool
        Whether the run reached its end.
    x : array of shape (n, p), or None
        The upper variables of all agents, in agent order; None where iteration is -1.
    y : array of shape (n, q), or None
        The lower variables.
    z, t : array of shape (n, q), or None
        The auxiliary variables of methods that have them.
    tables : mapping
        The tables of config.toml; {} where only a history is left.
    columns : mapping
        The history: column -> array with a value for each evaluation. docs/notation.md defines the
        columns.
    trees : Path or None
        The file of `x_tree` and `y_tree`; None where they are plain vectors, and without a result.
    method : str
        The method with its strategies, such as "sparkle-ed".
    shapes : mapping
        Of the arrays in result.h5; {} without a result.
    provenance : mapping
        Where the result came from: versions, hosts, ranks, threads, workers, job; {} without a
        result.
    diverged, stopped : str
        How the run diverged, and why it was stopped before its end; "" where it did not, or has
        been resumed since.
    running : bool
        Whether a living process has its folder in use.
    best_file : Path or None
        The file of `best`; None where there is none.
    """

    path: Path
    iteration: int
    reason: str
    finished: bool
    x: Float[Array, "n p"] | None
    y: Float[Array, "n q"] | None
    z: Float[Array, "n q"] | None
    t: Float[Array, "n q"] | None
    tables: Mapping[str, Any] = field(repr=False)
    columns: Mapping[str, Array] = field(repr=False)
    trees: Path | None = field(repr=False)
    method: str = field(default="", repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    diverged: str = field(default="", repr=False)
    stopped: str = field(default="", repr=False)
    running: bool = field(default=False, repr=False)
    best_file: Path | None = field(default=None, repr=False)

    @cached_property
    def config(self) -> Config:
        """The checked configuration.

        Raises
        ------
        UserError
            Where it is not a configuration of this version, or only a history is left.
        """
        try:
            return check_config(self.tables)
        except UserError as error:
            raise UserError(f"{self.path}: the configuration of this run: {error}") from None

    @cached_property
    def history(self) -> Any:
        """The history as a pandas.DataFrame: a row for each evaluation.

        Columns are `iteration`, then metrics, then counts, by name.

        Raises
        ------
        UserError
            Where pandas is not installed; `columns` has the same arrays.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise UserError(
                "history: a table of pandas, which is not installed; pip install 'mpidbo[pandas]', "
                "or take the same arrays from columns"
            ) from None
        return DataFrame({name: self.columns[name] for name in sorted(self.columns, key=_place)})

    @property
    def is_best(self) -> bool:
        """Whether this is the file of the best iterate alone."""
        return self.path == self.best_file

    @cached_property
    def best(self) -> Best | None:
        """The best iterate so far by the metric of `run.best`, with the rows of all agents.

        None without one. Raises UserError where best.h5 is damaged.
        """
        return read_best(self.best_file) if self.best_file else None

    @property
    def x_tree(self) -> Any:
        """The mean of x over the agents, in the problem's own form, else (p,).

        None without a result. Raises UserError where trees.h5 is damaged.
        """
        return self._average.get("x")

    @property
    def y_tree(self) -> Any:
        """The mean of y over the agents, in the problem's own form, else (q,).

        None without a result, and where each agent has a lower variable of its own (LoPA). Raises
        UserError where trees.h5 is damaged.
        """
        return self._average.get("y")

    @cached_property
    def _average(self) -> dict[str, Any]:
        if not self.shapes:
            return {}
        if self.trees is None:
            local = METHODS[self.tables["method"]["name"]][0].has_local_lower_level()
            averages = {}
            for name in ("x",) if local else ("x", "y"):
                rows = getattr(self, name)
                averages[name] = Agents(len(rows)).mean(rows)
            return averages
        # In a file of its own, or in the one that has the rows.
        group = AVERAGE if self.trees.name != files.TREES else "/"
        found, iteration = trees.read(self.trees, group)
        if iteration != self.iteration:
            raise UserError(
                f"{self.trees}: of iteration {iteration}, but the result of {self.iteration}; "
                f"{trees.REMEDY}"
            )
        return found


def load(run: Any) -> Saved:
    """Read a run's folder, finished or not.

    Parameters
    ----------
    run : str or path
        The folder of a run, or its result.h5.

    Returns
    -------
    Saved
        Rows, history, configuration and how the run ended. Configuration, table of pandas and trees
        are read when they are asked for, so that one damaged part does not hide the others.

    Raises
    ------
    UserError
        Where there is no run, or a file is damaged or cannot be read.

    Examples
    --------
    >>> import mpidbo
    >>> result = mpidbo.solve("quadratic", agents=4, iterations=100, out="runs/first")
    >>> run = mpidbo.load("runs/first")
    >>> run.x.shape, run.iteration, run.columns["iteration"].tolist()
    ((4, 5), 100, [0, 50, 100])
    """
    if not isinstance(run, (str, os.PathLike)):
        raise UserError(
            f"load: {shown(run)} is not a path; give the folder of a run, or its {files.RESULT}"
        )
    return _read(Path(run).absolute(), with_rows=True)


def read_run(path: Path) -> Saved:
    """Read what a run's folder holds but for the rows: x, y, z and t are None.

    The arrays of a result are read once, in pieces, so that damage is found; checkpoints are not
    read, and without a result `iteration` is -1.

    Parameters
    ----------
    path : Path
        The folder of a run, its result.h5 or history.h5, or one of these files under another name.

    Raises
    ------
    UserError
        Where there is no run, or a file is damaged or cannot be read.
    """
    return _read(path, with_rows=False)


@dataclass(frozen=True)
class _Result:
    """What is in result.h5; `rows` only where they were asked for."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Array] = field(default_factory=dict)
    trees: Path | None = None

    @property
    def iteration(self) -> int:
        return int(self.attributes.get("iteration", -1))


def _read(path: Path, with_rows: bool) -> Saved:
    is_folder = _is_folder(path)
    folder = path if is_folder else path.parent
    parts = {name: folder / name for name in (files.CONFIG, files.RESULT, files.HISTORY)}
    if not is_folder and path.name not in parts:
        return _renamed(path, with_rows)
    there = {name for name, part in parts.items() if files.is_there(part)}
    # A configuration alone is that of a run only where a run has written it.
    if not there or (there == {files.CONFIG} and not is_run(folder)):
        raise UserError(
            f"{path}: holds no run, neither {' nor '.join(parts)}; give the folder of a run"
        )
    result, about = _Result(), dict[str, Any]()
    if files.RESULT in there:
        result = _result(parts[files.RESULT], with_rows)
    history = dict(result.columns)
    if files.HISTORY in there:
        history, about = read_arrays(parts[files.HISTORY])
    text = str(result.attributes.get("config", ""))
    if files.CONFIG in there:
        text = files.read_text(parts[files.CONFIG], REMEDY)
    tables = _tables(text, parts[files.CONFIG])
    history = with_bytes(history, tables.get("run", {}).get("dtype", "float64"))
    method = result.attributes.get("method") or about.get("method")
    if not method:
        method = tables.get("method", {}).get("name", "")
    diverged = _marked(folder / files.DIVERGED, "diverged")
    stopped = _marked(folder / files.STOPPED, "")
    finished = result.attributes.get("finished", files.is_there(folder / files.DONE))
    ended = "" if finished else diverged or stopped
    iteration, rows = result.iteration, result.rows
    if with_rows and iteration < 0:
        iteration, rows = newest_rows(folder, VARIABLES)
    return Saved(
        path=folder,
        iteration=iteration,
        reason=ended or str(result.attributes.get("reason", "")),
        finished=bool(finished),
        tables=tables,
        columns=history,
        trees=result.trees,
        method=str(method),
        shapes=result.shapes,
        provenance=result.provenance,
        diverged=diverged,
        stopped=stopped,
        running=in_use(folder),
        best_file=folder / files.BEST if files.is_there(folder / files.BEST) else None,
        x=rows.get("x"),
        y=rows.get("y"),
        z=rows.get("z"),
        t=rows.get("t"),
    )


def _renamed(path: Path, with_rows: bool) -> Saved:
    """A result or history under another name, recognised by its datasets."""
    with open_hdf5(path) as file:
        is_history = "iteration" in file
    result, history, about = _Result(), dict[str, Array](), dict[str, Any]()
    if is_history:
        history, about = read_arrays(path)
    else:
        result = _result(path, with_rows)
        history, about = dict(result.columns), dict(result.attributes)
    return Saved(
        path=path,
        iteration=result.iteration,
        reason=str(result.attributes.get("reason", "")),
        finished=bool(result.attributes.get("finished", not is_history)),
        tables=_tables(str(result.attributes.get("config", "")), path),
        columns=history,
        trees=result.trees,
        best_file=path if "metric" in result.attributes else None,
        method=str(about.get("method", "")),
        shapes=result.shapes,
        provenance=result.provenance,
        x=result.rows.get("x"),
        y=result.rows.get("y"),
        z=result.rows.get("z"),
        t=result.rows.get("t"),
    )


def _is_folder(path: Path) -> bool:
    try:
        return S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path}: no such file or folder; give the folder of a run, or its {files.RESULT}"
        ) from None
    except OSError as error:
        raise files.unreadable(path, error) from None


def _result(path: Path, with_rows: bool) -> _Result:
    """Read a result; without its rows in pieces, so that damage is found in little memory."""
    rows, shapes = {}, {}
    with open_hdf5(path) as file:
        for name, item in file.items():
            if not isinstance(item, h5py.Dataset):
                continue
            shapes[name] = item.shape
            if with_rows:
                rows[name] = item[()]
            elif item.chunks:
                for piece in item.iter_chunks():
                    _ = item[piece]  # HDF5 compares the checksum of a chunk when it is read
        origin = dict(file[PROVENANCE].attrs) if PROVENANCE in file else {}
        columns = (
            {name: part[()] for name, part in file[HISTORY].items()} if HISTORY in file else {}
        )
        place = path.parent / files.TREES if file.attrs.get("trees") else None
        return _Result(
            dict(file.attrs), rows, shapes, origin, columns, path if AVERAGE in file else place
        )


def _marked(marker: Path, otherwise: str) -> str:
    """The message in a marker; "" without one."""
    if not files.is_there(marker):
        return ""
    return files.read_text(marker).strip() or otherwise


def _tables(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}; {REMEDY}") from None


def _place(column: str) -> tuple[bool, bool, str]:
    """Sort key of the table's columns."""
    return column != "iteration", not is_metric(column), column

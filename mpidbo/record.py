"""A run's folder: claimed at the start, kept up to date along the run, finished at the end."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import tomli_w

from . import files
from ._version import __version__
from .agents import Agents, agreed
from .config import FREE
from .errors import UserError
from .metrics import Evaluation

SECONDS = 5.0
"""At least this long between two writings of history.h5."""


class Folder:
    """The folder of one run. Rank 0 writes; what goes wrong there is raised on every rank.

    With `resume` "auto", a folder that holds another run is refused with the keys that differ, and `finished` is set where
    it holds this run, finished. "never" first renames an existing folder NAME to NAME.1. Raises UserError.
    """

    def __init__(self, path: Path, tables: Mapping[str, Any], agents: Agents, resume: Literal["auto", "never", "must"]) -> None:
        self.path, self.tables, self.agents = path, tables, agents
        self.evaluation: Evaluation | None = None
        self._written = monotonic()
        finished = False
        with agreed(agents.comm):
            if agents.rank == 0:
                finished = self._claim(resume)
        self.finished: bool = str(True) in agents.texts(str(finished))

    def _claim(self, resume: str) -> bool:
        """Whether this run has finished here; if not, the folder now holds its config.toml."""
        path, config = self.path, self._config()
        if resume == "must":
            raise UserError(f"--resume must: {path} holds no checkpoint; start with --resume auto")
        try:
            if resume == "never" and path.exists():
                files.set_aside(path)
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()) and self._has_finished():
                return True
        except FileExistsError:
            raise UserError(f"run.out: {path} is not a folder; choose another name") from None
        except OSError as error:
            raise UserError(f"run.out: {path} cannot be used ({error.strerror}); choose another folder") from None
        files.write_text(path / files.CONFIG, config)
        return False

    def _has_finished(self) -> bool:
        """Whether the run that the folder holds has finished; UserError unless it is this run."""
        path, config, marker = self.path, self.path / files.CONFIG, self.path / files.DONE
        if not config.is_file():
            raise UserError(f"run.out: {path} exists and holds no run; choose another folder or empty it")
        try:
            held = tomllib.loads(config.read_text())
            done = int(marker.read_text()) if marker.is_file() else -1
        except ValueError:
            raise UserError(f"run.out: {path} holds a damaged {files.CONFIG} or {files.DONE}; choose another folder, "
                            "or --resume never to set it aside") from None
        keys = files.differing(held, self.tables, lambda key: key in FREE or key.startswith(("run.stop.", "checkpoint.")))
        if keys:
            raise UserError(f"run.out: {path} holds another run, which differs in {', '.join(keys)}; choose another run.out, "
                            "or --resume never to set it aside")
        if done >= 0 and (done >= self.tables["run"]["iterations"] or held == self.tables):
            return True
        marker.unlink(missing_ok=True)
        return False

    def _config(self) -> str:
        try:
            return tomli_w.dumps(self.tables)
        except TypeError:
            odd = [key for key, value in files.flat(self.tables).items() if not isinstance(value, (str, int, float, list))]
            raise UserError(f"{' and '.join(odd) or 'problem'}: not what {files.CONFIG} can hold; give numbers, texts and lists of them, "
                            "or leave run.out out") from None

    def keep(self, evaluation: Evaluation) -> "Folder":
        """Itself, as an observer that writes the history of that evaluation from time to time."""
        self.evaluation = evaluation
        return self

    def next(self, k: int) -> int:
        assert self.evaluation is not None
        return self.evaluation.next(k)

    def look(self, k: int, state: Any, last: bool) -> str | None:
        assert self.evaluation is not None
        if last:
            with agreed(self.agents.comm):
                self.write_history(self.evaluation)
        elif monotonic() - self._written > SECONDS:
            self.write_history(self.evaluation)
        return None

    def write_history(self, evaluation: Evaluation) -> None:
        """Write history.h5; rank 0 alone does, which may raise UserError."""
        if self.agents.rank > 0:
            return
        whole = ("iteration", "floats", "messages", "rounds", "calls_")
        columns = {name: np.array(values, np.int64 if name.startswith(whole) else np.float64)
                   for name, values in evaluation.history.items()}
        files.write_arrays(self.path / files.HISTORY, columns, {"version": __version__, "method": self._method()})
        self._written = monotonic()

    def finish(self, rows: Mapping[str, Any], iteration: int, threads: int) -> None:
        """Write result.h5 from each rank's rows, then the marker; collective."""
        everyone = {name: self.agents.gather(part) for name, part in rows.items()}
        hosts = self.agents.texts(_host())
        with agreed(self.agents.comm):
            if self.agents.rank == 0:
                files.write_arrays(
                    self.path / files.RESULT, everyone,
                    {"iteration": iteration, "method": self._method(), "version": __version__, "config": self._config()},
                    {"provenance": files.provenance(self.agents.comm, hosts, threads)})
                files.write_text(self.path / files.DONE, f"{iteration}\n")

    def _method(self) -> str:
        table = self.tables["method"]
        return "-".join([table["name"], *(table[key] for key in ("lower", "upper") if key in table)])


def _host() -> str:
    from socket import gethostname
    return gethostname()

"""A run's folder: claimed at the start, kept up to date along the run, finished at the end."""

import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tomli_w

from . import files, trees
from ._version import __version__
from .agents import Agents, agreed
from .backend import host
from .checkpoint import Checkpoints, Snapshot
from .config import FREE
from .errors import Diverged, UserError
from .metrics import Evaluation
from .state import mapped

if TYPE_CHECKING:
    from .topologies import Topology

SECONDS = 5.0
"""At least this long between two writings of history.h5."""


class Folder:
    """The folder of one run. Rank 0 writes; what goes wrong there is raised on every rank.

    With `resume` "auto" a run goes on from its newest checkpoint that is whole, if there is one; "must" insists on one. A folder
    that holds another run is refused with the keys that differ, and `finished` is set where it holds this run, finished.
    "never" first renames an existing folder NAME to NAME.1. `told(sentence)` hears of damaged checkpoints. Raises UserError.
    """

    def __init__(self, path: Path, tables: Mapping[str, Any], agents: Agents, resume: Literal["auto", "never", "must"],
                 told: Callable[[str], None] = lambda sentence: None) -> None:
        self.path, self.tables, self.agents, self.resume, self.told = path, tables, agents, resume, told
        self.every, self.saved = 0, -1
        self.evaluation: Evaluation | None = None
        self._written, self._due = monotonic(), 0
        finished = False
        with agreed(agents.comm):
            if agents.rank == 0:
                finished = self._claim(resume)
        self.finished: bool = str(True) in agents.texts(str(finished))

    def _claim(self, resume: str) -> bool:
        """Whether this run has finished here; if not, the folder now holds its config.toml."""
        path, config = self.path, self._config()
        if resume == "must" and not path.is_dir():
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
        keys = files.differing(held, self.tables, lambda key: key in FREE or key.startswith("run.stop."))
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

    def resumed(self, start: Any, levels: "Mapping[str, Topology]") -> Snapshot | None:
        """Where to go on from, for a state of the form of `start` and rank 0's topologies; collective."""
        self.checkpoints = Checkpoints(self.path, self.agents, keep=self.tables["checkpoint"]["keep"], tables=self.tables,
                                       topologies={level: topology.fingerprint for level, topology in levels.items()})
        if self.agents.rank == 0:
            with suppress(OSError):
                (self.path / files.DIVERGED).unlink(missing_ok=True)
        if self.resume == "never":
            return None
        snapshot, wrong = self.checkpoints.newest(start)
        going_on = (f"going on from iteration {snapshot.iteration}" if snapshot else
                    f"STARTING FROM ITERATION 0: NO CHECKPOINT IN {self.path} IS COMPLETE AND UNDAMAGED")
        if self.agents.rank == 0:
            for sentence in (*wrong, *([going_on] if wrong or snapshot else [])):
                self.told(sentence)
        with agreed(self.agents.comm):
            if snapshot is None and self.resume == "must":
                raise UserError(f"{self.path}: holds no checkpoint that is whole{f' ({wrong[0]})' if wrong else ''}; "
                                "start anew with --resume never")
        return snapshot

    def keep(self, evaluation: Evaluation, every: int) -> "Folder":
        """Itself, as an observer that writes a checkpoint every so many iterations, and that evaluation's history from time to time."""
        self.evaluation, self.every = evaluation, every
        return self

    def next(self, k: int) -> int:
        assert self.evaluation is not None
        due = [self.evaluation.next(k)]
        if self.every:
            due.append(k - k % self.every + self.every)
        if not self.checkpoints.writing.idle:
            due.append(max(k + 1, self._due))
        return min(due)

    def look(self, k: int, state: Any, last: bool) -> str | None:
        assert self.evaluation is not None
        if last or (self.every and k % self.every == 0 and k > 0):
            self.checkpoint(k, state, self.evaluation)
        elif k >= self._due:                            # ever more seldom, the longer it takes
            self.checkpoints.writing.advance()
            self._due = 2 * k - self.saved + 1
        if last:
            self.checkpoints.writing.advance(wait=True)
            with agreed(self.agents.comm):
                self.write_history(self.evaluation)
        elif monotonic() - self._written > SECONDS:
            self.write_history(self.evaluation)
        return None

    def checkpoint(self, k: int, state: Any, evaluation: Evaluation) -> None:
        """Begin to write a checkpoint, once for an iteration; collective."""
        if self.saved == k:
            return
        evaluation.assure_finite(k, state)
        history = {name: [*values] for name, values in evaluation.history.items()}
        self.checkpoints.begin(Snapshot(k, mapped(host, state), evaluation.counts(), history))
        self.saved, self._due = k, k + 1

    def leave(self, evaluation: Evaluation, error: BaseException) -> None:
        """Keep what can be kept of a run that ends with this error, and that it diverged."""
        with suppress(UserError):
            if self.agents.comm is None or getattr(error, "agreed", False):    # every rank is here
                self.checkpoints.writing.advance(wait=True)
        with suppress(UserError):
            if isinstance(error, Diverged) and self.agents.rank == 0:
                files.write_text(self.path / files.DIVERGED, f"{error}\n")
        with suppress(UserError):
            self.write_history(evaluation)

    def write_history(self, evaluation: Evaluation) -> None:
        """Write history.h5; rank 0 alone does, which may raise UserError."""
        if self.agents.rank > 0:
            return
        whole = ("iteration", "floats", "messages", "rounds", "calls_")
        columns = {name: np.array(values, np.int64 if name.startswith(whole) else np.float64)
                   for name, values in evaluation.history.items()}
        files.write_arrays(self.path / files.HISTORY, columns, {"version": __version__, "method": self._method()})
        self._written = monotonic()

    def finish(self, rows: Mapping[str, Any], average: Mapping[str, Any], iteration: int, reason: str, threads: int) -> None:
        """Write result.h5 from each rank's rows, trees.h5 from their average if that has a form of its own, then the marker; collective."""
        everyone = {name: self.agents.gather(part, everywhere=False) for name, part in rows.items()}
        hosts = self.agents.texts(_host())
        own = not trees.are_vectors(average)
        with agreed(self.agents.comm):
            if self.agents.rank == 0:
                files.write_arrays(
                    self.path / files.RESULT, everyone,
                    {"iteration": iteration, "reason": reason, "method": self._method(), "version": __version__,
                     "config": self._config(), "trees": own},
                    {"provenance": files.provenance(self.agents.comm, hosts, threads)})
                if own:
                    trees.write(self.path / files.TREES, average, iteration)
                files.write_text(self.path / files.DONE, f"{iteration}\n")

    def _method(self) -> str:
        table = self.tables["method"]
        return "-".join([table["name"], *(table[key] for key in ("lower", "upper") if key in table)])


def adopted(tables: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The tables of a run with what an earlier start of it, in that folder, has fixed: its agents and its horizons."""
    try:
        held = tomllib.loads((path / files.CONFIG).read_text())
    except (OSError, ValueError):
        return dict(tables)
    found = deepcopy(dict(tables))
    if isinstance(before := held.get("run"), dict) and "agents" in before:
        found.setdefault("run", {}).setdefault("agents", before["agents"])
    for section in ("steps", "method"):
        before = held.get(section)
        for key, value in found.get(section, {}).items():
            earlier = before.get(key) if isinstance(before, dict) else None
            if isinstance(value, dict) and value.get("kind") == "sqrt-n-over-t" and isinstance(earlier, dict) and "horizon" in earlier:
                value.setdefault("horizon", earlier["horizon"])
    return found


def _host() -> str:
    from socket import gethostname
    return gethostname()

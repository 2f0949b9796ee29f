"""A run's folder: claimed at the start, kept up to date along the run, finished at the end."""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tomli_w

from .._pytree import mapped
from .._version import __version__
from ..config.validate import Config
from ..errors import Diverged, UserError
from ..parallel.agents import Agents, agreed, texts
from ..parallel.backend import host
from ..problems.lookup import unnamed
from ..storage import files, identity, runfolder, trees
from ..storage.checkpoint import Checkpoints, Snapshot
from ..storage.lock import Claim, Place
from .evaluation import Evaluation
from .stopping import stop_if_asked

if TYPE_CHECKING:
    from ..network.topology import Topology

SECONDS = 5.0
"""At least this long between two writings of history.h5."""
LOOK = 1.0
"""Seconds between two looks at a lock whose holder may be dead."""
FINISHED, WAIT = "finished", "wait"


class Folder:
    """The folder of one run. Rank 0 writes; what goes wrong there is raised on every rank.

    With `resume` "auto" a run resumes from its newest complete checkpoint, if there is one; "must" insists on one. A folder
    that holds another run is refused with the keys that differ, and `finished` is set where it holds this run, finished.
    "never" first renames the folder of a run NAME to NAME.1. A folder that holds anything else is refused. `told(sentence)` is
    called with what the user should know. `defaulted` are the keys of the tables that the problem or an estimate filled in.

    From its making to the end of its context no other process can use the folder. Raises UserError.
    """

    def __init__(self, path: Path, tables: Mapping[str, Any], agents: Agents, resume: Literal["auto", "never", "must"],
                 told: Callable[[str], None] = lambda sentence: None, defaulted: tuple[str, ...] = ()) -> None:
        self.path, self.tables, self.agents, self.resume, self.told = path, tables, agents, resume, told
        self.every, self.saved = 0, -1
        self.evaluation: Evaluation | None = None
        self._written, self._due = monotonic(), 0
        self._defaulted = defaulted
        self._contents: dict[str, str] = {}
        self._place: Place | None = None
        self._claiming: Claim | None = None
        self._said = False
        while True:                                     # while it cannot be told whether another process is alive
            answer = ""
            with agreed(agents.comm, patient=True):
                if agents.rank == 0:
                    answer = self._claim()
            if (answer := agents.told(answer)) != WAIT:
                break
            stop_if_asked(agents.comm)
        self.finished: bool = answer == FINISHED
        if agents.rank > 0 and not self.finished:
            self._place = Place(path)

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._place is not None:
            self._place.release()
            self._place = None

    def _claim(self) -> str:
        """One attempt to make the folder this run's: FINISHED, WAIT, or "" and it holds the run's config.toml."""
        path = self.path
        if self.resume == "must" and not path.is_dir():
            raise UserError(f"--resume must: {path} holds no checkpoint; start with --resume auto")
        self._contents = self._contents or identity.contents(self.tables)
        config = self._config()
        try:
            if self._is_finished(runfolder.held(path)):
                return FINISHED
            path.mkdir(parents=True, exist_ok=True)
            self._claiming = self._claiming or Claim(path)
            self._place = self._claiming.attempt()
            if self._place is None:
                return self._wait(self._claiming)
            try:
                if not self._take(self._place, config):
                    return ""
            except BaseException:
                self.__exit__()
                raise
            self.__exit__()
            return FINISHED
        except (OSError, ValueError) as error:
            raise runfolder.not_usable(path, getattr(error, "strerror", None) or str(error)) from None

    def _is_finished(self, held: runfolder.Held | None) -> bool:
        """Whether this run has finished in a folder; UserError where it may not have the folder."""
        if held is None:
            return False
        if self.resume == "never":
            held.refuse_to_move()
            return False
        held.refuse_another(self.tables, self._contents)
        return held.is_finished(self.tables)

    def _wait(self, claim: Claim) -> str:
        if claim.waiting and not self._said:
            self.told(claim.waiting)
            self._said = True
        sleep(min(LOOK, claim.seconds))
        return WAIT

    def _take(self, place: Place, config: str) -> bool:
        """Make the locked folder this run's; True where it has finished there meanwhile."""
        path = self.path
        held = runfolder.held(path)                     # again: only now nobody else can write there
        if self._is_finished(held):
            return True
        if held is not None and self.resume == "never":
            aside = runfolder.set_aside(path)
            place.release(now=aside)
            self.told(f"{path} held a run, and is now {aside}")
            path.mkdir()
            self._place = Claim(path).attempt()
            if self._place is None or (held := runfolder.held(path)) is not None:
                raise UserError(f"run.out: {path} is in use by another run; choose another run.out")
        (path / files.DONE).unlink(missing_ok=True)
        runfolder.clean(path)
        if held is None or held.config != self.tables:
            files.write_text(path / files.CONFIG, config)
        return False

    def _differs(self, tables: Mapping[str, Any], contents: Mapping[str, str]) -> str:
        """In which keys a checkpoint's run differs from this one; "" in none."""
        there = runfolder.without_topologies(contents)
        found = identity.differences(tables, self.tables) or identity.changed(there, self._contents, self.tables)
        return f"which differs in {identity.keys(found)} {identity.values(found)}" if found else ""

    def verify(self) -> None:
        """UserError where the folder is no longer this run's."""
        if self._place is not None:
            self._place.verify()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write in this run's folder only; where that fails because it has gone meanwhile, the error says so."""
        self.verify()
        try:
            yield
        except UserError:
            self.verify()
            raise

    def _config(self) -> str:
        why = unnamed(str(self.tables["problem"]["name"]))
        try:
            return (f"# mpidbo run cannot run this file: {why}\n" if why else "") + tomli_w.dumps(self.tables)
        except TypeError:
            odd = [key for key, value in files.flat(self.tables).items() if not isinstance(value, (str, int, float, list))]
            raise UserError(f"{' and '.join(odd) or 'problem'}: not what {files.CONFIG} can hold; give numbers, texts and lists of them, "
                            "or leave run.out out") from None

    def resumed(self, start: Any, levels: "Mapping[str, Topology]") -> Snapshot | None:
        """Where to go on from, for a state of the form of `start` and rank 0's topologies; collective."""
        self.checkpoints = Checkpoints(self.path, self.agents, keep=self.tables["checkpoint"]["keep"], tables=self.tables,
                                       topologies={level: topology.fingerprint for level, topology in levels.items()},
                                       contents=self._contents, verify=self.verify, differs=self._differs)
        if self.agents.rank == 0:
            with suppress(OSError):
                for marker in (files.DIVERGED, files.STOPPED):
                    (self.path / marker).unlink(missing_ok=True)
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
        if self._place is not None and self._place.lost:
            return k + 1
        due = [self.evaluation.next(k)]
        if self.every:
            due.append(k - k % self.every + self.every)
        if not self.checkpoints.writing.idle:
            due.append(max(k + 1, self._due))
        return min(due)

    def look(self, k: int, state: Any, last: bool) -> str | None:
        assert self.evaluation is not None
        if self._place is not None and self._place.lost:
            self.verify()
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
                self.verify()
                files.write_text(self.path / files.DIVERGED, f"{error}\n")
        with suppress(UserError):
            self.write_history(evaluation)

    def stop(self, reason: str) -> None:
        """Note why the run was stopped before its end; collective."""
        with agreed(self.agents.comm):
            if self.agents.rank == 0:
                with self._writing():
                    files.write_text(self.path / files.STOPPED, f"{reason}\n")

    def write_history(self, evaluation: Evaluation) -> None:
        """Write history.h5; rank 0 alone does, which may raise UserError."""
        if self.agents.rank > 0:
            return
        whole = ("iteration", "floats", "messages", "rounds", "calls_")
        columns = {name: np.array(values, np.int64 if name.startswith(whole) else np.float64)
                   for name, values in evaluation.history.items()}
        with self._writing():
            files.write_arrays(self.path / files.HISTORY, columns, {"version": __version__, "method": self._method()})
        self._written = monotonic()

    def finish(self, rows: Mapping[str, Any], average: Mapping[str, Any], iteration: int, reason: str, threads: int) -> None:
        """Write result.h5 from each rank's rows, trees.h5 from their average if that has a form of its own, then the marker; collective."""
        everyone = {name: self.agents.gather(part, everywhere=False) for name, part in rows.items()}
        hosts = self.agents.texts(_host())
        own = not trees.are_vectors(average)
        with agreed(self.agents.comm), self._writing():
            if self.agents.rank == 0:
                digest = identity.digest(self.tables)
                files.write_arrays(
                    self.path / files.RESULT, everyone,
                    {"iteration": iteration, "reason": reason, "method": self._method(), "version": __version__,
                     "config": self._config(), runfolder.DIGEST: digest, "trees": own},
                    {"provenance": files.provenance(self.agents.comm, hosts, threads)})
                if own:
                    trees.write(self.path / files.TREES, average, iteration)
                self.verify()
                done = runfolder.Done(iteration, digest, __version__, self._defaulted, self._contents)
                files.write_text(self.path / files.DONE, str(done))

    def _method(self) -> str:
        table = self.tables["method"]
        return "-".join([table["name"], *(table[key] for key in ("lower", "upper") if key in table)])


def finished(path: Path, config: Config, comm: Any) -> bool:
    """Whether a folder holds this run, finished, as far as that is seen before anything of the run is made; collective."""
    found = False
    with agreed(comm, patient=True):
        if comm is None or comm.rank == 0:
            held = runfolder.held(path)
            found = held is not None and held.is_finished_before(config)
    return texts(comm, str(found))[0] == str(True)


def adopted(tables: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The tables of a run with what an earlier start of it, in that folder, has fixed: its agents and its horizons."""
    try:
        held = tomllib.loads((path / files.CONFIG).read_text(encoding="utf-8"))
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

"""The folder of a run: claimed by this run alone, and written to by rank 0."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Literal, Self

import tomli_w

from ..algorithms import Function
from ..config import Config
from ..errors import UserError
from ..parallel import Agents, agreed, allgather_text, is_root
from ..problems import unnamed
from ..storage import (
    Claim,
    Place,
    StoredRun,
    files,
    identity,
    move_aside,
    remove_partial_files,
    stored_run,
    unusable,
    without_topologies,
    write_arrays,
    write_text,
)
from .start import Start
from .stopping import stop_if_asked

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Resume = Literal["auto", "never", "must"]

POLL_INTERVAL_S = 1.0
"""Time between two looks at a lock whose holder may be dead."""
CLAIMED, FINISHED, WAIT = "claimed", "finished", "wait"


class Folder:
    """The folder of one run, claimed; what fails on rank 0 is raised on every rank.

    From its construction to the end of its context no other process can use the folder. It then
    holds the run's config.toml.

    Parameters
    ----------
    path : Path
        The folder; it is made where it does not exist.
    tables : mapping
        The configuration of the run, with everything filled in, as config.toml has it.
    agents : Agents
        The agents of the run.
    resume : {"auto", "never", "must"}
        "auto": resume from the newest complete checkpoint, if there is one; "must": refuse to start
        without one; "never": rename the folder NAME of an earlier run to NAME.1 and start again.
    log, warn : callable, optional
        Called on rank 0 with messages for the user: news, and what may not be as was meant.
    defaulted : tuple of str, optional
        The keys of the tables that the problem or an estimate filled in.
    start : (x0, y0), optional
        Where the run starts; the folder keeps it if `run.start` is its own `files.START`.

    Attributes
    ----------
    finished : bool
        Whether this run has finished in the folder, which is then not claimed.
    contents : mapping of str to str
        The digests of the files that the configuration names; on rank 0.

    Raises
    ------
    UserError
        Where the folder holds another run or other files, is in use, or cannot be written.
    Stopped
        Where a signal came while it was unknown whether another process uses the folder.
    """

    def __init__(
        self,
        path: Path,
        tables: Mapping[str, Any],
        agents: Agents,
        resume: Resume,
        log: Callable[[str], None] = lambda message: None,
        warn: Callable[[str], None] = lambda message: None,
        defaulted: tuple[str, ...] = (),
        start: Start | None = None,
    ) -> None:
        self.path, self.tables, self.agents = path, tables, agents
        self.resume, self.log, self.warn, self.defaulted = resume, log, warn, defaulted
        self.start = start if _is_in(path, tables["run"].get("start")) else None
        self.contents: dict[str, str] = {}
        self._place: Place | None = None
        self._has_logged = False
        self.finished = self._claim() == FINISHED
        if agents.rank > 0 and not self.finished:
            self._place = Place(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._release()

    @property
    def is_lost(self) -> bool:
        """Whether it was noticed that the folder is no longer this run's; `verify` says why."""
        return self._place is not None and self._place.lost

    def verify(self) -> None:
        """Raise UserError where the folder is no longer this run's."""
        if self._place is not None:
            self._place.verify()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Context of a write into the folder, while it is this run's.

        Where the write fails because the folder was moved or taken in the meantime, the error says
        so.
        """
        self.verify()
        try:
            yield
        except UserError:
            self.verify()
            raise

    def has_diverged(self) -> bool:
        """Whether the run diverged when it was last run here; collective."""
        found = ""
        with agreed(self.agents.comm):
            if self.agents.rank == 0 and (self.path / files.DIVERGED).is_file():
                found = files.DIVERGED
        return bool(self.agents.bcast_text(found))

    def config_text(self) -> str:
        """Return the content of config.toml. Raises UserError where TOML cannot hold an option."""
        reason = unnamed(str(self.tables["problem"]["name"])) or functions_in(self.tables)
        head = f"# mpidbo run cannot run this file: {reason}\n" if reason else ""
        try:
            return head + tomli_w.dumps(self.tables)
        except TypeError:
            odd = [
                key
                for key, value in files.flat(self.tables).items()
                if not isinstance(value, (str, int, float, list))
            ]
            raise UserError(
                f"{' and '.join(odd) or 'problem'}: not what {files.CONFIG} can hold; give "
                "numbers, strings and lists of them, or leave run.out out"
            ) from None

    def differences(self, tables: Mapping[str, Any], contents: Mapping[str, str]) -> str:
        """In which keys the run of a checkpoint differs from this one; "" if in none."""
        found = identity.differences(tables, self.tables)
        if not found:
            # Of topologies the checkpoint has W itself: their files may have changed.
            found = identity.changed(without_topologies(contents), self.contents, self.tables)
        if not found:
            return ""
        return f"which differs in {identity.keys(found)} {identity.values(found)}"

    def _claim(self) -> str:
        """CLAIMED or FINISHED, once rank 0 knows; collective."""
        claim = Claim(self.path)
        while True:
            answer = ""
            with agreed(self.agents.comm, patient=True):
                if self.agents.rank == 0:
                    answer = self._attempt(claim)
            answer = self.agents.bcast_text(answer)
            if answer != WAIT:
                return answer
            stop_if_asked(self.agents.comm)

    def _attempt(self, claim: Claim) -> str:
        """One attempt of rank 0: CLAIMED, FINISHED, or WAIT while a holder may be alive or dead."""
        path = self.path
        if self.resume == "must" and not os.path.isdir(path):
            raise UserError(f"--resume must: {path} holds no checkpoint; start with --resume auto")
        if not self.contents:
            self.contents = identity.contents(self.tables)
            if self.start is not None:  # the file may be missing yet, or an earlier start's
                self.contents["run.start"] = identity.digest_of_start(*self.start)
        config = self.config_text()
        try:
            # A finished run is seen without the lock, which another process may hold.
            if self._is_finished(stored_run(path)):
                return FINISHED
            path.mkdir(parents=True, exist_ok=True)
            self._place = claim.attempt()
            if self._place is None:
                self._wait(claim)
                return WAIT
            try:
                if not self._take(self._place, config):
                    return CLAIMED
            except BaseException:
                self._release()
                raise
            self._release()
            return FINISHED
        except (OSError, ValueError) as error:
            raise unusable(path, getattr(error, "strerror", None) or str(error)) from None

    def _is_finished(self, stored: StoredRun | None) -> bool:
        """Whether this run has finished in a folder. Raises UserError if it may not use it."""
        if stored is None:
            return False
        if self.resume == "never":
            stored.refuse_to_move()
            return False
        stored.refuse_another(self.tables, self.contents)
        return stored.is_finished(self.tables)

    def _wait(self, claim: Claim) -> None:
        if claim.waiting and not self._has_logged:
            self.log(claim.waiting)
            self._has_logged = True
        sleep(min(POLL_INTERVAL_S, claim.seconds))

    def _take(self, place: Place, config: str) -> bool:
        """Make the locked folder this run's; True where it has finished there in the meantime."""
        path = self.path
        stored = stored_run(path)  # again: only since the lock nobody else can write there
        if self._is_finished(stored):
            return True
        if stored is not None and self.resume == "never":
            aside = move_aside(path)
            place.release(now=aside)
            self.warn(f"{path} held a run, and is now {aside}")
            path.mkdir()
            self._place = Claim(path).attempt()
            stored = stored_run(path)
            if self._place is None or stored is not None:
                raise UserError(f"run.out: {path} is in use by another run; choose another run.out")
        if stored is not None:
            self._refuse_another_start()
        # This run has more to do than the one that wrote the marker.
        (path / files.DONE).unlink(missing_ok=True)
        remove_partial_files(path)
        if stored is None or stored.config != self.tables:
            write_text(path / files.CONFIG, config)
        if self.start is not None:
            write_arrays(path / files.START, dict(zip("xy", self.start, strict=True)), {})
        return False

    def _refuse_another_start(self) -> None:
        """Raise UserError where the folder keeps another start; of a damaged one nothing is known.

        A checkpoint would tell, too, but only after the file is overwritten.
        """
        if self.start is None:
            return
        there = identity.contents({"run": {"start": str(self.path / files.START)}})
        found = identity.changed(there, self.contents, self.tables)
        if found:
            raise UserError(
                f"run.out: {self.path} holds another run, which differs in {identity.keys(found)}; "
                f"choose another run.out, or --resume never to move it aside "
                f"{identity.values(found)}"
            )

    def _release(self) -> None:
        if self._place is not None:
            self._place.release()
            self._place = None


def _is_in(folder: Path, start: str | None) -> bool:
    """Whether the file of the start is the folder's own."""
    if start is None or Path(start).name != files.START:
        return False
    return Path(start).parent.resolve() == folder.resolve()


def functions_in(tables: Mapping[str, Any]) -> str:
    """Say which keys are functions of Python; "" if none is."""
    found = [
        f"{section}.{key} is the function {value['name']} of Python"
        for section in ("method", "steps")
        for key, value in tables[section].items()
        if isinstance(value, Mapping) and value.get("kind") == Function.kind
    ]
    return " and ".join(found)


def is_finished(config: Config, comm: "Comm | None") -> bool:
    """Whether the run of a configuration has finished in its folder; collective.

    This is known before anything of the run is built. False also where only a problem's class can
    tell.
    """
    found = False
    with agreed(comm, patient=True):
        if is_root(comm):
            stored = stored_run(Path(str(config.run.out)))
            found = stored is not None and stored.is_finished_before(config)
    return allgather_text(comm, str(found))[0] == str(True)


def refuse_other_steps(path: Path, comm: "Comm | None") -> None:
    """Raise UserError where a folder holds a run, of a configuration with "auto"; collective.

    If that were its run, the step sizes that it found would be in the configuration by now.
    """
    with agreed(comm, patient=True):
        if is_root(comm) and stored_run(path) is not None:
            raise UserError(
                f'run.out: {path} holds another run, whose step sizes were not found by "auto"; '
                "choose another run.out, or --resume never to move it aside"
            )

"""What is in a folder before a run begins there: nothing, a run, or files of somebody else.

Files of somebody else are left alone, and a folder that holds anything but a run is refused.
"""

import os
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..algorithms import METHODS, schedules
from ..config import Config, step_table, with_found
from ..errors import UserError
from . import files, identity
from .hdf5 import open_hdf5
from .identity import ESTIMATED
from .lock import LOCK
from .loggers.table import logger_files
from .marker import DIGEST, Done

OWN = {
    files.CONFIG,
    files.RESULT,
    files.BEST,
    files.TREES,
    files.HISTORY,
    files.START,
    files.DONE,
    files.DIVERGED,
    files.STOPPED,
    files.SURVIVED,
    files.TRACE,
    files.TRACES,
    "checkpoints",
    files.CURVES,
    files.REPORT,
}
"""What mpidbo puts into a run's folder and a reader may want."""
NOTES = "stall"
"""The folder of the notes that the ranks write for the stall watch."""
KEYS_OF_A_RUN = {"agents", "seed", "dtype", "threads"}
"""In the table [run] of every config.toml that a run has written."""
MAX_NAMES, MAX_NAME = 3, 40
"""Of files in a message: how many, and of how many characters."""


@dataclass(frozen=True)
class StoredRun:
    """A run in a folder, as far as it matters to a run that is about to begin there.

    Parameters
    ----------
    path : Path
        The folder.
    config : mapping or None
        The tables of config.toml; None where that, or the marker, is damaged.
    done : Done or None
        The marker; None where the run has not finished.
    others : tuple of str
        Files that are not a run's.
    """

    path: Path
    config: Mapping[str, Any] | None
    done: Done | None
    others: tuple[str, ...]

    def refuse_another(self, tables: Mapping[str, Any], contents: Mapping[str, str]) -> None:
        """Raise UserError unless it is the run of these tables.

        Parameters
        ----------
        tables : mapping
            The resolved configuration of the run that begins.
        contents : mapping
            Key -> digest of the file that it names.
        """
        remedy = "choose another run.out, or --resume never to move it aside"
        if self.config is None:
            raise UserError(
                f"run.out: {self.path} holds a damaged {files.CONFIG} or {files.DONE}; choose "
                "another folder, or --resume never to move it aside"
            )
        differ = identity.differences(self.config, tables)
        if not differ and self.done:
            there = self.done.contents
            if not self.is_finished(tables):
                there = without_topologies(there)
            differ = identity.changed(there, contents, tables)
        if differ:
            raise UserError(
                f"run.out: {self.path} holds another run, which differs in "
                f"{identity.keys(differ)}; {remedy} {identity.values(differ)}"
            )
        if self.done and not self._consistent(self.done):
            raise UserError(
                f"run.out: {self.path} holds the {files.DONE} or {files.RESULT} of another run "
                f"than its {files.CONFIG}; {remedy}"
            )

    def _consistent(self, done: Done) -> bool:
        """Whether marker and result are of this configuration, where they have its digest."""
        assert self.config is not None
        found = {done.config}
        with suppress(files.Damaged), open_hdf5(self.path / files.RESULT) as result:
            found.add(str(result.attrs.get(DIGEST, "")))
        return found <= {"", identity.digest(self.config)}  # "" of an earlier version

    def is_finished(self, tables: Mapping[str, Any]) -> bool:
        """Return whether nothing is left to do of this run, with these tables."""
        if self.done is None or self.config is None:
            return False
        run = tables["run"]
        same_end = _end(run) == _end(self.config["run"])
        return self.done.iteration >= run["iterations"] or same_end

    def is_finished_before(self, config: Config) -> bool:
        """Return whether a run has finished here, before its problem or topologies are made.

        Parameters
        ----------
        config : Config
            Checked, but without what the problem or an estimate fills in.

        Returns
        -------
        bool
            False too where that cannot be decided yet.
        """
        tables = config.tables()
        if self.done is None or self.config is None or not self.is_finished(tables):
            return False
        method = METHODS[config.method["name"]][0]
        # Keys that the problem or an estimate may fill in, whose values are thus not known yet. If
        # the run in the folder left the same keys open, it has filled them in as this one would.
        open_keys: set[str] = set()
        if method.uses_problem_steps:
            open_keys = {f"steps.{key}" for key in config.defaulted}
        unset = ESTIMATED - files.flat(tables).keys()
        open_keys |= unset & files.flat(self.config).keys()
        known = self.done.version == __version__ and open_keys <= set(self.done.defaulted)
        if open_keys and not known:
            return False
        with suppress(UserError):
            there = files.flat(self.config).items()
            stored = {key: value for key, value in there if key in open_keys}
            contents = identity.contents(tables) if self.done.contents else {}
            self.refuse_another(_with(tables, stored), contents)
            return True
        return False

    def refuse_to_move(self) -> None:
        """Raise UserError where the folder must not be renamed.

        It holds other files too, or it is the working folder or holds that.
        """
        if self.others:
            raise UserError(
                f"run.out: {self.path} holds a run and other files too ({_listed(self.others)}), "
                "and is not moved aside; move them out, or choose another folder"
            )
        with suppress(OSError):
            if Path.cwd().is_relative_to(self.path):
                raise UserError(
                    f"run.out: {self.path} is the working folder or holds it, and is not moved "
                    "aside; start from elsewhere, or choose another folder"
                )


def stored_run(path: Path) -> StoredRun | None:
    """Return the run in a folder.

    Returns
    -------
    StoredRun or None
        None where the folder is free: it does not exist, is empty, or has only what a run left that
        was killed at its start.

    Raises
    ------
    UserError
        Where it holds anything else, or cannot be read.
    """
    try:
        names = set(os.listdir(path))
        names -= {name for name in names if _is_remains(name)}
        if not names:
            return None
        config = _content(path / files.CONFIG) if files.CONFIG in names else None
        marker = _content(path / files.DONE) if files.DONE in names else None
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise unusable(path, "Not a directory") from None
    except (OSError, ValueError) as error:
        raise unusable(path, getattr(error, "strerror", None) or str(error)) from None
    if config is None:
        raise UserError(
            f"run.out: {path} exists and holds no run; choose another folder or empty it of "
            f"{_listed(names)}"
        )
    others = tuple(sorted(names - OWN - logger_files()))
    try:
        tables = tomllib.loads(config.decode())
        done = Done.parse(marker.decode()) if marker is not None else None
    except (ValueError, TypeError, AttributeError):
        if not _has_results(path):
            raise UserError(
                f"run.out: {path} holds a damaged {files.CONFIG} or {files.DONE}; choose another "
                "folder"
            ) from None
        return StoredRun(path, None, None, others)
    run = tables.get("run")
    if isinstance(run, dict) and KEYS_OF_A_RUN <= run.keys():
        return StoredRun(path, tables, done, others)
    if not _has_results(path):
        raise UserError(
            f"run.out: {path} exists and holds no run, but a {files.CONFIG} that no run has "
            "written; choose another folder"
        )
    return StoredRun(path, None, None, others)


def is_run(path: Path) -> bool:
    """Return whether a folder holds a run, as far as its files can be read."""
    with suppress(UserError):
        return stored_run(path) is not None
    return False


def _content(file: Path) -> bytes:
    """The content of a file; Unreadable where the operating system refuses."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.unreadable(file, error) from None


def _has_results(path: Path) -> bool:
    """Whether there are files that only a run writes."""
    if (path / files.HISTORY).is_file() or (path / files.RESULT).is_file():
        return True
    return any(path.glob("checkpoints/*/manifest.json"))


def without_topologies(contents: Mapping[str, str]) -> dict[str, str]:
    """Return digests but for topologies' files: a checkpoint has the digest of W itself."""
    return {key: content for key, content in contents.items() if not key.startswith("topology.")}


def unusable(path: Path, why: str) -> UserError:
    """Return the error of a folder that the operating system does not let a run use."""
    if os.path.lexists(path) and not os.path.isdir(path):
        return UserError(f"run.out: {path} is not a folder; choose another name")
    return UserError(f"run.out: {path} cannot be used ({why}); choose another folder")


def move_aside(folder: Path) -> Path:
    """Rename a folder NAME to NAME.1, or the next number that is free, and return the new path."""
    number = 1
    aside = folder.with_name(f"{folder.name}.{number}")
    while os.path.lexists(aside):
        number += 1
        aside = folder.with_name(f"{folder.name}.{number}")
    folder.rename(aside)
    return aside


def remove_partial_files(path: Path) -> None:
    """Remove the temporary files of a run that was killed while it wrote."""
    for file in path.glob(".*.part"):
        with suppress(OSError):
            file.unlink()


def with_stored_values(tables: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Add what an earlier start of the run in that folder has fixed.

    These are its number of agents, the horizons of its schedules and the step sizes that it found.

    Parameters
    ----------
    tables
        The configuration as tables, before it is checked.
    folder
        The run's folder. Where it holds no readable configuration, the tables are returned as
        they are.

    Returns
    -------
    dict
        A copy of the tables, in which `run.agents` and the `horizon` of schedules are
        those of config.toml where the tables leave them out, and step sizes that are "auto" those
        that were found.
    """
    try:
        stored = tomllib.loads((folder / files.CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return dict(tables)
    found = dict(tables)
    run = stored.get("run")
    if isinstance(run, dict) and "agents" in run:
        found["run"] = {"agents": run["agents"], **_given(found.get("run", {}))}
    if "steps" in found:
        steps = step_table(found["steps"], found.get("method", {}))
        found["steps"], record = with_found(steps, stored)
        if record:
            found["tuning"] = record
    for section in ("steps", "method"):
        before, table = stored.get(section), found.get(section, {})
        if not (isinstance(before, dict) and isinstance(table, Mapping)):
            continue
        found[section] = {
            key: _with_horizon(value, before.get(key)) for key, value in table.items()
        }
    return found


def _end(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values that decide where a run ends; a single stop rule may be a table."""
    stop = run.get("stop", [])
    rules = [stop] if isinstance(stop, Mapping) else stop
    return run.get("iterations"), run.get("evaluate_every"), rules


def _given(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table without the keys that are None, as `solve` has them."""
    return {key: value for key, value in table.items() if value is not None}


def _with_horizon(schedule: Any, earlier: Any) -> Any:
    """A schedule with the horizon that an earlier start fixed."""
    has_horizon = schedules.has_horizon(schedule)
    if not (has_horizon and isinstance(earlier, Mapping) and "horizon" in earlier):
        return schedule
    return {"horizon": earlier["horizon"], **_given(schedule)}


def _is_remains(name: str) -> bool:
    """Whether a killed run may leave a file of this name.

    It is the lock, notes of a stall, a temporary file, or on NFS the trace of an open file.
    """
    if name in (LOCK, NOTES) or name.startswith(".nfs"):
        return True
    return name.startswith(".") and name.endswith(".part")


def _with(tables: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with values for dotted keys."""
    found = {section: dict(table) for section, table in tables.items()}
    for key, value in values.items():
        section, _, name = key.partition(".")
        found[section][name] = value
    return found


def _listed(names: Collection[str]) -> str:
    """The first of some files, for a message."""
    first = [_printable(name)[:MAX_NAME] for name in sorted(names)[:MAX_NAMES]]
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(first) + more


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)

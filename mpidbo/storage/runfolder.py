"""What is in a folder before a run begins there: nothing, a run, or files of somebody else, which are left alone."""

import json
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._version import __version__
from ..algorithms import METHODS
from ..config.validate import Config
from ..errors import UserError
from . import files, identity
from .lock import LOCK

OWN = {files.CONFIG, files.RESULT, files.TREES, files.HISTORY, files.DONE, files.DIVERGED, files.STOPPED, "checkpoints", "curves.png"}
"""What mpidbo puts into a run's folder and a reader may want."""
NOTES = "stall"
DIGEST = "config_digest"
"""The attribute of result.h5."""
ESTIMATED = {"method.L", "method.mu_g"}
"""Keys that hold an estimate where the configuration leaves them out."""


@dataclass(frozen=True)
class Done:
    """The marker of a finished run: its iterations on the first line, the rest as JSON on the second.

    `config` is the digest of its configuration, `defaulted` the keys that it left to the problem or to an estimate, `contents`
    the digests of the files that it read. A marker of an earlier version has the first line only.
    """

    iteration: int
    config: str = ""
    version: str = ""
    defaulted: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rest = {key: value for key, value in asdict(self).items() if key != "iteration"}
        return f"{self.iteration}\n{json.dumps(rest)}\n"

    @classmethod
    def parse(cls, text: str) -> "Done":
        """Raises ValueError, TypeError, AttributeError."""
        first, _, rest = text.partition("\n")
        found = json.loads(rest) if rest.strip() else {}
        return cls(int(first), found.get("config", ""), found.get("version", ""), tuple(found.get("defaulted", ())),
                   dict(found.get("contents", {})))


@dataclass(frozen=True)
class Held:
    """A run in a folder; `config` None: it is damaged, `done` None: it has not finished. `others`: files that are not a run's."""

    path: Path
    config: Mapping[str, Any] | None
    done: Done | None
    others: tuple[str, ...]

    def refuse_another(self, tables: Mapping[str, Any], contents: Mapping[str, str]) -> None:
        """UserError unless it is the run of these resolved tables, which reads files of these contents."""
        remedy = "choose another run.out, or --resume never to move it aside"
        if self.config is None:
            raise UserError(f"run.out: {self.path} holds a damaged {files.CONFIG} or {files.DONE}; choose another folder, "
                            "or --resume never to move it aside")
        differ = identity.differences(self.config, tables)
        if not differ and self.done:
            there = self.done.contents if self.is_finished(tables) else without_topologies(self.done.contents)
            differ = identity.changed(there, contents, tables)
        if differ:
            raise UserError(f"run.out: {self.path} holds another run, which differs in {identity.keys(differ)}; {remedy} "
                            f"{identity.values(differ)}")
        if self.done and not self._consistent(self.done):
            raise UserError(f"run.out: {self.path} holds the {files.DONE} or {files.RESULT} of another run than its {files.CONFIG}; "
                            f"{remedy}")

    def _consistent(self, done: Done) -> bool:
        """Whether marker and result are of the configuration beside them; those of an earlier version do not say."""
        assert self.config is not None
        found = {done.config}
        with suppress(files.Damaged), files.stored_hdf5(self.path / files.RESULT) as result:
            found.add(str(result.attrs.get(DIGEST, "")))
        return found <= {"", identity.digest(self.config)}

    def is_finished(self, tables: Mapping[str, Any]) -> bool:
        """Whether nothing is left to do of the run of these tables, which is this one."""
        if self.done is None or self.config is None:
            return False
        now, then = tables["run"], self.config["run"]
        same_end = all(now.get(key) == then.get(key) for key in ("iterations", "stop", "evaluate_every"))
        return self.done.iteration >= now["iterations"] or same_end

    def is_finished_before(self, config: Config) -> bool:
        """The same of a configuration of which nothing was made yet; False also where that cannot be told."""
        tables = config.tables()
        if self.done is None or self.config is None or not self.is_finished(tables):
            return False
        method = METHODS[config.method["name"]][0]
        open_keys = {f"steps.{key}" for key in config.unsaid} if method.heeds_steps else set()
        open_keys |= ESTIMATED - files.flat(tables).keys() & files.flat(self.config).keys()
        if open_keys and not (self.done.version == __version__ and open_keys <= set(self.done.defaulted)):
            return False
        with suppress(UserError):
            adopted = {key: value for key, value in files.flat(self.config).items() if key in open_keys}
            self.refuse_another(_with(tables, adopted), identity.contents(tables) if self.done.contents else {})
            return True
        return False

    def refuse_to_move(self) -> None:
        """UserError where the folder must not be renamed: it holds other files too, or somebody works in it."""
        if self.others:
            raise UserError(f"run.out: {self.path} holds a run and other files too ({_listed(self.others)}), and is not moved aside; "
                            "move them out, or choose another folder")
        with suppress(OSError):
            if Path.cwd().is_relative_to(self.path):
                raise UserError(f"run.out: {self.path} is the working folder or holds it, and is not moved aside; start from "
                                "elsewhere, or choose another folder")


def held(path: Path) -> Held | None:
    """The run in a folder; None where the folder is free: not there, empty, or with what a run left that was killed at its start.

    Raises UserError where it holds anything else, or cannot be read.
    """
    try:
        names = set(os.listdir(path))
        names -= {name for name in names if _is_remains(name)}
        if not names:
            return None
        config, marker = (_content(path / name) if name in names else None for name in (files.CONFIG, files.DONE))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise not_usable(path, "Not a directory") from None
    except (OSError, ValueError) as error:
        raise not_usable(path, getattr(error, "strerror", None) or str(error)) from None
    if config is None:
        raise UserError(f"run.out: {path} exists and holds no run; choose another folder or empty it of {_listed(names)}")
    others = tuple(sorted(names - OWN))
    try:
        tables = tomllib.loads(config.decode())
        done = Done.parse(marker.decode()) if marker is not None else None
    except (ValueError, TypeError, AttributeError):
        if not _has_results(path):
            raise UserError(f"run.out: {path} holds a damaged {files.CONFIG} or {files.DONE}; choose another folder") from None
        return Held(path, None, None, others)
    if isinstance(run := tables.get("run"), dict) and {"agents", "seed", "dtype", "threads"} <= run.keys():
        return Held(path, tables, done, others)
    if not _has_results(path):
        raise UserError(f"run.out: {path} exists and holds no run, but a {files.CONFIG} that no run has written; choose another "
                        "folder")
    return Held(path, None, None, others)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.unreadable(file, error) from None


def _has_results(path: Path) -> bool:
    """Whether there are files that only a run writes."""
    return any((path / name).is_file() for name in (files.HISTORY, files.RESULT)) or any(path.glob("checkpoints/*/manifest.json"))


def without_topologies(contents: Mapping[str, str]) -> dict[str, str]:
    """The files but for those of topologies, of which a checkpoint has the matrix itself."""
    return {key: content for key, content in contents.items() if not key.startswith("topology.")}


def not_usable(path: Path, why: str) -> UserError:
    if os.path.lexists(path) and not path.is_dir():
        return UserError(f"run.out: {path} is not a folder; choose another name")
    return UserError(f"run.out: {path} cannot be used ({why}); choose another folder")


def set_aside(folder: Path) -> Path:
    """Rename an existing folder NAME to NAME.1, or the next number that is free."""
    number = 1
    while os.path.lexists(aside := folder.with_name(f"{folder.name}.{number}")):
        number += 1
    folder.rename(aside)
    return aside


def clean(path: Path) -> None:
    """Remove what a killed run left of files that it had begun."""
    for file in path.glob(".*.part"):
        with suppress(OSError):
            file.unlink()


def defaulted(config: Config, resolved: Config) -> tuple[str, ...]:
    """The keys of a run's configuration that the problem or an estimate filled in."""
    added = files.flat(resolved.tables()).keys() - files.flat(config.tables()).keys()
    return tuple(sorted({f"steps.{key}" for key in config.unsaid} | ESTIMATED & added))


def _is_remains(name: str) -> bool:
    """Whether a file is what a kill may leave: the lock, notes of a stall, half of a file; or the trace of an open one on NFS."""
    return name in (LOCK, NOTES) or (name.startswith(".") and name.endswith(".part")) or name.startswith(".nfs")


def _with(tables: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with values for dotted keys."""
    found = {section: dict(table) for section, table in tables.items()}
    for key, value in values.items():
        section, _, name = key.partition(".")
        found[section][name] = value
    return found


def _listed(names: "set[str] | tuple[str, ...]") -> str:
    first = ["".join(letter if letter.isprintable() else "?" for letter in name)[:40] for name in sorted(names)[:3]]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

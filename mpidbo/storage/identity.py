"""Whether two configurations are of one run: the keys that decide a trajectory, whatever folder a project lies in.

A path is no identity: of a file its name counts, of a problem's file also the class, and the content where it was recorded.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from os.path import exists, isabs
from pathlib import Path
from typing import Any

from ..config.paths import absolute
from ..config.validate import FREE
from ..errors import UserError, shown
from ..problems.lookup import source
from .files import flat, stored_hdf5

Tables = Mapping[str, Any]

FILES = {"run.start", "topology.file", "topology.upper.file", "topology.lower.file"}
"""Keys that hold a path; the problem has its name, and options of its own."""
HASHED = 1 << 26
"""Bytes up to which a file's content is compared."""
LONGEST, MOST = 120, 8
"""Letters of a value, and number of keys, of which a sentence tells the values."""

Pair = tuple[Any, Any]


def differences(there: Tables, here: Tables) -> dict[str, Pair]:
    """The keys that decide a trajectory and in which two resolved configurations differ, with both values; None: unset."""
    a, b = flat(there), flat(here)
    return {key: (a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys())
            if _decides(key) and not _alike(key, a.get(key), b.get(key))}


def changed(there: Mapping[str, str], here: Mapping[str, str], tables: Tables) -> dict[str, Pair]:
    """The files whose recorded contents differ, by key, with both digests."""
    named = flat(tables)

    def words(key: str, content: str) -> str:
        return f"{_bare(key, named.get(key))} with SHA-256 {content[:12]}"
    return {key: (words(key, there[key]), words(key, here[key]))
            for key in sorted(there.keys() & here.keys()) if there[key] != here[key]}


def keys(found: Mapping[str, Pair]) -> str:
    """The keys of `differences` in a sentence."""
    return ", ".join(found)


def values(found: Mapping[str, Pair]) -> str:
    """The values of `differences`, in brackets at the end of a sentence."""
    listed = [f"{key}: {_short(there)} there, {_short(here)} here" for key, (there, here) in [*found.items()][:MOST]]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return f"({'; '.join([*listed, *more])})"


def digest(tables: Tables) -> str:
    """The SHA-256 of all that decides the trajectory."""
    deciding = {key: _bare(key, value) for key, value in flat(tables).items() if _decides(key)}
    return sha256(_canonical(deciding).encode()).hexdigest()


def contents(tables: Tables) -> dict[str, str]:
    """The SHA-256 of what is in the files that a configuration names, by key, as far as they can be read at little cost."""
    found: dict[str, str] = {}
    for key, value in flat(tables).items():
        with suppress(OSError, ValueError, KeyError, UserError):
            if digests := [_start(file) if key == "run.start" else _content(file) for file in _files(key, value)]:
                found[key] = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
    return found


def _files(key: str, value: Any) -> list[Path]:
    """The files that a value names; an option of a problem names one if it is there."""
    if isinstance(value, list):
        return [file for item in value for file in _files(key, item)]
    if not isinstance(value, str):
        return []
    if key == "problem.name":
        return [found] if (found := source(value)) else []
    if key in FILES:
        return [Path(value)]
    return [_located(value)] if key.startswith("problem.") and value and exists(_located(value)) else []


def _located(value: str) -> Path:
    """Where a problem's option is, if it is a path: until the problem's class is known it may be relative."""
    return Path(absolute(value, getattr(value, "folder", Path())))


def _start(file: Path) -> str:
    """Of a result what a run takes from it: it may be written again with another origin."""
    with stored_hdf5(file) as result:
        return sha256(b"".join(result[name][()].tobytes() for name in ("x", "y"))).hexdigest()


def _content(file: Path) -> str:
    if file.stat().st_size > HASHED:
        raise ValueError
    return sha256(file.read_bytes()).hexdigest()


def _decides(key: str) -> bool:
    return key not in FREE and not key.startswith("run.stop.")


def _alike(key: str, there: Any, here: Any) -> bool:
    """Whether two values are the same, of paths the names."""
    if there == here or _canonical(there) == _canonical(here):
        return True
    if isinstance(there, list) and isinstance(here, list):
        return len(there) == len(here) and all(_alike(key, a, b) for a, b in zip(there, here, strict=True))
    if not (isinstance(there, str) and isinstance(here, str)):
        return False
    if key == "problem.name" or key in FILES:
        return bool(_bare(key, there) == _bare(key, here))
    return bool(_files(key, here)) and isabs(there) and Path(there).name == _located(here).name


def _bare(key: str, value: Any) -> Any:
    """A value without the folders of a path: mine.py, and mine:Class of /home/me/mine.py:Class and of my.package.mine:Class."""
    if isinstance(value, list):
        return [_bare(key, item) for item in value]
    if not isinstance(value, str):
        return value
    if key == "problem.name" and ":" in value:
        where, _, name = value.rpartition(":")
        return f"{Path(where).stem if where.endswith('.py') else where.rpartition('.')[2]}:{name}"
    if key in FILES or (key.startswith("problem.") and isabs(value)):
        return Path(value).name or value
    return value


def _canonical(value: Any) -> str:
    """As JSON; whole numbers are the same whatever their type, and NaN is itself."""
    def plain(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {str(key): plain(part) for key, part in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(part) for part in item]
        return int(item) if isinstance(item, float) and item.is_integer() else item
    return json.dumps(plain(value), sort_keys=True, default=str)


def _short(value: Any) -> str:
    text = "unset" if value is None else shown(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST // 3]}...{text[-LONGEST // 2:]}"

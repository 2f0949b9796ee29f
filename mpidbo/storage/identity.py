"""Whether two configurations are of one run: the keys that decide its trajectory are compared.

A path does not identify a run, so that a project may be moved: of a file its name counts, of a
problem's file also the class, and the content where it was recorded.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from math import isclose
from os.path import exists, isabs
from pathlib import Path
from typing import Any

from .._types import Array
from ..config import FREE, absolute
from ..errors import UserError, shown
from ..problems import source
from .files import flat
from .hdf5 import open_hdf5

Tables = Mapping[str, Any]

FILES = {
    "run.start",
    *(f"topology.{level}{key}" for level in ("", "upper.", "lower.") for key in ("file", "files")),
}
"""Keys that hold a path; the problem has its name, and options of its own."""
MAX_HASHED_BYTES = 1 << 26
"""Bytes up to which a file's content is compared."""
ESTIMATED = {"method.L", "method.mu_g"}
"""Keys that hold an estimate where the configuration leaves them out."""
ROUNDING = 1e-9
"""Relative difference up to which two estimates are the same."""
MAX_CHARACTERS, MAX_KEYS = 120, 8
"""Of a value in a message, and of keys whose values are in it."""

Pair = tuple[Any, Any]


def differences(there: Tables, here: Tables) -> dict[str, Pair]:
    """Return the keys that decide a trajectory and in which two configurations differ.

    Parameters
    ----------
    there, here : mapping
        Tables of resolved configurations.

    Returns
    -------
    dict
        Key -> both values; None where a key is unset.
    """
    a, b = flat(there), flat(here)
    return {
        key: (a.get(key), b.get(key))
        for key in sorted(a.keys() | b.keys())
        if _decides(key) and not _alike(key, a.get(key), b.get(key))
    }


def changed(there: Mapping[str, str], here: Mapping[str, str], tables: Tables) -> dict[str, Pair]:
    """Return the files whose contents differ: the key that names it -> both, with their digests.

    Parameters
    ----------
    there, here : mapping
        Key -> digest, as `contents` returns them; a key in one of them alone is not compared.
    tables : mapping
        The configuration, for the names of the files.
    """
    named = flat(tables)

    def words(key: str, content: str) -> str:
        return f"{_bare(key, named.get(key))} with SHA-256 {content[:12]}"

    return {
        key: (words(key, there[key]), words(key, here[key]))
        for key in sorted(there.keys() & here.keys())
        if there[key] != here[key]
    }


def keys(found: Mapping[str, Pair]) -> str:
    """Return the keys of `differences` for a message."""
    return ", ".join(found)


def values(found: Mapping[str, Pair]) -> str:
    """Return the values of `differences` for the end of a message, in brackets."""
    listed = [
        f"{key}: {_short(there)} there, {_short(here)} here"
        for key, (there, here) in [*found.items()][:MAX_KEYS]
    ]
    more = [f"and {len(found) - MAX_KEYS} more"] if len(found) > MAX_KEYS else []
    return f"({'; '.join([*listed, *more])})"


def digest(tables: Tables) -> str:
    """Return the SHA-256 of all that decides the trajectory."""
    deciding = {key: _bare(key, value) for key, value in flat(tables).items() if _decides(key)}
    return sha256(_canonical(deciding).encode()).hexdigest()


def contents(tables: Tables) -> dict[str, str]:
    """Return the digests of the files that a configuration names, as far as they can be read.

    Parameters
    ----------
    tables : mapping

    Returns
    -------
    dict
        Key -> SHA-256 of the content of its file; of a list of files that of their digests.
    """
    found: dict[str, str] = {}
    for key, value in flat(tables).items():
        with suppress(OSError, ValueError, KeyError, UserError):
            read = _start if key == "run.start" else _content
            digests = [read(file) for file in _files(key, value)]
            if len(digests) == 1:
                found[key] = digests[0]
            elif digests:
                found[key] = sha256("".join(digests).encode()).hexdigest()
    return found


def _files(key: str, value: Any) -> list[Path]:
    """The files that a value names; an option of a problem names one if it is there."""
    if isinstance(value, list):
        return [file for item in value for file in _files(key, item)]
    if not isinstance(value, str):
        return []
    if key == "problem.name":
        file = source(value)
        return [file] if file else []
    if key in FILES:
        return [Path(value)]
    if key.startswith("problem.") and value and exists(_located(value)):
        return [_located(value)]
    return []


def _located(value: str) -> Path:
    """An option of a problem as a path; it may be relative until the problem's class is known."""
    return Path(absolute(value, getattr(value, "folder", Path())))


def _start(file: Path) -> str:
    """The digest of x and y in a result, which is all that a run takes from `run.start`."""
    with open_hdf5(file) as result:
        return digest_of_start(*(result[name][()] for name in ("x", "y")))


def digest_of_start(x: Array, y: Array) -> str:
    """Return the digest of the start of a run, as `contents` has it of a file."""
    return sha256(x.tobytes() + y.tobytes()).hexdigest()


def _content(file: Path) -> str:
    """The digest of a file; ValueError for a large one, which would take long."""
    if file.stat().st_size > MAX_HASHED_BYTES:
        raise ValueError
    return sha256(file.read_bytes()).hexdigest()


def _decides(key: str) -> bool:
    """Whether a key decides the trajectory."""
    return not any(key == free or key.startswith(f"{free}.") for free in FREE)


def _alike(key: str, there: Any, here: Any) -> bool:
    """Whether two values of a key are the same; of paths the names are compared."""
    if there == here or _canonical(there) == _canonical(here):
        return True
    if key in ESTIMATED and isinstance(there, float) and isinstance(here, float):
        # another processor, which adds in another order, estimates it with another last digit
        return isclose(there, here, rel_tol=ROUNDING)
    if isinstance(there, list) and isinstance(here, list):
        return len(there) == len(here) and all(
            _alike(key, a, b) for a, b in zip(there, here, strict=True)
        )
    if not (isinstance(there, str) and isinstance(here, str)):
        return False
    if key == "problem.name" or key in FILES:
        return bool(_bare(key, there) == _bare(key, here))
    # An option of a problem is a path where there is such a file here, and it was absolute there.
    return bool(_files(key, here)) and isabs(there) and Path(there).name == _located(here).name


def _bare(key: str, value: Any) -> Any:
    """A value without the folders of a path.

    mine:Class of /home/me/mine.py:Class and of my.package.mine:Class.
    """
    if isinstance(value, list):
        return [_bare(key, item) for item in value]
    if not isinstance(value, str):
        return value
    if key == "problem.name" and ":" in value:
        where, _, name = value.rpartition(":")
        module = Path(where).stem if where.endswith(".py") else where.rpartition(".")[2]
        return f"{module}:{name}"
    if key in FILES or (key.startswith("problem.") and isabs(value)):
        return Path(value).name or value
    return value


def _canonical(value: Any) -> str:
    """A value as JSON; 1 and 1.0 are the same, and NaN is equal to itself."""

    def plain(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {str(key): plain(part) for key, part in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(part) for part in item]
        return int(item) if isinstance(item, float) and item.is_integer() else item

    return json.dumps(plain(value), sort_keys=True, default=str)


def _short(value: Any) -> str:
    text = "unset" if value is None else shown(value)
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[: MAX_CHARACTERS // 3]}...{text[-MAX_CHARACTERS // 2 :]}"

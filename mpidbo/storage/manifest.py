"""Manifests of checkpoints, and the checkpoints in a run's folder.

A checkpoint is complete once it has a manifest, and verified once all digests in the manifest are
those of its files. docs/checkpoint.md has the format.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .._types import Array
from ..errors import UserError
from . import files
from .files import Damaged
from .hdf5 import read_arrays

FOLDER, MANIFEST = "checkpoints", "manifest.json"
FORMAT = 1
"""The version of the format, in each manifest."""
BLOCK_BYTES = 1 << 20
"""Of a file's content, read at once for its digest."""


class Foreign(UserError):
    """A checkpoint of another run or of another format: not damage, which would be passed over."""


def seal(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's other entries, as compact JSON with sorted keys."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), default=str)
    return sha256(text.encode()).hexdigest()


def sealed(manifest: Mapping[str, Any]) -> str:
    """Return the text of manifest.json: the entries and their digest."""
    return json.dumps({**manifest, "sha256": seal(manifest)}, indent=1, default=str)


def read_manifest(place: Path) -> dict[str, Any]:
    """Read the manifest in a checkpoint's folder.

    Returns
    -------
    dict
        Its entries but for their digest.

    Raises
    ------
    Damaged
        Where it is missing, or the digest is not that of the entries.
    Foreign
        Where it is of another format.
    Unreadable
        Where the operating system refuses to read it.
    """
    manifest = json.loads(files.read_text(place / MANIFEST))
    digest = manifest.pop("sha256")  # which is that of the other entries
    if digest != seal(manifest) or manifest["iteration"] != int(place.name):
        raise Damaged(f"{MANIFEST} is damaged")
    if manifest["format"] != FORMAT:
        raise Foreign(f"format {manifest['format']} is not this version's, {FORMAT}")
    return dict(manifest)


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    Damaged
        Where it is missing.
    Unreadable
        Where the operating system refuses to read it.
    """
    state = sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                state.update(block)
    except FileNotFoundError:
        raise Damaged(f"{file.name} is missing") from None
    except OSError as error:
        raise files.unreadable(file, error) from None
    return state.hexdigest()


def verify_file(file: Path, digest: str) -> None:
    """Raise Damaged unless a file has this digest."""
    if file_digest(file) != digest:
        raise Damaged(f"{file.name} is damaged")


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Raise Damaged, with the checkpoint's folder, where its content is at fault."""
    try:
        yield
    except Damaged as error:
        raise Damaged(f"{place}: {error}") from None
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{place}: damaged ({error})") from None


def remove(place: Path) -> None:
    """Remove a checkpoint, its manifest first: then it is no longer one, even if a part remains."""
    with suppress(OSError):
        (place / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)


def listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the complete checkpoints, newest first, and the unfinished ones.

    Parameters
    ----------
    folder : Path
        The folder `checkpoints` of a run.

    Raises
    ------
    UserError
        Where it cannot be read.
    """
    try:
        places = [path for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
    except FileNotFoundError as error:
        if folder.is_symlink():
            raise files.unreadable(folder, error, "it is a link to nothing") from None
        return [], []
    except OSError as error:
        raise files.unreadable(folder, error, "it must be a folder, move it away") from None
    places.sort(key=lambda path: -int(path.name))
    complete = [path for path in places if files.is_there(path / MANIFEST)]
    return complete, [path for path in places if path not in complete]


def newest_complete(run: Path) -> int | None:
    """Return the iteration of the newest complete checkpoint in a run's folder.

    Its content is not verified. None where there is none, or the folder cannot be read.
    """
    with suppress(UserError):
        found, _ = listed(run / FOLDER)
        return int(found[0].name) if found else None
    return None


def newest_rows(run: Path, names: Iterable[str]) -> tuple[int, dict[str, Array]]:
    """Read variables of all agents from the newest verified checkpoint.

    Parameters
    ----------
    run : Path
        The folder of a run, which may be running and remove older checkpoints meanwhile.
    names : iterable of str
        The variables, such as "xyzt"; those that the method does not have are left out.

    Returns
    -------
    iteration : int
        -1 where there is no checkpoint.
    rows : dict
        Variable -> array (n, d), rows in agent order.

    Raises
    ------
    UserError
        Where a checkpoint cannot be read, or all are damaged.
    """
    wrong, seen = "", set[Path]()
    while True:
        complete, _ = listed(run / FOLDER)  # again: newer ones may have replaced what was listed
        left = [path for path in complete if path not in seen]
        if not left:
            break
        place = left[0]
        seen.add(place)
        try:
            with reading(place):
                return _rows(place, names)
        except Damaged as error:
            wrong = wrong or str(error)
        except Foreign as error:
            wrong = wrong or f"{place}: {error}"
    if wrong:
        raise UserError(
            f"{wrong}; no checkpoint of this run can be verified, "
            f"mpidbo show {run} --history prints what was evaluated"
        )
    return -1, {}


def _rows(place: Path, names: Iterable[str]) -> tuple[int, dict[str, Array]]:
    """The iteration and the variables of a checkpoint, verified."""
    manifest = read_manifest(place)
    rows: dict[str, list[Array]] = {}
    for part in manifest["agents"]:
        verify_file(place / part["name"], part["sha256"])
        arrays, _ = read_arrays(place / part["name"])
        for name, found in arrays.items():
            rows.setdefault(name, []).append(found)
    kept = {name: np.concatenate(parts) for name, parts in rows.items() if name in names}
    return manifest["iteration"], kept

"""The files of a run: config.toml, result.h5, trees.h5, history.h5 and the marker `done`, each written whole or not at all."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EISDIR, ENOENT, ENOTDIR
from importlib import metadata
from io import FileIO
from pathlib import Path
from stat import S_ISREG
from typing import Any

import h5py
import numpy as np

from .. import _contents as contents
from .._version import __version__
from ..errors import UserError

CONFIG, RESULT, TREES, HISTORY, DONE = "config.toml", "result.h5", "trees.h5", "history.h5", "done"
DIVERGED = "diverged"
"""The marker of a run that diverged; it holds the sentence."""
STOPPED = "stopped"
"""The marker of a run that was stopped before its end; it holds the reason, and goes when the run is resumed."""
LATER = "start again once it can be read; nothing was removed"
"""What to do where the operating system refuses to read."""
FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py may raise where the content of a file is not what was written."""


class Unreadable(UserError):
    """The operating system refuses to read a file, which says nothing about its content."""


class Damaged(UserError):
    """The content of a file is not what was written, or the file is missing where others need it."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name to write to, which takes the place of `path` once it is written and on the disk.

    Raises UserError when the disk refuses. Until all is written, and for good when that fails, what stood at `path` stays.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); make room or choose another folder") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def synced(*folders: Path) -> None:
    """Put the names in these folders on the disk, where the file system can."""
    for folder in folders:
        with suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


@contextmanager
def whole_hdf5(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file, which takes the place of `path` as with `whole`."""
    with whole(path) as temporary, open(temporary, "w+b", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            with h5py.File(disk, "w") as file:
                yield file
        except FAULTS:
            if disk.refusal is None:
                raise
        if disk.refusal is not None:
            raise disk.refusal


@contextmanager
def stored_hdf5(path: Path, remedy: str = "", where: str = "") -> Iterator[h5py.File]:
    """An HDF5 file to read; no file system needs locks for it.

    Raises Unreadable or Damaged, as `unreadable` has it, also for what the block does with the file.
    """
    disk = None
    try:
        with open(path, "rb", buffering=0) as raw:
            disk = _Disk(raw)
            with h5py.File(disk, "r") as file:
                yield file
            if disk.refusal is not None:
                raise disk.refusal
    except (UserError, *FAULTS) as error:
        refusal = disk.refusal if disk else None
        if refusal is None and isinstance(error, UserError):
            raise
        fault = unreadable(path, refusal or error, remedy, where)
    else:
        return
    raise fault         # out here: h5py's error would keep its objects alive until the interpreter ends, and then crash


class _Disk:
    """A file as h5py wants it, which keeps the operating system's refusal to itself: HDF5 may crash on it, or hide its number.

    HDF5's own driver would lock the file, which some network file systems refuse.
    """

    def __init__(self, raw: FileIO) -> None:
        self.raw = raw
        self.refusal: OSError | None = None
        self.tell, self.read = raw.tell, raw.read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._tried(self.raw.seek, offset, whence)

    def readinto(self, data: memoryview) -> int:
        done = 0
        while done < len(data) and (more := self._tried(self.raw.readinto, data[done:])):
            done += more
        data[done:] = bytes(len(data) - done)
        return done

    def write(self, data: memoryview) -> int:
        done = 0
        while done < len(data):
            done += self._tried(self.raw.write, data[done:]) or len(data)
        return len(data)

    def truncate(self, size: int) -> None:
        self._tried(self.raw.truncate, size)

    def flush(self) -> None:
        pass

    def _tried(self, call: Callable[..., int | None], *given: Any) -> int:
        """What the call returns; 0 when the operating system refuses it, or has refused before."""
        try:
            return 0 if self.refusal else call(*given) or 0
        except OSError as error:
            self.refusal = error.with_traceback(None)
            return 0


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path, remedy: str = "") -> str:
    """The text of a file. Raises Unreadable or Damaged."""
    try:
        return contents.decoded(path.read_bytes())
    except ValueError as error:
        raise Damaged(f"{path}: damaged ({error}){remedy and '; '}{remedy}") from None
    except OSError as error:
        raise unreadable(path, error, remedy) from None


def is_there(path: Path) -> bool:
    """Whether a file exists. Raises Unreadable where the operating system does not say."""
    try:
        return S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception, remedy: str = "", where: str = "") -> Unreadable | Damaged:
    """The error of a file that cannot be read: Damaged where its content is at fault or it is missing, else Unreadable.

    `remedy` ends the sentence where the file is damaged, missing or a folder; `where` begins it.
    """
    begin = f"{where}: " if where else ""
    if not (number := getattr(error, "errno", None)):
        return Damaged(f"{begin}{path}: cannot be read (it is no HDF5 file or it is damaged); {remedy or f'give a run, or its {HISTORY}'}")
    if number not in (ENOENT, ENOTDIR, EISDIR):
        remedy = LATER
    kind = Damaged if number == ENOENT else Unreadable
    return kind(f"{begin}{path}: cannot be read ({os.strerror(number)}){remedy and '; '}{remedy}")


def write_arrays(path: Path, arrays: Mapping[str, Any], attributes: Mapping[str, Any],
                 groups: Mapping[str, Mapping[str, Any]] = {}, checksums: bool = True) -> None:
    """Datasets, with `checksums` (fletcher32), and attributes; `groups` are attributes of a group of that name."""
    with whole_hdf5(path) as file:
        for name, array in arrays.items():
            array = np.asarray(array)
            checked = checksums and array.size > 0
            file.create_dataset(name, data=array, fletcher32=checked, chunks=True if checked else None)
        for name, value in attributes.items():
            file.attrs[name] = value
        for group, items in groups.items():
            file.create_group(group).attrs.update(items)


def read_arrays(path: Path, where: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(datasets, attributes) of a result or history; Unreadable or Damaged in a sentence that begins with `where`."""
    with stored_hdf5(path, f"give a run's {RESULT} or {HISTORY}", where) as file:
        return {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}, dict(file.attrs)


def provenance(comm: Any, hosts: list[str], threads: int) -> dict[str, Any]:
    """Where a result came from: versions, hosts, ranks, threads, job."""
    found: dict[str, Any] = {
        "version": __version__, "commit": _commit(), "python": platform.python_version(), "hosts": sorted(set(hosts)),
        "ranks": 1 if comm is None else comm.size, "threads": threads,
        "job": next((os.environ[name] for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID") if name in os.environ), ""),
        "mpi": ""}
    if comm is not None:
        from sys import modules
        found["mpi"] = modules["mpi4py.MPI"].Get_library_version().strip("\0").split("\n")[0]
    for library in ("numpy", "scipy", "h5py", "mpi4py", "networkx"):
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = ""
    return found


def _commit() -> str:
    """The commit of the checkout that this package stands in; "" elsewhere."""
    git = Path(__file__).parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        return (git / head[5:]).read_text().strip() if head.startswith("ref: ") else head
    except OSError:
        return ""


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"run.seed": 0, ...} from nested tables."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found

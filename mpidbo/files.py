"""The files of a run: config.toml, result.h5, trees.h5, history.h5 and the marker `done`, each written whole or not at all."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ._version import __version__
from .errors import UserError

CONFIG, RESULT, TREES, HISTORY, DONE = "config.toml", "result.h5", "trees.h5", "history.h5", "done"


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
    with whole(path) as temporary, open(temporary, "w+b", buffering=0) as disk:
        sink = _Sink(disk)
        with h5py.File(sink, "w") as file:
            yield file
        if sink.refusal is not None:
            raise sink.refusal


class _Sink:
    """A file as h5py wants it, which keeps the disk's refusal to itself: HDF5 crashes when a write fails."""

    def __init__(self, disk: FileIO) -> None:
        self.disk = disk
        self.refusal: OSError | None = None
        self.seek, self.tell, self.read, self.readinto, self.flush = disk.seek, disk.tell, disk.read, disk.readinto, disk.flush

    def write(self, data: memoryview) -> int:
        done = 0
        while done < len(data):
            done += self._tried(self.disk.write, data[done:]) or len(data)
        return len(data)

    def truncate(self, size: int) -> None:
        self._tried(self.disk.truncate, size)

    def _tried(self, call: Callable[[Any], int], given: Any) -> int:
        """What the call returns; 0 when the disk refuses it, or has refused before."""
        try:
            return 0 if self.refusal else call(given)
        except OSError as error:
            self.refusal = error
            return 0


def write_text(path: Path, text: str) -> None:
    with whole(path) as temporary:
        temporary.write_text(text)


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
    """(datasets, attributes) of a result or history; UserError, which begins with `where`, when it is missing or damaged."""
    try:
        with h5py.File(path, "r") as file:
            return {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}, dict(file.attrs)
    except (OSError, RuntimeError) as error:
        begin = f"{where}: " if where else ""
        raise UserError(f"{begin}{path}: cannot be read ({why(error)}); give a run's {RESULT} or {HISTORY}") from None


def why(error: Exception) -> str:
    """Why an HDF5 file could not be read."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "it is no HDF5 file or it is damaged"


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
    git = Path(__file__).parent.parent / ".git"
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


def differing(old: Mapping[str, Any], new: Mapping[str, Any], free: Callable[[str], bool]) -> list[str]:
    """The keys in which two resolved configs differ, but for those that are `free` to change."""
    a, b = flat(old), flat(new)
    return [key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key) and not free(key)]


def set_aside(folder: Path) -> Path:
    """Rename an existing folder NAME to NAME.1, or the next number that is free."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(aside)
    return aside

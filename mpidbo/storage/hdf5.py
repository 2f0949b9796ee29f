"""HDF5 files: written atomically and with checksums, and read without locks."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .._types import Array
from ..errors import UserError
from .atomic import atomic_write
from .files import HISTORY, RESULT, unreadable

FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py may raise where the content of a file is not what was written."""


@contextmanager
def atomic_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give a new HDF5 file, which replaces `path` once it is complete and on the disk.

    Raises
    ------
    UserError
        Where the operating system refuses to write; `path` is unchanged.
    """
    with atomic_write(path) as temporary, open(temporary, "w+b", buffering=0) as raw:
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
def open_hdf5(path: Path, remedy: str = "", where: str = "") -> Iterator[h5py.File]:
    """Give an HDF5 file to read; no file system needs locks for it.

    Parameters
    ----------
    path : Path
    remedy, where : str
        As of `unreadable`.

    Raises
    ------
    Unreadable, Damaged
        As `unreadable` returns them; also for what the block does with the file.
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
    # Raised out here: within the block h5py's error would be its context and keep h5py's objects
    # alive until the interpreter ends, which crashes then.
    raise fault


def write_arrays(
    path: Path,
    arrays: Mapping[str, Any],
    attributes: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, Any]] = {},
    checksums: bool = True,
) -> None:
    """Write datasets and attributes to an HDF5 file, atomically.

    Parameters
    ----------
    path : Path
    arrays : mapping
        Name -> array.
    attributes : mapping
        Attributes of the file.
    groups : mapping
        Name of a group -> its attributes.
    checksums : bool, default True
        Whether each dataset has a checksum (fletcher32).

    Raises
    ------
    UserError
        Where the operating system refuses to write.
    """
    with atomic_hdf5(path) as file:
        for name, values in arrays.items():
            array = np.asarray(values)
            # HDF5 has checksums of chunks alone, and no chunks of an empty array.
            checked = checksums and array.size > 0
            chunks = True if checked else None
            file.create_dataset(name, data=array, fletcher32=checked, chunks=chunks)
        for name, value in attributes.items():
            file.attrs[name] = value
        for group, items in groups.items():
            file.create_group(group).attrs.update(items)


def read_arrays(path: Path, where: str = "") -> tuple[dict[str, Array], dict[str, Any]]:
    """Read the datasets and attributes of a result or history.

    Parameters
    ----------
    path : Path
    where : str
        How the message of an error begins.

    Returns
    -------
    arrays, attributes : dict

    Raises
    ------
    Unreadable, Damaged
    """
    with open_hdf5(path, f"give a run's {RESULT} or {HISTORY}", where) as file:
        items = file.items()
        arrays = {name: item[()] for name, item in items if isinstance(item, h5py.Dataset)}
        return arrays, dict(file.attrs)


class _Disk:
    """A file for h5py that keeps the operating system's refusal, so that h5py sees a short file.

    HDF5 may crash on a refusal, or hide its number. And HDF5's own driver would lock the file,
    which some network file systems refuse.
    """

    def __init__(self, raw: FileIO) -> None:
        self.raw = raw
        self.refusal: OSError | None = None
        self.tell, self.read = raw.tell, raw.read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._tried(self.raw.seek, offset, whence)

    def readinto(self, data: memoryview) -> int:
        done = 0
        while done < len(data):
            count = self._tried(self.raw.readinto, data[done:])
            if not count:
                break
            done += count
        # As in HDF5's own drivers, what is beyond the end of the file reads as zero.
        data[done:] = bytes(len(data) - done)
        return done

    def write(self, data: memoryview) -> int:
        done = 0
        while done < len(data):
            # after a refusal all counts as written, so that h5py comes to its end
            done += self._tried(self.raw.write, data[done:]) or len(data)
        return len(data)

    def truncate(self, size: int) -> None:
        self._tried(self.raw.truncate, size)

    def flush(self) -> None:
        pass  # the file is not buffered

    def _tried(self, call: Callable[..., int | None], *given: Any) -> int:
        """What the call returns; 0 where the operating system refuses it, or has refused before."""
        if self.refusal:
            return 0
        try:
            return call(*given) or 0
        except OSError as error:
            # Frames of the traceback would keep h5py's objects alive.
            self.refusal = error.with_traceback(None)
            return 0

"""Atomic writing: a file is complete and on the disk, or it is as it was before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ..errors import UserError


@contextmanager
def atomic_write(path: Path, shared: bool = False) -> Iterator[Path]:
    """Give a temporary name to write to, which replaces `path` once it is on the disk.

    Parameters
    ----------
    path : Path
        The file to write. Until the new one is complete, and where writing fails, it is unchanged.
    shared : bool, default False
        Whether several processes may write it at the same time. The last one to end decides.

    Yields
    ------
    Path
        A name in the same folder, `.NAME.part`; of a shared file one that no other process has.

    Raises
    ------
    UserError
        Where the operating system refuses to write.
    """
    of_process = f"{uuid4().hex}." if shared else ""
    temporary = path.with_name(f".{path.name}.{of_process}part")
    try:
        yield temporary
        # Before the rename: else a crash of the machine could leave the new name without content.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{path}: cannot be written ({reason}); make room or choose another folder"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, shared: bool = False) -> None:
    """Write a string to a file in UTF-8, atomically, as `atomic_write` does.

    Raises
    ------
    UserError
        Where the operating system refuses to write.
    """
    with atomic_write(path, shared) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fsync_folders(*folders: Path) -> None:
    """Put the names in these folders on the disk, where the file system can."""
    for folder in folders:
        with suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)

"""Atomic writing: a file is complete and on the disk, or it is as it was before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, which replaces `path` once it is on the disk.

    Parameters
    ----------
    path : Path
        The file to write. Until the new one is complete, and where writing fails, it is unchanged.

    Yields
    ------
    Path
        A name in the same folder, `.NAME.part`.

    Raises
    ------
    UserError
        Where the operating system refuses to write.
    """
    temporary = path.with_name(f".{path.name}.part")
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


def write_text(path: Path, text: str) -> None:
    """Write a string to a file in UTF-8, atomically.

    Raises
    ------
    UserError
        Where the operating system refuses to write.
    """
    with atomic_write(path) as temporary:
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

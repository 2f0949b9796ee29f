"""The time that the runs of a claim took, over all calls and parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from ...storage import read_text, write_text

WHOLE = "seconds.txt"
"""The file of the calls without --part."""


def of_part(part: str) -> str:
    """The file of a part "I/N"."""
    return f"seconds-{part.replace('/', '-of-')}.txt"


@contextmanager
def counted(path: Path, root: bool) -> Iterator[None]:
    """Add the seconds spent in the block to those in the file, on rank 0."""
    start = perf_counter()
    try:
        yield
    finally:
        if root and path.parent.is_dir():
            before = float(path.read_text()) if path.is_file() else 0.0
            write_text(path, f"{before + perf_counter() - start:.1f}\n")


def total(folder: Path) -> float:
    """The seconds of all files of a folder."""
    return sum(float(read_text(path)) for path in sorted(folder.glob("seconds*.txt")))

"""IDX files: arrays of bytes, as MNIST and its like come in four of them."""

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import _contents as contents
from ...errors import UserError

NAME = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test)[-_](?P<what>images|labels)"
    r"[-._]idx(?P<dim>\d)[-_]ubyte(?:\.(?:gz|bz2|xz))?",
    re.IGNORECASE,
)
"""train-images-idx3-ubyte, train-images.idx3-ubyte.gz, emnist-letters-test-images-idx3-ubyte,
..."""
SUBFOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
"""Where in a folder the files may be: torchvision's have folders of their own."""


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes, plain or packed; read-only.

    Raises
    ------
    UserError
        The file cannot be read, is not such a file of this many dimensions, or is not as long as
        its header says.
    """
    try:
        raw = contents.unpacked(path.read_bytes())
    except contents.DAMAGE as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch the file again") from error
    expected, header = bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    if raw[:4] != expected:
        raise UserError(
            f"{path}: not an IDX file of bytes in {dimensions} dimension(s): it starts with "
            f"{raw[:4].hex()} instead of {expected.hex()}; is the file another one under this name?"
        )
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, header, 4))
    if len(raw) != header + math.prod(shape):
        raise UserError(
            f"{path}: holds {len(raw)} bytes where its header announces "
            f"{header + math.prod(shape)}; the file is truncated or damaged, fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def is_idx(path: Path) -> bool:
    """Whether a file begins like an IDX file."""
    try:
        begin = contents.begin(path, 4)
    except contents.DAMAGE:
        return False
    return (
        len(begin) == 4
        and begin[:2] == b"\0\0"
        and begin[2] in (8, 9, 11, 12, 13, 14)  # bytes, integers and floats
        and 1 <= begin[3] <= 8
    )


def four(place: Path) -> dict[tuple[str, str], Path]:
    """Return the four files by ("train" or "test", "images" or "labels").

    Parameters
    ----------
    place : Path
        A folder, or one of the files in it.

    Raises
    ------
    UserError
        A file is missing, or the folder holds several data sets.
    """
    folder, chosen = place, None
    if place.is_file():
        named = NAME.fullmatch(place.name)
        if named is None:
            raise UserError(
                f"{place}: is one IDX file of four; give the folder that holds "
                "train-images-idx3-ubyte and the others"
            )
        folder, chosen = place.parent, named["set"]
    found: dict[tuple[str, str, str], Path] = {}
    for part in SUBFOLDERS:
        found = found or _files(folder / part)
    sets = sorted({name for name, _, what in found if what == "images"})
    if chosen is None and len(sets) > 1 and "" not in sets:
        one = next(path for (name, *_), path in found.items() if name == sets[0])
        raise UserError(
            f"{folder}: holds several data sets, {', '.join(sets[:9])}; give a file of the one you "
            f"mean, such as {one}"
        )
    name = sets[0] if len(sets) == 1 else ""
    if chosen is not None:
        name = chosen
    wanted = {
        ("train", "images"): "train-images-idx3-ubyte",
        ("train", "labels"): "train-labels-idx1-ubyte",
        ("test", "images"): "t10k-images-idx3-ubyte",
        ("test", "labels"): "t10k-labels-idx1-ubyte",
    }
    for key, usual in wanted.items():
        if (name, *key) not in found:
            dotted = f"{name}{usual}".replace("-idx", ".idx")
            raise UserError(
                f"{folder / f'{name}{usual}'}: no such file, nor packed, nor as {dotted}; put the "
                "four IDX files of the data set there"
            )
    return {key: found[name, *key] for key in wanted}


def _files(folder: Path) -> dict[tuple[str, str, str], Path]:
    """(data set, part, what) -> file, the plain one before a packed one."""
    if not folder.is_dir():
        return {}

    def plain_first(path: Path) -> tuple[bool, str]:
        return path.suffix in contents.ENDINGS[1:], path.name

    there = sorted(folder.iterdir(), key=plain_first)
    # As Kaggle unpacks them: each file in a folder of its name.
    inner = [path / path.name for path in there if path.is_dir() and NAME.fullmatch(path.name)]
    found: dict[tuple[str, str, str], Path] = {}
    for path in (*there, *inner):
        named = NAME.fullmatch(path.name)
        if named is not None and path.is_file():
            part = "train" if named["part"].lower() == "train" else "test"
            found.setdefault((named["set"], part, named["what"].lower()), path)
    return found

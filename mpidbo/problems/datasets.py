"""Labelled images: scikit-learn's bundled digits, or the IDX files of MNIST in a folder; nothing is downloaded."""

import gzip
import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, kept as the bytes they came in: 60,000 of MNIST take 47 MB, as float64 they would take 376.

    pixels : (B, d) unsigned bytes, read-only.
    labels : (B,) classes 0, 1, ..., read-only.
    white : the largest value a pixel may have.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    white: int

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, rows: Any = slice(None), dtype: Any = np.float64) -> NDArray[Any]:
        """The images of these rows as floats in [0, 1], shape (number of rows, d); a new array."""
        features = self.pixels[rows].astype(dtype)
        features /= self.white
        return features


@lru_cache(maxsize=1)
def digits() -> Images:
    """The 1797 images of 8x8 pixels that come with scikit-learn (Alpaydin and Kaynak 1998); UserError without it."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError('data "digits" comes with scikit-learn, which is missing: pip install mpidbo[data]') from error
    pixels, labels = load_digits(return_X_y=True)
    return _images(pixels.astype(np.uint8), labels, white=16)


@lru_cache(maxsize=2)
def mnist(folder: str | Path) -> tuple[Images, Images]:
    """(training images, test images) from the four IDX files of MNIST's names in `folder`, with or without .gz.

    Fashion-MNIST and others that come in the same four files are read too. UserError: a folder or file that is
    missing or damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; data names a folder with the IDX files of MNIST, or is \"digits\"")
    return _read_pair(folder, "train"), _read_pair(folder, "t10k")


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, plain or gzipped, read-only.

    UserError: unreadable, not such a file of this many dimensions, or not as long as its header says.
    """
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch the file again") from error
    expected, header = bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    if raw[:4] != expected:
        raise UserError(f"{path}: not an IDX file of bytes in {dimensions} dimension(s): it starts with "
                        f"{raw[:4].hex()} instead of {expected.hex()}; is the file another one under this name?")
    shape = tuple(int.from_bytes(raw[at:at + 4], "big") for at in range(4, header, 4))
    if len(raw) != header + math.prod(shape):
        raise UserError(f"{path}: holds {len(raw)} bytes where its header announces {header + math.prod(shape)}; "
                        "the file is truncated or damaged, fetch it again")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _read_pair(folder: Path, part: str) -> Images:
    images, labels = _find(folder, f"{part}-images-idx3-ubyte"), _find(folder, f"{part}-labels-idx1-ubyte")
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise UserError(f"{images} holds {len(pixels)} images but {labels} {len(classes)} labels; fetch both again")
    return _images(pixels.reshape(len(pixels), -1), classes, white=255)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(f"{folder / name}: no such file, nor with .gz; put the four IDX files of the data set there")


def _images(pixels: NDArray[np.uint8], labels: NDArray[Any], white: int) -> Images:
    labels = labels.astype(np.int64)
    for array in (pixels, labels):
        array.setflags(write=False)
    return Images(pixels, labels, white)

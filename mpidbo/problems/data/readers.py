"""Labelled samples from scikit-learn's digits, from IDX files and from LIBSVM files.

Nothing is downloaded here.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._contents import ENDINGS
from ...errors import UserError, did_you_mean
from . import fetch as sets
from . import idx
from .idx import read_idx
from .libsvm import read as read_libsvm


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, kept as bytes: 60,000 of MNIST take 47 MB, as float64 they would take 376.

    Attributes
    ----------
    pixels : (B, d) array of unsigned bytes
        Read-only.
    labels : (B,) array of int
        Classes 0, 1, ..., read-only.
    white : int
        The largest value of a pixel.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    white: int

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, rows: Any = slice(None), dtype: Any = np.float64) -> NDArray[Any]:
        """Return the images of these rows as floats in [0, 1], shape (number of rows, d).

        A new array.
        """
        features = self.pixels[rows].astype(dtype)
        features /= self.white
        return features


@dataclass(frozen=True, eq=False)
class Records:
    """Labelled records of a sparse table.

    Attributes
    ----------
    table : (B, d) sparse array in CSR format
        The features.
    labels : (B,) array of int
        Classes 0, 1, ..., read-only; the labels of the file in ascending order.
    """

    table: Any
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, rows: Any = slice(None), dtype: Any = np.float64) -> NDArray[Any]:
        """Return the records of these rows, shape (number of rows, d); a new array."""
        return np.asarray(self.table[rows].toarray(), dtype=dtype)


Labelled = Images | Records


def labelled(data: str, path: str = "") -> tuple[Labelled, Labelled]:
    """Return training and test samples; the same object twice where there is no test set.

    Parameters
    ----------
    data : str
        "digits", the name of a data set (see `mpidbo data list`), a folder with IDX files or one of
        them, or a LIBSVM file.
    path : str, optional
        The files of a named data set, if they are not where `mpidbo data fetch` puts them: their
        folder, or the first LIBSVM file.

    Raises
    ------
    UserError
        Data that are missing, are damaged, or need a package that is not installed.
    """
    try:
        return _labelled(data, path)
    except OSError as error:  # a name too long for any file, a folder that may not be searched
        key = "path" if path else "data"
        raise UserError(
            f"problem.{key}: {path or data} cannot be read "
            f"({error.strerror}); give the path of a LIBSVM file, or of a folder with IDX files"
        ) from None


def _labelled(data: str, path: str) -> tuple[Labelled, Labelled]:
    if data == "digits":
        return digits(), digits()
    if data not in sets.datasets():
        where = Path(path or data)
        return libsvm(where) if where.is_file() and not idx.is_idx(where) else mnist(where)
    known, where = sets.datasets()[data], Path(path) if path else sets.located(data)
    if known.format == "idx":
        return mnist(where)
    first = where if where.is_file() else sets.present(where / known.files[0].name)
    if first is None:
        raise UserError(
            f"problem.path: {where} is neither the file {known.files[0].name} nor a folder that "
            f"holds it; leave it out after mpidbo data fetch {data}"
        )
    return libsvm(first, *(file.samples for file in known.files))


@lru_cache(maxsize=2)
def libsvm(first: Path, *samples: int) -> tuple[Records, Records]:
    """Return training and test records of a LIBSVM file.

    The test set is the file of the same name with .t behind it, if there is one.

    Parameters
    ----------
    first : Path
        The file of the training records.
    samples : int
        The numbers of records that the files must hold; 0 or none: any.

    Raises
    ------
    UserError
        A file that is missing, damaged, truncated, or without classes.
    """
    plain = first.with_suffix("") if first.suffix in ENDINGS else first
    test = sets.present(plain.with_name(f"{plain.name}.t"))
    read = read_libsvm([path for path in (first, test) if path])
    width = max(table.shape[1] for table, _ in read)
    classes = np.unique(read[0][1])
    if not 2 <= len(classes) <= 1000:
        raise UserError(
            f"{first}: {len(classes)} different label(s) of {len(read[0][1])} samples are not "
            "classes; take a set for classification"
        )
    made = []
    for path, (table, labels), expected in zip((first, test), read, (*samples, 0, 0), strict=False):
        if expected and len(labels) != expected:
            raise UserError(
                f"{path}: holds {len(labels)} samples instead of {expected}; it is truncated or "
                "another file, fetch it again"
            )
        if not np.isin(labels, classes).all():
            raise UserError(
                f"{path}: has labels that {first.name} lacks; are the two of one data set?"
            )
        table.resize(len(labels), width)
        found = np.searchsorted(classes, labels)
        found.setflags(write=False)
        made.append(Records(table, found))
    return made[0], made[-1]


@lru_cache(maxsize=1)
def digits() -> Images:
    """Return the 1797 images of 8x8 pixels of scikit-learn (Alpaydin and Kaynak 1998).

    UserError without it.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(
            'data "digits" comes with scikit-learn, which is missing: pip install mpidbo[data]'
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    return _images(pixels.astype(np.uint8), labels, white=16)


@lru_cache(maxsize=2)
def mnist(folder: str | Path) -> tuple[Images, Images]:
    """Return training and test images from the four IDX files of MNIST's names, packed or not.

    Fashion-MNIST, EMNIST and others that come in four such files are read too.

    Parameters
    ----------
    folder : path-like
        The folder of the files, or one of them.

    Raises
    ------
    UserError
        A folder or file that is missing or damaged.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(
            f"{folder}: no such folder; data names a folder with the IDX files of MNIST, a LIBSVM "
            f"file, or a data set: {did_you_mean(folder.name, [*sets.BUILT_IN, *sets.datasets()])}"
        )
    files = idx.four(folder)
    train, test = (
        _pair(files[part, "images"], files[part, "labels"]) for part in ("train", "test")
    )
    if train.pixels.shape[1] != test.pixels.shape[1]:
        raise UserError(
            f"{files['train', 'images']} and {files['test', 'images']}: images of "
            f"{train.pixels.shape[1]} and {test.pixels.shape[1]} pixels; are the two of one data "
            "set?"
        )
    return train, test


def _pair(images: Path, labels: Path) -> Images:
    """Images and labels from their two files. Raises UserError."""
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise UserError(
            f"{images} holds {len(pixels)} images but {labels} {len(classes)} labels; fetch both "
            "again"
        )
    if not pixels.size:
        raise UserError(f"{images}: holds no images; fetch it again")
    return _images(pixels.reshape(len(pixels), -1), classes, white=255)


def _images(pixels: NDArray[np.uint8], labels: NDArray[Any], white: int) -> Images:
    labels = labels.astype(np.int64)
    for array in (pixels, labels):
        array.setflags(write=False)
    return Images(pixels, labels, white)

"""Labelled samples: scikit-learn's bundled digits, the IDX files of MNIST in a folder, LIBSVM files; nothing is downloaded here."""

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


@dataclass(frozen=True, eq=False)
class Records:
    """Labelled records of a sparse table.

    table : (B, d) CSR.
    labels : (B,) classes 0, 1, ..., read-only; the labels of the file in ascending order.
    """

    table: Any
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, rows: Any = slice(None), dtype: Any = np.float64) -> NDArray[Any]:
        """The records of these rows, shape (number of rows, d); a new array."""
        return np.asarray(self.table[rows].toarray(), dtype=dtype)


Labelled = Images | Records


def labelled(data: str, path: str = "") -> tuple[Labelled, Labelled]:
    """(training samples, test samples) of `data`; one and the same object where there is no test set.

    data : "digits", the name of a data set (see `mpidbo data list`), a folder with IDX files or one of them, or a LIBSVM file.
    path : where the files of a named data set lie, if not where `mpidbo data fetch` puts them: their folder, or the first LIBSVM file.
    UserError: data that are not there, are damaged, or need a package that is missing.
    """
    try:
        return _labelled(data, path)
    except OSError as error:                    # a name too long for any file, a folder that may not be searched
        raise UserError(f"problem.{'path' if path else 'data'}: {path or data} cannot be read ({error.strerror}); "
                        "give the path of a LIBSVM file, or of a folder with IDX files") from None


def _labelled(data: str, path: str) -> tuple[Labelled, Labelled]:
    if data == "digits":
        return digits(), digits()
    if data not in sets.registry():
        where = Path(path or data)
        return libsvm(where) if where.is_file() and not idx.is_idx(where) else mnist(where)
    known, where = sets.registry()[data], Path(path) if path else sets.located(data)
    if known.format == "idx":
        return mnist(where)
    first = where if where.is_file() else sets.present(where / known.files[0].name)
    if first is None:
        raise UserError(f"problem.path: {where} is neither the file {known.files[0].name} nor a folder that holds it; "
                        f"leave it out after mpidbo data fetch {data}")
    return libsvm(first, *(file.samples for file in known.files))


@lru_cache(maxsize=2)
def libsvm(first: Path, *samples: int) -> tuple[Records, Records]:
    """(training records, test records) of a LIBSVM file; the test set is the file of the same name with .t behind it, if it is there.

    samples : how many each must hold. UserError: a file that is missing, damaged, truncated, or without classes.
    """
    plain = first.with_suffix("") if first.suffix in ENDINGS else first
    test = sets.present(plain.with_name(f"{plain.name}.t"))
    read = read_libsvm([path for path in (first, test) if path])
    width = max(table.shape[1] for table, _ in read)
    classes = np.unique(read[0][1])
    if not 2 <= len(classes) <= 1000:
        raise UserError(f"{first}: {len(classes)} different label(s) of {len(read[0][1])} samples are no classes; take a set for "
                        "classification")
    made = []
    for path, (table, labels), expected in zip((first, test), read, (*samples, 0, 0), strict=False):
        if expected and len(labels) != expected:
            raise UserError(f"{path}: holds {len(labels)} samples instead of {expected}; it is truncated or another file, fetch it again")
        if not np.isin(labels, classes).all():
            raise UserError(f"{path}: has labels that {first.name} lacks; are the two of one data set?")
        table.resize(len(labels), width)
        found = np.searchsorted(classes, labels)
        found.setflags(write=False)
        made.append(Records(table, found))
    return made[0], made[-1]


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
    """(training images, test images) from the four IDX files of MNIST's names in `folder`, packed or not; or from one of them.

    Fashion-MNIST, EMNIST and others that come in four such files are read too. UserError: a folder or file that is
    missing or damaged.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"{folder}: no such folder; data names a folder with the IDX files of MNIST, a LIBSVM file, or a data set: "
                        f"{did_you_mean(folder.name, [*sets.BUILT_IN, *sets.registry()])}")
    files = idx.four(folder)
    train, test = (_pair(files[part, "images"], files[part, "labels"]) for part in ("train", "test"))
    if train.pixels.shape[1] != test.pixels.shape[1]:
        raise UserError(f"{files['train', 'images']} and {files['test', 'images']}: images of {train.pixels.shape[1]} and "
                        f"{test.pixels.shape[1]} pixels; are the two of one data set?")
    return train, test


def _pair(images: Path, labels: Path) -> Images:
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise UserError(f"{images} holds {len(pixels)} images but {labels} {len(classes)} labels; fetch both again")
    if not pixels.size:
        raise UserError(f"{images}: holds no images; fetch it again")
    return _images(pixels.reshape(len(pixels), -1), classes, white=255)


def _images(pixels: NDArray[np.uint8], labels: NDArray[Any], white: int) -> Images:
    labels = labels.astype(np.int64)
    for array in (pixels, labels):
        array.setflags(write=False)
    return Images(pixels, labels, white)

"""Matrix Market files, read line by line.

The reader of scipy 1.17 crashes the process on some damaged files.
"""

import re
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from .. import _contents as contents

FIELDS = {"real": 1, "double": 1, "integer": 1, "unsigned-integer": 1, "pattern": 0}
"""Type of the entries -> numbers of an entry after its place."""
MAX_SHOWN = 40
"""Characters of a word of the header that a message repeats."""

Lines: TypeAlias = list[tuple[int, str]]
"""(number, line) of the lines of a file."""
Entries: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Rows, columns and values."""


class Header(NamedTuple):
    """The first line of a file."""

    is_sparse: bool
    field: str
    is_symmetric: bool


def read(text: str) -> tuple[coo_array, bool]:
    """Read a matrix.

    Returns
    -------
    matrix : coo_array
    is_pattern : bool
        Whether the file has places without values, which then are 1.

    Raises
    ------
    ValueError
        With the number of the line.
    """
    header = _header(text.partition("\n")[0])
    # Of an empty file the second line counts as empty, which is then refused as a size.
    (number, size), *lines = [*contents.lines(text, "%")] or [(2, "")]
    sizes = size.split()
    if len(sizes) != (3 if header.is_sparse else 2) or not all(map(_is_integer, sizes)):
        raise ValueError(f"line {number}: {contents.excerpt(size)} is not the size of the matrix")
    rows, columns = int(sizes[0]), int(sizes[1])
    if header.is_symmetric and rows != columns:
        raise ValueError(f"line {number}: a symmetric matrix of {rows} rows and {columns} columns")
    if header.is_sparse:
        announced = int(sizes[2])
    elif header.is_symmetric:
        announced = rows * (rows + 1) // 2
    else:
        announced = rows * columns
    if len(lines) != announced:
        raise ValueError(f"it has {len(lines)} entries where its size announces {announced}")
    if header.is_sparse:
        i, j, values = _sparse_entries(lines, rows, columns, FIELDS[header.field])
    else:
        i, j, values = _dense_entries(lines, rows, columns, header.is_symmetric)
    if header.is_symmetric:
        off = i != j
        i, j = np.concatenate([i, j[off]]), np.concatenate([j, i[off]])
        values = np.concatenate([values, values[off]])
    if len(np.unique(i * columns + j)) < len(i):  # the number of an entry, row by row
        raise ValueError("it has an entry twice")
    return coo_array((values, (i, j)), shape=(rows, columns)), header.field == "pattern"


def _header(line: str) -> Header:
    words = line.lower().split()
    is_known = (
        len(words) == 5
        and words[:2] == ["%%matrixmarket", "matrix"]
        and words[2] in ("coordinate", "array")
    )
    if not is_known:
        raise ValueError(
            "line 1 is not %%MatrixMarket matrix coordinate|array real general|symmetric"
        )
    form, field, symmetry = words[2:]
    is_dense_pattern = form == "array" and field == "pattern"
    if field not in FIELDS or symmetry not in ("general", "symmetric") or is_dense_pattern:
        raise ValueError(
            f"line 1: it holds a {symmetry[:MAX_SHOWN]} matrix, {field[:MAX_SHOWN]}; W is real, "
            "and general or symmetric"
        )
    return Header(form == "coordinate", field, symmetry == "symmetric")


def _dense_entries(lines: Lines, rows: int, columns: int, is_symmetric: bool) -> Entries:
    """Return the entries of a file that has all values, or the lower triangle's, by columns."""
    values = np.array([number_of(line, number) for number, line in lines])
    if is_symmetric:
        # The upper triangle by rows is the lower one by columns.
        j, i = np.triu_indices(rows)
    else:
        j, i = np.divmod(np.arange(rows * columns), max(1, rows))
    return i, j, values


def _sparse_entries(lines: Lines, rows: int, columns: int, numbers: int) -> Entries:
    """Return the entries of a file that has places, counted from 1, and `numbers` values each."""
    places, values = np.zeros((len(lines), 2), np.int64), np.ones(len(lines))
    for k, (number, line) in enumerate(lines):
        words = line.split()
        if len(words) != 2 + numbers or not _is_place(words[:2], rows, columns):
            raise ValueError(
                f"line {number}: {contents.excerpt(line)} is not an entry of a matrix of {rows} "
                f"rows and {columns} columns"
            )
        places[k] = int(words[0]) - 1, int(words[1]) - 1
        if numbers:
            values[k] = number_of(words[2], number)
    return places[:, 0], places[:, 1], values


def _is_place(words: list[str], rows: int, columns: int) -> bool:
    if not all(map(_is_integer, words)):
        return False
    return 1 <= int(words[0]) <= rows and 1 <= int(words[1]) <= columns


def number_of(word: str, line: int) -> float:
    """Return the number in a word of a file. Raises ValueError, with the number of the line."""
    try:
        return float(word.replace("_", "?"))  # float takes 1_0 for 10
    except ValueError:
        raise ValueError(f"line {line}: {contents.excerpt(word)} is not a number") from None


def _is_integer(word: str) -> bool:
    # Nine digits: the product of two such numbers fits into 64 bits.
    return re.fullmatch(r"\d{1,9}", word, re.ASCII) is not None

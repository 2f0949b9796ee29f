"""Matrix Market files, read by line: the reader of scipy 1.17 crashes the process on some that are damaged."""

import re

import numpy as np
from scipy.sparse import coo_array

from .. import _contents as contents

FIELDS = {"real": 1, "double": 1, "integer": 1, "unsigned-integer": 1, "pattern": 0}
"""What entries are, and how many numbers an entry has besides its place."""
Lines = list[tuple[int, str]]


def read(text: str) -> tuple[coo_array, bool]:
    """(the matrix, whether the file has a pattern alone, whose entries are then 1). ValueError, with the line."""
    words = text.partition("\n")[0].lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"] or words[2] not in ("coordinate", "array"):
        raise ValueError("line 1 is not %%MatrixMarket matrix coordinate|array real general|symmetric")
    _, _, form, field, symmetry = words
    if field not in FIELDS or symmetry not in ("general", "symmetric") or (form == "array" and field == "pattern"):
        raise ValueError(f"line 1: it holds a {symmetry[:40]} matrix, {field[:40]}; W is real, and general or symmetric")
    (number, size), *entries = [*contents.lines(text, "%")] or [(2, "")]
    sizes = size.split()
    if len(sizes) != (3 if form == "coordinate" else 2) or not all(map(_is_whole, sizes)):
        raise ValueError(f"line {number}: {contents.excerpt(size)} is not the size of the matrix")
    rows, columns, *_ = map(int, sizes)
    symmetric = symmetry == "symmetric"
    if symmetric and rows != columns:
        raise ValueError(f"line {number}: a symmetric matrix of {rows} rows and {columns} columns")
    triangle = rows * (rows + 1) // 2 if symmetric else rows * columns
    announced = int(sizes[2]) if form == "coordinate" else triangle
    if len(entries) != announced:
        raise ValueError(f"it has {len(entries)} entries where its size announces {announced}")
    if form == "coordinate":
        i, j, values = _coordinates(entries, rows, columns, FIELDS[field])
    else:
        values = np.array([_number(line, at) for at, line in entries])
        j, i = np.triu_indices(rows) if symmetric else np.divmod(np.arange(rows * columns), max(1, rows))
    if symmetric:
        mirrored = i != j
        i, j = np.concatenate([i, j[mirrored]]), np.concatenate([j, i[mirrored]])
        values = np.concatenate([values, values[mirrored]])
    if len(np.unique(i * columns + j)) < len(i):
        raise ValueError("it has an entry twice")
    return coo_array((values, (i, j)), shape=(rows, columns)), field == "pattern"


def _coordinates(entries: Lines, rows: int, columns: int, numbers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places, values = np.zeros((len(entries), 2), np.int64), np.ones(len(entries))
    for k, (number, line) in enumerate(entries):
        words = line.split()
        inside = len(words) == 2 + numbers and all(map(_is_whole, words[:2]))
        if not inside or not (1 <= int(words[0]) <= rows and 1 <= int(words[1]) <= columns):
            raise ValueError(f"line {number}: {contents.excerpt(line)} is not an entry of a matrix of {rows} rows and {columns} columns")
        places[k] = int(words[0]) - 1, int(words[1]) - 1
        if numbers:
            values[k] = _number(words[2], number)
    return places[:, 0], places[:, 1], values


def _number(word: str, line: int) -> float:
    try:
        return float(word.replace("_", "?"))
    except ValueError:
        raise ValueError(f"line {line}: {contents.excerpt(word)} is not a number") from None


def _is_whole(word: str) -> bool:
    return re.fullmatch(r"\d{1,9}", word, re.ASCII) is not None

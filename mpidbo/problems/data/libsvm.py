"""LIBSVM files: a label and `index:value` pairs on a line, packed or not."""

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _contents as contents
from ...errors import UserError

MAX_INDEX = 2**31 - 2
"""scikit-learn counts columns in 32 bits."""


def read(paths: Sequence[Path]) -> list[tuple[Any, NDArray[np.float64]]]:
    """Return the table (B, d), in CSR format, and the labels (B,) of each file of one data set.

    Columns are counted from 0 in all of them where one has an index 0, else from 1.

    Raises
    ------
    UserError
        A file that cannot be read, values and labels that are not finite numbers, or indices that
        do not ascend; the message has the line.
    """
    try:
        from sklearn.datasets import load_svmlight_files
    except ImportError as error:
        raise UserError(
            f"{paths[0]}: LIBSVM files are read by scikit-learn, which is missing: pip install "
            "'mpidbo[data]'"
        ) from error
    texts = [_text(path) for path in paths]
    try:
        found = load_svmlight_files([BytesIO(text.encode()) for text in texts], zero_based=True)
    except (ValueError, OverflowError) as error:
        _refuse(paths, texts)
        raise UserError(
            f"{paths[0]}: cannot be read as a LIBSVM file, lines of `label index:value index:value "
            f"...` ({contents.why(error)})"
        ) from error
    tables, labels = found[::2], found[1::2]
    parts = (*labels, *(table.data for table in tables))
    is_finite = all(np.isfinite(part).all() for part in parts)
    if not is_finite or any("_" in text for text in texts):  # scikit-learn reads 1_0 as 10
        _refuse(paths, texts)
    if min((table.indices.min() for table in tables if table.nnz), default=0) > 0:
        tables = [_counted_from_zero(table) for table in tables]
    return list(zip(tables, labels, strict=True))


def _counted_from_zero(table: Any) -> Any:
    """The table of a file whose columns are counted from 1."""
    rows, columns = table.shape
    return type(table)((table.data, table.indices - 1, table.indptr), shape=(rows, columns - 1))


def _text(path: Path) -> str:
    """The content of a file. Raises UserError."""
    try:
        return contents.read(path)
    except contents.DAMAGE as error:
        raise UserError(
            f"{path}: cannot be read as a LIBSVM file ({contents.why(error)}); it may be "
            "truncated, fetch it again"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path}: cannot be read as a LIBSVM file ({error}); give lines of `label index:value "
            "index:value ...`"
        ) from error


def _refuse(paths: Sequence[Path], texts: Sequence[str]) -> None:
    """Raise UserError for the first line that is not one of a LIBSVM file, if there is one."""
    for path, text in zip(paths, texts, strict=True):
        for number, line in contents.lines(text):
            fault = next(_faults(line.split()), "")
            if not fault:
                continue
            if not text.endswith("\n") and number == text.count("\n") + 1:
                fault += (
                    "; it is the last one and has no end: the file may be truncated, fetch it again"
                )
            raise UserError(f"{path}: cannot be read as a LIBSVM file, line {number}: {fault}")


def _faults(words: list[str]) -> Iterator[str]:
    """Yield what is wrong with a line, and the remedy."""
    label, *pairs = words
    if "," in label:
        yield f"{contents.excerpt(label)} are several labels; take a set with one for each sample"
    elif not _is_number(label):
        word = contents.excerpt(label)
        yield f"the label {word} is not a number; number the classes, such as 0, 1, 2"
    elif not isfinite(float(label)):
        yield f"the label is {label}; leave the sample out, or give its class"
    last = -1
    for place, pair in enumerate(pairs):
        index, colon, value = pair.partition(":")
        if place == 0 and index == "qid":
            continue
        if not colon or not re.fullmatch(r"\d{1,18}", index, re.ASCII) or int(index) > MAX_INDEX:
            yield f"{contents.excerpt(pair)} is not index:value"
        elif int(index) <= last:
            yield f"index {index} after {last}; write indices in ascending order, each once"
        elif not _is_number(value):
            yield f"the value of index {index}, {contents.excerpt(value)}, is not a number"
        elif not isfinite(float(value)):
            fault = f"the value of index {index} is {value[:20]}"
            yield f"{fault}; leave the sample out, or fill the value in"
        last = int(index)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text

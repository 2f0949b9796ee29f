"""Topologies in files: W, or a list of edges.

W is in .npy, .npz (of numpy, or a sparse matrix of scipy), .mtx, or in a text file with a row on a
line, and A and B of a directed graph are in one .npz; a list of edges has two agents 0..n-1 on a
line. In text files columns are separated by white space or by commas, and # and % begin a comment.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array, load_npz

from .. import _contents as contents
from .._text import plural
from ..errors import UserError
from . import matrix_market
from .edges import valid_sparse
from .weights import Mixing, as_mixing_matrix, links_of_edges, links_of_pattern, pair

MAX_AGENTS = 10**6
"""Agents that `agents_of` finds at most."""
EDGES = "an edge list, two whole numbers on a line, or W, a row on a line"
FORMS = {
    ".npy": "a real matrix saved by numpy.save",
    ".npz": "a real matrix saved by numpy.savez or scipy.sparse.save_npz, or A and B by savez",
    ".mtx": "a real matrix in Matrix Market format",
}
"""Ending of a file -> its content; other files are text."""


class Line(NamedTuple):
    """A line of a text file."""

    number: int
    text: str
    words: list[str]


def read(file: Path, n: int, *, directed: bool = False) -> coo_array | csr_array | Mixing:
    """Return W, A and B, or the links of a graph, of n agents. Raises UserError (`file: ...`).

    `directed`: the edges of a list lead from the first agent to the second only.
    """
    form = FORMS.get(_ending(file), EDGES)
    try:
        if form == EDGES:
            lines = _lines(contents.read(file))
            if _are_rows_of_W(lines, n):
                return _matrix_of_lines(lines, n)
            return _links_of_lines(lines, n, file, directed)
        if file.suffix == ".npz" and {"A", "B"} <= contents.arrays(file).keys():
            return _pair(file, n)
        found, is_pattern = _array(file)
    except contents.FAULTS as error:
        raise UserError(
            f"file: {file} cannot be read ({contents.why(error)}); give {form}"
        ) from None
    if is_pattern:
        return links_of_pattern(found, n, f"file: {file}", directed=directed)
    return as_mixing_matrix(found, n, f"file: {file}")


def _pair(file: Path, n: int) -> Mixing:
    """Return A and B of a file of numpy.savez(file, A=A, B=B)."""
    found = contents.arrays(file)
    A, B = (as_mixing_matrix(found[name], n, f"file: {name} of {file}") for name in "AB")
    return pair(A, B, f"file: {file}")


def agents_of(file: Path) -> int:
    """Return for how many agents a file is, at most 10^6; 1 where `read` would raise."""
    try:
        return min(MAX_AGENTS, max(1, _agents_of(file)))
    except (*contents.FAULTS, IndexError):
        return 1


def _agents_of(file: Path) -> int:
    if _ending(file) in FORMS:
        found = contents.arrays(file) if file.suffix == ".npz" else {}
        return int((found["A"] if "A" in found else _array(file)[0]).shape[0])
    lines = _lines(contents.read(file))
    if lines and _are_rows_of_W(lines, len(lines)):
        return len(lines)
    agents = (int(word) for line in lines for word in line.words if _is_integer(word))
    return 1 + max(agents, default=0)


def _ending(file: Path) -> str:
    """Return the ending of a file's name; that of a compressed .mtx file is .mtx."""
    if file.suffix in contents.ENDINGS[1:]:  # the first is that of an unpacked file, ""
        inner = file.with_suffix("").suffix
        if inner == ".mtx":
            return inner
    return file.suffix


def _array(file: Path) -> tuple[Any, bool]:
    """Return the matrix in a file, and whether it is a pattern of ones. Raises one of FAULTS."""
    if _ending(file) == ".mtx":
        return matrix_market.read(contents.read(file))
    found = contents.arrays(file)
    # scipy.sparse.save_npz writes a key "format", numpy.savez does not.
    if file.suffix != ".npz" or "format" not in found:
        return contents.array(file), False
    try:
        return valid_sparse(load_npz(file)), False
    except contents.FAULTS:
        raise
    except Exception as error:  # scipy raises many types for arrays that do not fit together
        raise ValueError(f"it is damaged: {error}") from None


def _lines(text: str) -> list[Line]:
    found = []
    for number, line in contents.lines(text, "#%"):
        pair, _, data = line.partition("{")  # networkx writes {} behind an edge without data
        if data not in ("", "}"):
            raise ValueError(
                f"line {number}: {contents.excerpt(line)} has weights or other data, which an edge "
                "list cannot give; save W itself as a .npy file"
            )
        words = pair.split(",") if "," in pair else pair.split()
        found.append(Line(number, line, [word.strip() for word in words]))
    return found


def _are_rows_of_W(lines: list[Line], n: int) -> bool:
    """Whether lines are rows of W: the first has n numbers, and for n = 2 not two integers."""
    words = lines[0].words if lines else []
    return len(words) == n and (n != 2 or not all(map(_is_integer, words)))


def _is_integer(word: str) -> bool:
    # Of 64 bits, and ASCII: int reads the digits of other scripts too.
    return re.fullmatch(r"-?\d{1,18}", word, re.ASCII) is not None


def _matrix_of_lines(lines: list[Line], n: int) -> csr_array:
    if len(lines) != n:
        raise ValueError(f"it has {len(lines)} rows where W of {n} agents has {n}")
    return as_mixing_matrix(np.array([_numbers(line, n) for line in lines]), n, "file: W")


def _numbers(line: Line, n: int) -> list[float]:
    if len(line.words) != n:
        raise ValueError(
            f"line {line.number}: {contents.excerpt(line.text)} has {len(line.words)} columns "
            f"where W of {n} agents has {n}"
        )
    return [matrix_market.number_of(word, line.number) for word in line.words]


def _links_of_lines(lines: list[Line], n: int, file: Path, directed: bool) -> coo_array:
    ends = np.array([_edge(line, n) for line in lines], np.int64).reshape(-1, 2)
    remedy = f"use each of 0..{n - 1}, or set run.agents"
    outside = (ends < 0) | (ends >= n)
    if outside.any():
        first = int(outside.any(axis=1).argmax())
        agent = ends[first][outside[first]][0]
        hint = "count from 0, and " if ends.min() == 1 and ends.max() == n else ""
        raise UserError(
            f"file: agent {agent} occurs in {file}, line {lines[first].number}; {hint}{remedy}"
        )
    missing = set(range(n)) - set(ends.flat)
    if missing:
        raise UserError(f"file: agent {min(missing)} does not occur in {file}; {remedy}")
    return links_of_edges(ends, n, directed=directed)


def _edge(line: Line, n: int) -> tuple[int, int]:
    where = f"line {line.number}: {contents.excerpt(line.text)}"
    if len(line.words) != 2:
        columns = plural(len(line.words), "column")
        raise ValueError(f"{where} has {columns}, an edge two and a row of W {n}")
    if not all(map(_is_integer, line.words)):
        raise ValueError(f"{where} is not two agents")
    return int(line.words[0]), int(line.words[1])

"""A graph, or W itself, from a file or from an object of another program.

Files: W in .npy or .npz (of numpy, or a sparse one of scipy), in .mtx, or as text, a row on a line; else an edge list, two agents 0..n-1
on a line. In text columns are separated by white space or by commas, # and % begin a comment. Objects: a matrix of numpy or scipy, nested
lists, or a graph of networkx; they become `edges` of the table `[topology]`, pairs of agents or entries (i, j, w_ij) of W.
"""

import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, issparse, load_npz

from .. import _contents as contents
from ..errors import UserError
from . import matrix_market
from .graphs import matrix
from .table import Edges

Drawn: TypeAlias = coo_array | csr_array
"""The links of a graph, one for each direction, or W."""
Rows: TypeAlias = list[tuple[int, str, list[str]]]
"""(number, line, columns) of each line of a text."""
MOST = 100_000
"""Edges or entries of W that a config.toml may hold."""
LARGEST = 10**6
"""Agents of a file that nobody has counted."""
EDGES = "an edge list, two whole numbers on a line, or W, a row on a line"
FORMS = {".npy": "a real matrix saved by numpy.save", ".npz": "a real matrix saved by numpy.savez or scipy.sparse.save_npz",
         ".mtx": "a real matrix in Matrix Market format"}


def read(file: Path, n: int) -> Drawn:
    """W or the links of n agents. UserError, which begins with `file:`."""
    form = FORMS.get(_kind(file), EDGES)
    try:
        if form == EDGES:
            rows = _rows(contents.read(file))
            return _table(rows, n) if _is_table(rows, n) else _links(rows, n, file)
        found, is_graph = _array(file)
    except contents.FAULTS as error:
        raise UserError(f"file: {file} cannot be read ({contents.why(error)}); give {form}") from None
    if is_graph:
        return _symmetric(found, n, f"file: {file}")
    return _matrix(found, n, f"file: {file}")


def agents_of(file: Path) -> int:
    """How many agents a file is for; 1 where that cannot be seen, and at most LARGEST: `read` says what is wrong with it."""
    try:
        return min(LARGEST, max(1, _agents_of(file)))
    except (*contents.FAULTS, IndexError):
        return 1


def _agents_of(file: Path) -> int:
    if _kind(file) in FORMS:
        return int(_array(file)[0].shape[0])
    rows = _rows(contents.read(file))
    if rows and _is_table(rows, len(rows)):
        return len(rows)
    return 1 + max((int(word) for *_, words in rows for word in words if _whole(word)), default=0)


def linked(edges: Sequence[Sequence[Any]], n: int) -> Drawn:
    """W or the links that the key `edges` gives. UserError, which begins with it."""
    ends = np.array([(i, j) for i, j, *_ in edges], np.int64).reshape(-1, 2)
    if ends.max(initial=0) >= n:
        raise UserError(f"edges: agent {ends.max()} occurs; use each of 0..{n - 1}, or set run.agents")
    if n > 1 and (lacking := set(range(n)) - set(ends.flat)):
        raise UserError(f"edges: agent {min(lacking)} does not occur; use each of 0..{n - 1}, or set run.agents")
    if edges and len(edges[0]) == 3:
        entries = np.array([edge[2] for edge in edges], np.float64)
        if len(np.unique(ends @ (n, 1))) < len(ends):
            raise UserError("edges: an entry of W is given twice; give each once")
        return _matrix(coo_array((entries, tuple(ends.T)), shape=(n, n)), n, "edges: this W")
    return _undirected(ends, n)


def tabled(topology: Any, *, kept: bool = False) -> dict[str, Any]:
    """`[topology]` from what `solve` is given: a name, a path, a table, a graph or a matrix, or a table that holds one.

    kept : whether a config.toml will hold it. UserError: an object that is no graph and no W, or too large a one to be kept.
    """
    if isinstance(topology, Mapping):
        found = dict(topology)
        for side in ("upper", "lower"):
            if isinstance(part := found.get(side), Mapping) or _is_object(part):
                found[side] = tabled(part, kept=kept)
        if source := next((key for key in ("name", "edges") if _is_object(found.get(key))), None):
            found |= _given(found.pop(source), kept)
        return found
    if isinstance(topology, Path):
        return {"file": str(topology)}
    return _given(topology, kept) if _is_object(topology) or isinstance(topology, list | tuple) else {"name": topology}


def _given(value: Any, kept: bool) -> dict[str, Any]:
    edges = Edges(edges_of(value))
    if kept and len(edges) > MOST:
        raise UserError(f"topology: {len(edges)} entries are too many for the run's config.toml; save W, scipy.sparse.save_npz(\"W.npz\", "
                        'scipy.sparse.csr_array(W)), and give topology={"file": "W.npz"}')
    return {"edges": edges}


def edges_of(given: Any) -> list[list[Any]]:
    """The key `edges` for a graph of networkx, a matrix or nested lists. Raises UserError."""
    if _is_graph(given):
        return _edges_of_graph(given)
    if isinstance(given, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 and all(
            isinstance(end, Integral) and not isinstance(end, bool) for end in pair) for pair in given):
        return [[int(end) for end in pair] for pair in given]
    try:
        found = _valid(given) if issparse(given) else np.asarray(given)
    except Exception as error:
        raise UserError(f"topology: a {type(given).__name__} that numpy cannot read as a matrix ({contents.why(error)}); give W, shape "
                        "(n, n), of numpy") from None
    W = _matrix(found, found.shape[0] if found.ndim else 0, "topology: this W").tocoo()
    return [list(entry) for entry in zip(W.row.tolist(), W.col.tolist(), W.data.tolist(), strict=True)]


def _is_object(value: Any) -> bool:
    return not isinstance(value, str) and (_is_graph(value) or issparse(value) or hasattr(value, "__array__"))


def _is_graph(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("nodes", "edges", "is_directed"))


def _edges_of_graph(graph: Any) -> list[list[Any]]:
    nodes = list(graph.nodes)
    whole = all(isinstance(node, int | np.integer) for node in nodes)
    if whole and set(nodes) != set(range(len(nodes))):
        raise UserError(f"topology: the graph's {len(nodes)} nodes are not 0..{len(nodes) - 1}; number them by "
                        'networkx.convert_node_labels_to_integers(graph, ordering="sorted")')
    agent = {node: int(node) if whole else at for at, node in enumerate(nodes)}
    if any(data.get("weight", 1) != 1 for *_, data in graph.edges(data=True)):
        raise UserError("topology: the graph's edges have weights; give W itself as a matrix, or leave the weights out for those that "
                        "[topology] weights names")
    edges = {(agent[a], agent[b]) for a, b, *_ in graph.edges}
    if graph.is_directed() and (alone := {(a, b) for a, b in edges if (b, a) not in edges}):
        raise UserError(f"topology: the graph is directed, and {min(alone)} has no edge back; give W itself as a matrix, w_ij > 0 where i "
                        "receives from j, or graph.to_undirected()")
    edges |= {(agent[node], agent[node]) for node in nodes if not graph.adj[node]}      # that there is such an agent
    return [list(edge) for edge in sorted({(min(edge), max(edge)) for edge in edges})]


# Arrays.


def _kind(file: Path) -> str:
    packed = file.suffix in contents.ENDINGS[1:]
    return file.with_suffix("").suffix if packed and file.with_suffix("").suffix == ".mtx" else file.suffix


def _array(file: Path) -> tuple[Any, bool]:
    """(the matrix in a file, dense or sparse, whether it is a pattern alone and so a graph). Raises one of FAULTS."""
    if _kind(file) == ".mtx":
        return matrix_market.read(contents.read(file))
    found = contents.arrays(file)
    if file.suffix == ".npz" and "format" in found:
        try:
            return _valid(load_npz(file)), False
        except contents.FAULTS:
            raise
        except Exception as error:
            raise ValueError(f"it is damaged: {error}") from None
    return contents.array(file), False


def _valid(matrix: Any) -> Any:
    """A sparse matrix whose indices lie within its shape. ValueError: they do not."""
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)
    return matrix


def _matrix(found: Any, n: int, what: str) -> csr_array:
    """W from a dense or sparse matrix of numbers; the checks that need its type."""
    if found.shape != (n, n) or found.dtype.kind not in "biuf":
        raise UserError(f"{what} holds a {found.dtype} array of shape {found.shape}; give real numbers of shape ({n}, {n}), or set "
                        "run.agents")
    W = csr_array(found.astype(np.float64) if issparse(found) else np.asarray(found, np.float64))
    W.sum_duplicates()
    W.eliminate_zeros()
    worst = max((abs(W.sum(axis=axis) - 1).max(initial=0) for axis in (0, 1)), default=0)
    if worst > 1e-10 and W.nnz and np.isin(W.data, (0, 1)).all():
        raise UserError(f"{what} holds 0 and 1 alone, as an adjacency matrix; give W, whose rows and columns sum to one, or the "
                        "edges, of which W is made: an edge list, or in Python networkx.from_numpy_array(A)")
    if found.dtype.kind == "f" and found.dtype.itemsize < 8 and 1e-10 < worst < 1e-2:
        raise UserError(f"{what} is {found.dtype}, whose rounding leaves sums of rows or columns {worst:.1e} from one; make it float64 "
                        "before its weights are computed, or divide by the sums in float64")
    entries = W.tocoo()
    others = entries.row != entries.col
    links = coo_array((entries.data[others], (entries.row[others], entries.col[others])), shape=W.shape)
    return matrix(links, links.data, W.diagonal())


# Text.


def _rows(text: str) -> Rows:
    found = []
    for number, line in contents.lines(text, "#%"):
        pairs, _, data = line.partition("{")                # as networkx writes an edge
        if data not in ("", "}"):
            raise ValueError(f"line {number}: {contents.excerpt(line)} has weights or other data, which an edge list cannot give; save W "
                             "itself as a .npy file")
        words = pairs.split(",") if "," in pairs else pairs.split()
        found.append((number, line, [word.strip() for word in words]))
    return found


def _is_table(rows: Rows, n: int) -> bool:
    """Whether lines are rows of W: by the first; where both have two columns, a fraction tells."""
    words = rows[0][2] if rows else []
    return len(words) == n and (n != 2 or not all(map(_whole, words)))


def _whole(word: str) -> bool:
    return re.fullmatch(r"-?\d{1,18}", word, re.ASCII) is not None


def _table(rows: Rows, n: int) -> csr_array:
    if len(rows) != n:
        raise ValueError(f"it has {len(rows)} rows where W of {n} agents has {n}")
    return _matrix(np.array([_numbers(*row, n) for row in rows]), n, "file: W")


def _numbers(number: int, line: str, words: list[str], n: int) -> list[float]:
    if len(words) != n:
        raise ValueError(f"line {number}: {contents.excerpt(line)} has {len(words)} columns where W of {n} agents has {n}")
    found = []
    for word in words:
        try:
            found.append(float(word.replace("_", "?")))
        except ValueError:
            raise ValueError(f"line {number}: {contents.excerpt(word)} is not a number") from None
    return found


def _links(rows: Rows, n: int, file: Path) -> coo_array:
    ends = np.zeros((len(rows), 2), np.int64)
    for at, (number, line, words) in enumerate(rows):
        if len(words) != 2 or not all(map(_whole, words)):
            columns = f" has {len(words)} column{'s' * (len(words) > 1)}, an edge two and a row of W {n}" if len(words) != 2 else ""
            raise ValueError(f"line {number}: {contents.excerpt(line)}{columns or ' is not two agents'}")
        ends[at] = words
    odd = (ends < 0) | (ends >= n)
    if odd.any():
        at = int(odd.any(axis=1).argmax())
        hint = "count from 0, and " if ends.min() == 1 and ends.max() == n else ""
        raise UserError(f"file: agent {ends[at][odd[at]][0]} occurs in {file}, line {rows[at][0]}; {hint}use each of 0..{n - 1}, or set "
                        "run.agents")
    if lacking := set(range(n)) - set(ends.flat):
        raise UserError(f"file: agent {min(lacking)} does not occur in {file}; use each of 0..{n - 1}, or set run.agents")
    return _undirected(ends, n)


def _undirected(ends: NDArray[np.int64], n: int) -> coo_array:
    """Links both ways, each once however often it is given; an edge from an agent to itself means nothing."""
    a, b = ends[ends[:, 0] != ends[:, 1]].T
    both = csr_array((np.ones(2 * len(a)), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(n, n))
    both.sum_duplicates()
    both.data[:] = 1
    return both.tocoo()


def _symmetric(pattern: coo_array, n: int, what: str) -> coo_array:
    if pattern.shape != (n, n):
        raise UserError(f"{what} holds a pattern of shape {pattern.shape}; give one of shape ({n}, {n}), or set run.agents")
    links = csr_array(pattern)
    if (links != links.T).nnz:
        raise UserError(f"{what} holds a pattern that is not symmetric; give W itself, w_ij > 0 where i receives from j")
    return _undirected(np.stack([pattern.row, pattern.col], axis=1).astype(np.int64), n)

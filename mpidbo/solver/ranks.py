"""Comparison of the ranks before a run: all of them have to mean the same configuration."""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Set
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._fields import convert
from ..config import RUN_FIELDS, Config, Run
from ..errors import UserError, shown
from ..parallel import allgather, allgather_text, raise_on_all_ranks
from ..storage import flat

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

Tables = Mapping[str, Any]
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
SAME_FILES = "start every rank with the same command line and the same files"
"""What to do where ranks of a command differ."""
MISSING = "not given"
"""What a message says of a key that a rank does not have."""
MAX_SHOWN, MAX_KEYS = 80, 5
"""Characters of a value, and keys, in a message."""
MAX_DEPTH = 6
"""Attributes within attributes that are compared."""
MAX_HASHED_BYTES = 1 << 28
"""Larger arrays are compared in samples."""
SAMPLES, SAMPLE_BYTES = 256, 1 << 20
"""Number and size of the samples of a large array."""


def compare_ranks(
    comm: "Comm | None", call: str, tables: Callable[[], Tables], remedy: str = SAME_FILES
) -> None:
    """Raise UserError on all ranks unless they make the same call with the same values; collective.

    The usual case costs one collective of 32 bytes for each rank. Only where their digests differ
    are the values exchanged.

    Parameters
    ----------
    comm : Comm or None
        The communicator, None for one process.
    call : str
        The command or function that every rank has to call.
    tables : callable
        Returns the values to compare, a mapping of key to value or table.
    remedy : str, optional
        What to do where ranks differ, for the message, which names the keys.
    """
    if comm is None or comm.size == 1:
        return
    mine = {"call": shown(call)}
    for key, value in flat(tables()).items():
        mine[key] = _short(written(value))
    text = json.dumps(mine, sort_keys=True)
    digest = np.frombuffer(sha256(text.encode()).digest(), np.uint8)
    everyone = np.empty((comm.size, len(digest)), np.uint8)
    allgather(comm, digest, everyone)
    if (everyone == digest).all():
        return
    different = _differences([json.loads(other) for other in allgather_text(comm, text)])
    raise_on_all_ranks(UserError(f"{call}: ranks disagree: {different}; {remedy}"))


def _differences(ranks: list[dict[str, str]]) -> str:
    """The first keys in which ranks differ: "run.seed is 0 on rank 0 and 1 on rank 1"."""
    found = []
    for key in dict.fromkeys(key for table in ranks for key in table):
        values = [table.get(key) for table in ranks]
        other = next((rank for rank, value in enumerate(values) if value != values[0]), None)
        if other is not None:
            first, second = values[0] or MISSING, values[other] or MISSING
            found.append(f"{key} is {first} on rank 0 and {second} on rank {other}")
    named = found[:MAX_KEYS]
    if len(found) > MAX_KEYS:
        named.append(f"and {len(found) - MAX_KEYS} more")
    return ", ".join(named)


def _short(text: str) -> str:
    """The text; of a long one its beginning and its digest."""
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[: MAX_SHOWN // 2]}... ({_digest(text.encode())})"


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


def identity(config: Config) -> dict[str, Any]:
    """Return what decides a run, to compare over ranks.

    Parameters
    ----------
    config : Config
        A checked configuration.

    Returns
    -------
    dict
        Its tables, and the digest of the source of its problem.
    """
    return {**config.tables(), "the problem's source": source(config.problem["name"])}


def source(problem: Any) -> str:
    """The digest of a problem's source: of its class, or of the file in `file.py:Class`.

    "" where there is none to read.
    """
    try:
        if isinstance(problem, type):
            return _digest(inspect.getsource(problem).encode())
        file = str(problem).rpartition(":")[0]
        return _digest(Path(file).read_bytes()) if file.endswith(".py") else ""
    except Exception:  # typed into an interpreter, or a file that is refused later
        return ""


def written(value: Any, depth: int = MAX_DEPTH) -> str:
    """Return a value as a string that is the same on every rank where the value is.

    It is described by content or name, never by address.
    """
    within = partial(written, depth=depth - 1)
    if value is None or isinstance(value, (bool, int, float, str)):
        return shown(value)
    if depth == 0:
        return _kind(value)
    if isinstance(value, Mapping):
        return _listed(
            "{}", sorted(f"{within(key)}: {within(item)}" for key, item in value.items())
        )
    if isinstance(value, (list, tuple)):
        return _listed("[]", map(within, value))
    if isinstance(value, Set):
        return _listed("{}", sorted(map(within, value)))
    if hasattr(value, "__qualname__"):  # classes and functions
        return f"{getattr(value, '__module__', '')}:{value.__qualname__}"
    for describe in (_array, _sparse, _graph):
        described = describe(value, within)
        if described is not None:
            return described
    try:
        text = ADDRESS.sub("", repr(value))
    except Exception:
        return _kind(value)
    # An object without a repr of its own is what its attributes are.
    attributes = getattr(value, "__dict__", None)
    if attributes and text.startswith(f"<{_kind(value).replace(':', '.')} object"):
        text += within(attributes)
    return text


def _listed(brackets: str, parts: Iterable[str]) -> str:
    return f"{brackets[0]}{', '.join(parts)}{brackets[1]}"


def _kind(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _array(value: Any, within: Callable[[Any], str]) -> str | None:
    """An array of numpy, torch, jax or pandas by its content; None for anything else."""
    if not hasattr(value, "__array__"):
        return None
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception:  # bfloat16, which numpy lacks
        return None
    state = sha256()
    if array.dtype.hasobject:
        state.update("\0".join(map(within, array.ravel().tolist())).encode())
    else:
        _update(state, array)
    return f"{array.dtype} array {array.shape} {state.hexdigest()[:12]}"


def _update(state: Any, array: np.ndarray) -> None:
    """Update a digest by an array, of a large one by samples at equal distances."""
    entries = array.reshape(-1)
    if array.nbytes <= MAX_HASHED_BYTES:
        state.update(np.ascontiguousarray(entries).view(np.uint8))
        return
    step = max(1, len(entries) // SAMPLES)
    count = min(step, max(1, SAMPLE_BYTES // array.itemsize))
    for first in range(0, len(entries), step):
        state.update(entries[first : first + count].tobytes())


def _sparse(value: Any, within: Callable[[Any], str]) -> str | None:
    """A sparse matrix of scipy by its content; None for anything else."""
    if not hasattr(value, "tocoo"):
        return None
    matrix = value.tocoo()
    return f"sparse {matrix.shape} " + _listed(
        "()", (within(part) for part in (matrix.row, matrix.col, matrix.data))
    )


def _graph(value: Any, within: Callable[[Any], str]) -> str | None:
    """A graph of networkx by its content; None for anything else."""
    if not (hasattr(value, "nodes") and hasattr(value, "edges")):
        return None
    parts = [within(node) for node in value.nodes(data=True)]
    for *ends, attributes in value.edges(data=True):
        named = [*map(within, ends)]
        if not value.is_directed():
            named.sort()  # networkx gives the ends of an edge in either order
        parts.append(f"{named} {within(attributes)}")
    return f"{_kind(value)} {_digest(' '.join(sorted(parts)).encode())}"


def stall_timeout(read: Callable[[], Tables]) -> float:
    """Return the timeout of the stall watch from tables that are not checked yet.

    Parameters
    ----------
    read : callable
        Returns the tables; may raise anything.

    Returns
    -------
    float
        `run.stall_timeout` in seconds; its default where the tables have no valid one.
    """
    try:
        value = read()["run"]["stall_timeout"]
        return float(convert(value, RUN_FIELDS["stall_timeout"].hint, "run.stall_timeout"))
    except Exception:
        return Run.stall_timeout

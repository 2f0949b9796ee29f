"""Ranks are compared before anything else: a run that each of them understands in its own way is nobody's run."""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Set
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..config.validate import MOST, Config, Run
from ..errors import UserError, shown
from ..parallel.agents import texts
from ..parallel.collectives import allgather
from ..storage.files import flat

Tables = Mapping[str, Any]
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
MISSING = "not given"
MAX_SHOWN, MAX_KEYS, MAX_DEPTH = 80, 5, 6
"""Letters of a value in a sentence, keys in a sentence, and attributes within attributes that are compared."""
WHOLE, BLOCKS = 1 << 28, 256
"""Arrays up to so many bytes are compared as a whole, larger ones in so many blocks of 1 MiB."""


def compare(comm: Any, call: str, tables: Callable[[], Tables], remedy: str) -> None:
    """UserError, on all ranks, unless `tables` gives them the same and they make the same `call`.

    One collective of 32 bytes for each rank; where they differ, all tables are exchanged, and the sentence names the keys.
    """
    if comm is None or comm.size == 1:
        return
    mine = {"call": shown(call)} | {key: _short(written(value)) for key, value in flat(tables()).items()}
    said = json.dumps(mine, sort_keys=True)
    digest = np.frombuffer(sha256(said.encode()).digest(), np.uint8)
    everyone = np.empty((comm.size, len(digest)), np.uint8)
    allgather(comm, digest, everyone)
    if (everyone == digest).all():
        return
    error = UserError(f"{call}: ranks disagree: {_differences([json.loads(text) for text in texts(comm, said)])}; {remedy}")
    error.agreed = True
    raise error


def _differences(ranks: list[dict[str, str]]) -> str:
    """"run.seed is 0 on rank 0 and 1 on rank 1", of the first keys."""
    found = []
    for key in dict.fromkeys(key for table in ranks for key in table):
        first = ranks[0].get(key)
        other = next((rank for rank, table in enumerate(ranks) if table.get(key) != first), None)
        if other is not None:
            found.append(f"{key} is {first or MISSING} on rank 0 and {ranks[other].get(key) or MISSING} on rank {other}")
    more = len(found) - MAX_KEYS
    return ", ".join([*found[:MAX_KEYS], *([f"and {more} more"] if more > 0 else [])])


def _short(text: str) -> str:
    """The text, or its beginning and its digest."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN // 2]}... ({_digest(text.encode())})"


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


def identity(config: Config) -> dict[str, Any]:
    """What makes a run: the tables of its configuration, and the source of its problem."""
    return {**config.tables(), "the problem's source": source(config.problem["name"])}


def source(problem: Any) -> str:
    """The digest of the source of a problem: of its class, or of the file in `file.py:Class`; "" where there is none to read."""
    try:
        if isinstance(problem, type):
            return _digest(inspect.getsource(problem).encode())
        file = str(problem).rpartition(":")[0]
        return _digest(Path(file).read_bytes()) if file.endswith(".py") else ""
    except Exception:                                    # typed into an interpreter; a file that is read later, with a sentence
        return ""


def written(value: Any, depth: int = MAX_DEPTH) -> str:
    """A value as text that is the same on every rank where the value is: by content, or else by its name; never by its address."""
    within = partial(written, depth=depth - 1)
    if value is None or isinstance(value, (bool, int, float, str)):
        return shown(value)
    if depth == 0:
        return _kind(value)
    if isinstance(value, Mapping):
        return _listed("{}", sorted(f"{within(key)}: {within(item)}" for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return _listed("[]", map(within, value))
    if isinstance(value, Set):
        return _listed("{}", sorted(map(within, value)))
    if hasattr(value, "__qualname__"):                   # classes and functions
        return f"{getattr(value, '__module__', '')}:{value.__qualname__}"
    for content in (_array, _sparse, _graph):
        if (text := content(value, within)) is not None:
            return text
    try:
        text = ADDRESS.sub("", repr(value))
    except Exception:
        return _kind(value)
    attributes = getattr(value, "__dict__", None)
    if attributes and text.startswith(f"<{_kind(value).replace(':', '.')} object"):
        text += within(attributes)
    return text


def _listed(brackets: str, parts: Iterable[str]) -> str:
    return f"{brackets[0]}{', '.join(parts)}{brackets[1]}"


def _kind(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _array(value: Any, within: Callable[[Any], str]) -> str | None:
    """Of numpy, torch, jax, pandas."""
    if not hasattr(value, "__array__"):
        return None
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception:                                    # bfloat16, which numpy has not
        return None
    state = sha256()
    if array.dtype.hasobject:
        state.update("\0".join(map(within, array.ravel().tolist())).encode())
    else:
        _update(state, array)
    return f"{array.dtype} array {array.shape} {state.hexdigest()[:12]}"


def _update(state: Any, array: np.ndarray) -> None:
    rows = array.reshape(-1)
    if array.nbytes <= WHOLE:
        state.update(np.ascontiguousarray(rows).view(np.uint8))
        return
    step, count = max(1, len(rows) // BLOCKS), max(1, (1 << 20) // array.itemsize)
    for first in range(0, len(rows), step):
        state.update(rows[first:first + min(count, step)].tobytes())


def _sparse(value: Any, within: Callable[[Any], str]) -> str | None:
    """Of scipy."""
    if not hasattr(value, "tocoo"):
        return None
    matrix = value.tocoo()
    return f"sparse {matrix.shape} " + _listed("()", (within(part) for part in (matrix.row, matrix.col, matrix.data)))


def _graph(value: Any, within: Callable[[Any], str]) -> str | None:
    """Of networkx."""
    if not (hasattr(value, "nodes") and hasattr(value, "edges")):
        return None
    parts = [within(node) for node in value.nodes(data=True)]
    for *ends, attributes in value.edges(data=True):
        named = [*map(within, ends)]
        parts.append(f"{named if value.is_directed() else sorted(named)} {within(attributes)}")
    return f"{_kind(value)} {_digest(' '.join(sorted(parts)).encode())}"


def limit(read: Callable[[], Tables]) -> float:
    """run.stall_timeout of tables that nobody has checked yet; the default where they have none that could be right."""
    try:
        value: Any = read()["run"]["stall_timeout"]
    except Exception:
        return Run.stall_timeout
    return float(value) if type(value) in (int, float) and 0 <= value <= MOST["stall_timeout"] else Run.stall_timeout

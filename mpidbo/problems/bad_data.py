"""Mistakes in an agent's data: numbers that are not finite, or differ when they are read again."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .answers import bits_of
from .autodiff.arrays import is_array
from .autodiff.nested import leaves
from .base import ProblemOfSources

if TYPE_CHECKING:
    from .autodiff.batches import Source

MAX_REREAD = 32
"""Samples that are read twice, of a data set that is always used as a whole."""
MAX_DEPTH = 4
"""Levels of nesting to which the attributes of a problem are searched."""


def culprit(problem: Any, sample: Any) -> str:
    """Say where an agent's data, or this sample, has a NaN, no rows or an infinite number.

    "" if nowhere.
    """
    converted = ((label, _numbers(array)) for label, array in _arrays(problem, sample))
    arrays = [(label, values) for label, values in converted if values is not None]
    return (
        _first_entry("NaN", np.isnan, arrays)
        or _without_rows(arrays)
        or _first_entry("an infinite number", np.isinf, arrays)
    )


def _first_entry(what: str, is_bad: Callable[[Any], Any], arrays: list[tuple[str, Any]]) -> str:
    """Describe the first bad entry of the arrays; "" if there is none."""
    for label, values in arrays:
        bad = np.argwhere(is_bad(values))
        if len(bad):
            row = f" in row {bad[0][0]}" if values.ndim else ""
            return f"{label} holds {what}{row}"
    return ""


def _without_rows(arrays: list[tuple[str, Any]]) -> str:
    """Describe the first array without rows; "" if there is none."""
    for label, values in arrays:
        if values.ndim and not len(values):
            return f"{label} has no rows"
    return ""


def changes_when_read(problem: Any, sample: Any) -> str:
    """Name the agent's data that give other numbers when the same samples are read again.

    "" if none do.
    """
    for name, source in _sources(problem):
        indices = sample[name] if isinstance(sample, Mapping) else None
        if source.is_dataset:
            which = np.arange(min(source.size, MAX_REREAD)) if indices is None else indices
            first, second = (list(bits_of(leaves(source.take(which)))) for _ in range(2))
            if first != second:
                return name
    return ""


def read_whole(problem: Any) -> str:
    """Return `changes_when_read` of the data sets that a run reads only once."""
    once = [name for name, source in _sources(problem) if source.is_dataset and not source.batch]
    return changes_when_read(problem, None) if once else ""


def _sources(problem: Any) -> "list[tuple[str, Source]]":
    return list(problem.sources.items()) if isinstance(problem, ProblemOfSources) else []


def _arrays(problem: Any, sample: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of an agent's data, with their names."""
    if isinstance(problem, ProblemOfSources):
        for name, source in _sources(problem):
            samples = source.full_batch if source.is_dataset else source.entry
            found = [leaf for leaf in leaves(samples) if is_array(leaf)]
            for i, array in enumerate(found):
                yield name if len(found) == 1 else f"{name}, array {i},", array
        return
    yield from _named("its sample", sample)
    for key, value in vars(problem).items():
        yield from _named(f"self.{key}", value)


def _named(label: str, value: Any, depth: int = MAX_DEPTH) -> Iterator[tuple[str, Any]]:
    if is_array(value):
        yield label, value
    elif isinstance(value, (Mapping, list, tuple)) and depth:
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in items:
            yield from _named(f"{label}[{key!r}]", part, depth - 1)


def _numbers(array: Any) -> Any:
    """An array of numbers of any library, on the host; None if it is not one."""
    try:
        if hasattr(array, "detach"):
            array = array.detach().cpu()
        values = np.asarray(array.get() if hasattr(array, "get") else array)
    except Exception:
        return None
    return values if values.dtype.kind in "fiub" else None

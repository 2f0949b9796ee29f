"""What is wrong with an agent's data: numbers that are not finite, other numbers when read again."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .autodiff.arrays import is_array
from .autodiff.base import Losses
from .autodiff.batches import Source
from .autodiff.nested import leaves
from .checks import bits_of

Array = Any
REREAD = 32
"""So many samples of a data set that is used whole are read twice."""
DEEP = 4
"""How deep lists and dicts among a problem's attributes are searched."""


def culprit(problem: Any, sample: Any) -> str:
    """Where an agent's data, or this sample, holds a NaN, no rows at all or an infinite number, in words; "" if nowhere."""
    arrays = [(label, values) for label, array in _arrays(problem, sample)
              if (values := _numbers(array)) is not None]
    for what, wrong in (("NaN", np.isnan), ("an infinite number", np.isinf)):
        for label, values in arrays:
            bad = np.argwhere(wrong(values))
            if len(bad):
                return f"{label} holds {what}" + (f" in row {bad[0][0]}" if values.ndim else "")
        for label, values in arrays if what == "NaN" else ():
            if values.ndim and not len(values):
                return f"{label} has no rows"
    return ""


def changes_when_read(problem: Any, sample: Any) -> str:
    """Which of an agent's data gives other numbers when the same samples are read again; "" if none is seen to."""
    for name, source in _sources(problem):
        indices = sample[name] if isinstance(sample, Mapping) else None
        if source.is_dataset:
            which = np.arange(min(source.size, REREAD)) if indices is None else indices
            first, second = (list(bits_of(leaves(source.take(which)))) for _ in range(2))
            if first != second:
                return name
    return ""


def read_whole(problem: Any) -> str:
    """`changes_when_read`, of the data sets that a run reads only once: their samples are all in each batch."""
    once = [name for name, source in _sources(problem) if source.is_dataset and not source.batch]
    return changes_when_read(problem, None) if once else ""


def _sources(problem: Any) -> list[tuple[str, Source]]:
    return list(problem.sources.items()) if isinstance(problem, Losses) else []


def _arrays(problem: Any, sample: Any) -> Iterator[tuple[str, Any]]:
    """The arrays of an agent's data, with their names."""
    if isinstance(problem, Losses):
        for name, source in _sources(problem):
            found = [leaf for leaf in leaves(source.whole if source.is_dataset else source.entry) if is_array(leaf)]
            for i, array in enumerate(found):
                yield name if len(found) == 1 else f"{name}, array {i},", array
        return
    yield from _named("its sample", sample)
    for key, value in vars(problem).items():
        yield from _named(f"self.{key}", value)


def _named(label: str, value: Any, depth: int = DEEP) -> Iterator[tuple[str, Any]]:
    if is_array(value):
        yield label, value
    elif isinstance(value, (Mapping, list, tuple)) and depth:
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _named(f"{label}[{key!r}]", part, depth - 1)


def _numbers(array: Any) -> Any:
    """An array of numbers of any library, on the host; None if it is none."""
    try:
        if hasattr(array, "detach"):
            array = array.detach().cpu()
        values = np.asarray(array.get() if hasattr(array, "get") else array)
    except Exception:
        return None
    return values if values.dtype.kind in "fiub" else None

"""Draws of several agents at once."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .._types import Array, Float


class PerDraw:
    """A function of the samples of a draw, evaluated once for the oracles that use it."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._samples: Any = None
        self._made: Any = None

    def __call__(self, samples: Any) -> Any:
        if samples is not self._samples:
            self._samples, self._made = samples, self._make(samples)
        return self._made


class PerPoint:
    """What was computed at the last point, for the oracles that are called at the same one."""

    def __init__(self) -> None:
        self._point: Any = None
        self._made: Any = None

    def __call__(self, point: Array, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, or returned at the same numbers in the last call.

        Numbers are compared, since the caller may have changed them in place.
        """
        if self._point is None or not same_bits(point, self._point):
            self._made, self._point = make(), point.copy()
        return self._made


class Kept:
    """What oracles have computed for a batch, at the last point of each computation.

    Parameters
    ----------
    keeps : bool
        Whether it is kept; else it is only counted, since a copy of the point costs time.
    """

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self._calls: Counter[str] = Counter()
        self._found: dict[str, PerPoint] = defaultdict(PerPoint)

    def __call__(self, what: str, point: Array, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, without a call of it where that is kept for this point."""
        self._calls[what] += 1
        return self._found[what](point, make) if self._keeps else make()

    @property
    def is_shared(self) -> bool:
        """Whether several oracles have asked for the same computation."""
        return max(self._calls.values(), default=0) > 1


class Noisy:
    """Stacked oracles of agents whose draws are normal noise.

    Parameters
    ----------
    agents : list of Stackable
        The agents, with the attribute `noise`, the same of all.
    *shape : int
        Of the noise of one agent.
    """

    def __init__(self, agents: list[Any], *shape: int) -> None:
        one = agents[0]
        self.xp, self.dtype, self.noise = one.xp, one.dtype, one.noise
        self._shape = len(agents), *shape
        self._full_batch = [None] * len(agents)

    def draw(self, rngs: Iterable[np.random.Generator]) -> Any:
        """Return the noise, a row for each agent; None for each without noise."""
        if self.noise == 0:
            return self._full_batch
        return self.xp.asarray(
            self.noise * drawn(rngs, "standard_normal", *self._shape), dtype=self.dtype
        )

    def add_noise(
        self, rows: Float[Array, "m d"], samples: Any, entries: Any
    ) -> Float[Array, "m d"]:
        """Return the rows plus these entries of each agent's sample.

        The rows as they are for the full batch.
        """
        if samples[0] is None:
            return rows
        return rows + as_rows(self.xp, samples)[:, entries]


def drawn(
    rngs: Iterable[np.random.Generator], kind: str, *shape: int
) -> Float[np.ndarray, "*shape"]:
    """Return numbers of a method of the generators, each of which fills a row, (m, ...)."""
    numbers = np.empty(shape)
    # Not strict, which would take one more generator.
    for row, rng in zip(numbers, rngs, strict=False):
        getattr(rng, kind)(out=row)
    return numbers


def same_bits(left: Float[np.ndarray, "..."], right: Float[np.ndarray, "..."]) -> bool:
    """Whether two arrays have the same bits."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    bits = f"i{left.itemsize}"  # as integers, for which NaN equals itself and -0 is not 0
    left, right = left.view(bits), right.view(bits)
    # Most pairs that differ do so in the first row.
    return bool((left[:1] == right[:1]).all() and (left == right).all())


def as_rows(xp: Any, samples: Any) -> Array:
    """Return samples that are arrays as rows of one array, which they may already be."""
    return xp.stack(samples) if isinstance(samples, list) else samples

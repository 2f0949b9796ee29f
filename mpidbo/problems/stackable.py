"""Problems whose oracles and draws are written once, for the rows of several agents."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from .base import Problem


class Stackable(Problem, ABC):
    """An agent whose derivatives and draws are the stacked ones of this agent alone.

    A subclass defines `stack`, and the losses f and g.
    """

    infinite: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def stack(cls, agents: list[Any]) -> Any:
        """Return the stacked oracles of these agents, as `Problem.stacked` does, and `draw`.

        `draw(rngs)` takes an iterable of m generators, each valid until the next is taken, and
        returns a sequence of m samples.
        """

    @classmethod
    def stacked(cls, agents: list[Any]) -> Any:
        return cls.stack(agents)

    @cached_property
    def _alone(self) -> Any:
        """The stacked oracles of this agent.

        Made when first used, so that a subclass may change the data.
        """
        return self.stack([self])

    def draw(self, rng: np.random.Generator) -> Any:
        return self._alone.draw([rng])[0]

    def f_x(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " p"]:
        return self._alone.f_x(x[None], y[None], [sample])[0]

    def f_y(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " q"]:
        return self._alone.f_y(x[None], y[None], [sample])[0]

    def g_x(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " p"]:
        return self._alone.g_x(x[None], y[None], [sample])[0]

    def g_y(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " q"]:
        return self._alone.g_y(x[None], y[None], [sample])[0]

    def g_yy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " q"]:
        return self._alone.g_yy(x[None], y[None], v[None], [sample])[0]

    def g_xy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " p"]:
        return self._alone.g_xy(x[None], y[None], v[None], [sample])[0]


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


def stack(xp: Any, agents: list[Any], name: str) -> Array:
    """Return an attribute of the agents as rows of one array, of which it becomes a view.

    Of a single agent the row is a view of the attribute, which follows changes of it.
    """
    arrays = [getattr(agent, name) for agent in agents]
    if len(arrays) == 1:
        return arrays[0][None]
    rows = xp.stack(arrays)
    for agent, row in zip(agents, rows, strict=True):
        setattr(agent, name, row)
    return rows


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


def as_rows(xp: Any, samples: Any) -> Array:
    """Return samples that are arrays as rows of one array, which they may already be."""
    return xp.stack(samples) if isinstance(samples, list) else samples

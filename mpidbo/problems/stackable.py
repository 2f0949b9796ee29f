"""Problems whose oracles and draws are written once, for the rows of several agents."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from .base import Problem
from .blocks import stacked_in_blocks


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

    @property
    def temporary_size(self) -> int:
        """Numbers in the largest temporary array of an oracle of this agent."""
        return max(self.dims)

    @classmethod
    def stacked(cls, agents: list[Any]) -> Any:
        return stacked_in_blocks(cls.stack, agents)

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

"""Problems whose oracles are written once, for the rows of several agents."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from .._types import Array, Float
from .base import Problem


class Stackable(Problem, ABC):
    """An agent whose derivatives are the stacked ones of this agent alone.

    A subclass defines `stack`, and the losses f and g.
    """

    infinite: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def stack(cls, agents: list[Any]) -> Any:
        """Return the stacked oracles of these agents, as `Problem.stacked` does."""

    @classmethod
    def stacked(cls, agents: list[Any]) -> Any:
        return cls.stack(agents)

    @cached_property
    def _alone(self) -> Any:
        """The stacked oracles of this agent.

        Made when first used, so that a subclass may change the data.
        """
        return self.stack([self])

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


def stack(xp: Any, arrays: list[Array]) -> Array:
    """Return the arrays as rows of one; of a single array a view, which follows changes of it."""
    return arrays[0][None] if len(arrays) == 1 else xp.stack(arrays)


def add_noise(
    rows: Float[Array, "m d"], samples: list[Any], entries: slice, xp: Any
) -> Float[Array, "m d"]:
    """Return the rows plus these entries of each agent's sample.

    The rows as they are for the full batch.
    """
    if samples[0] is None:
        return rows
    return rows + xp.stack([sample[entries] for sample in samples])

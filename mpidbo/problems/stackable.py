"""Problems whose oracles are written once, stacked."""

from typing import Any, ClassVar

from .base import Problem


class Stackable(Problem):
    """An agent whose oracles are those of `_one`, the stacked oracles of this agent alone."""

    _one: Any

    infinite: ClassVar[tuple[str, ...]] = ()

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._one.f_x(x[None], y[None], [sample])[0]

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._one.f_y(x[None], y[None], [sample])[0]

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._one.g_x(x[None], y[None], [sample])[0]

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._one.g_y(x[None], y[None], [sample])[0]

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._one.g_yy(x[None], y[None], v[None], [sample])[0]

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._one.g_xy(x[None], y[None], v[None], [sample])[0]

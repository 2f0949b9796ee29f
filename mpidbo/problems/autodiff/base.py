"""What losses of any framework have in common: an agent's data, draws, and mistakes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .. import Problem
from .batches import Framework, Source, entry_of
from .mistakes import mistake
from .nested import kind

LEVELS = ("x", "y")
Sample = Mapping[str, NDArray[Any] | None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """The arguments of `from_torch` and `from_jax`."""

    f: Callable[..., Any]
    g: Callable[..., Any]
    x0: Any
    y0: Any
    data: Any
    val_data: Any
    test_data: Any
    batch: Any
    val_batch: Any
    metrics: Callable[..., Mapping[str, Any]] | None
    project_x: Callable[..., Any] | None


class Losses(Problem, ABC):
    """An agent whose losses are the user's functions of trees; the derivatives are the framework's.

    batch, val_batch : instead of the numbers that `from_torch` or `from_jax` was given.
    """

    given: ClassVar[Given]

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        batch: int | None = None,
        val_batch: int | None = None,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dtype = np.dtype(dtype)
        framework = self._framework()
        given = self.given
        batch = given.batch if batch is None else batch
        val_batch = next((size for size in (val_batch, given.val_batch) if size is not None), batch)

        def source(data: Any, name: str, size: Any, key: str) -> Source:
            return Source(
                entry_of(data, agent, n_agents, name),
                framework,
                agent=agent,
                name=name,
                batch=size,
                key=key,
            )

        self._batches: dict[str, tuple[Sample, Any]] = {}
        self.sources = {"data": source(given.data, "data", batch, "batch")}
        if given.val_data is not None:
            self.sources["val_data"] = source(given.val_data, "val_data", val_batch, "val_batch")
        if given.test_data is not None:
            self.tested = source(given.test_data, "test_data", 0, "batch")
        else:
            self.tested = self.sources[self._of("f")]
        self.dims = tuple(int(part.size) for part in self.start())
        self._accept()
        if given.project_x is not None:
            self.project_x = self._projection

    # What a framework brings

    @abstractmethod
    def _framework(self) -> Framework:
        """The framework's part of the constructor: what it does with data."""

    @abstractmethod
    def _value(self, loss: str, x: Any, y: Any, sample: Any) -> float:
        """The loss, f or g, of vectors x (p,) and y (q,)."""

    @abstractmethod
    def _gradient(self, loss: str, level: str, x: Any, y: Any, sample: Any) -> Any:
        """Its gradient in x or y, (p,) or (q,)."""

    @abstractmethod
    def _product(self, level: str, x: Any, y: Any, v: Any, sample: Any) -> Any:
        """d/dlevel <g_y(x, y), v>, for v (q,)."""

    @abstractmethod
    def _measured(self, x: Any, y: Any) -> Mapping[str, float]:
        """`metrics` of vectors x and y."""

    @abstractmethod
    def _projected(self, x: Any) -> Any:
        """`project_x` of a vector (p,)."""

    @abstractmethod
    def _look(self, loss: str, batch: Any) -> tuple[Any, dict[str, bool]]:
        """What the loss returns at the start, and whether that depends on x and on y."""

    # Data

    def _of(self, loss: str) -> str:
        """The source of a loss's batches."""
        return "val_data" if loss == "f" and "val_data" in self.sources else "data"

    def draw(self, rng: np.random.Generator) -> Sample | None:
        """Training, then validation samples, by their source: indices (batch,), or None for all."""
        sample = {name: source.draw(rng) for name, source in self.sources.items()}
        return None if all(indices is None for indices in sample.values()) else sample

    def _batch(self, loss: str, sample: Sample | None) -> Any:
        """What the loss gets of a draw; made once, when a loss first asks for it."""
        name = self._of(loss)
        if sample is None:
            return self.sources[name].whole
        if name not in self._batches or self._batches[name][0] is not sample:
            self._batches[name] = sample, self.sources[name].take(sample[name])
        return self._batches[name][1]

    # Oracles

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return float(self._asked("f", self._value, "f", x, y, sample))

    def g(self, x: Any, y: Any, sample: Any) -> float:
        return float(self._asked("g", self._value, "g", x, y, sample))

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._asked("f", self._gradient, "f", "x", x, y, sample)

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._asked("f", self._gradient, "f", "y", x, y, sample)

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._asked("g", self._gradient, "g", "x", x, y, sample)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._asked("g", self._gradient, "g", "y", x, y, sample)

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._asked("g", self._product, "y", x, y, v, sample)

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._asked("g", self._product, "x", x, y, v, sample)

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        return self._asked("metrics", self._measured, x, y) if self.given.metrics else {}

    def _projection(self, x: Any) -> Any:
        return self._asked("project_x", self._projected, x)

    # Mistakes

    def _asked(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns, which calls the user's of that name; errors are sentences."""
        try:
            return function(*arguments)
        except Exception as error:
            raise mistake(
                error,
                f"{name}: agent {self.agent}",
                getattr(self.given, name),
                f"fix {'the loss' if name in 'fg' else 'it'} or its data (all floats arrive as "
                f"{self.dtype.name})",
            ) from error

    def _accept(self) -> None:
        """UserError unless the losses are scalars that depend on x and y, at a first sample."""
        sample = self.draw(np.random.default_rng(0))
        depends = {loss: self._depends(loss, self._batch(loss, sample)) for loss in ("f", "g")}
        if not depends["g"]["y"]:
            raise UserError(
                "g: does not depend on y, so that no y is its minimiser; use y in it, without "
                "no_grad, detach or item on the way"
            )
        if not (depends["f"]["x"] or (depends["f"]["y"] and depends["g"]["x"])):
            raise UserError(
                "f: does not depend on x, neither by itself nor through y and g; use x in f, or x "
                "in g and y in f"
            )

    def _depends(self, loss: str, batch: Any) -> dict[str, bool]:
        where = f"{loss}: agent {self.agent}"
        value, depends = self._asked(loss, self._look, loss, batch)
        if not hasattr(value, "shape"):
            raise UserError(
                f"{where} returns {kind(value) if value is not None else 'nothing'}; return a "
                "scalar computed from x and y"
            )
        if tuple(value.shape) != ():
            raise UserError(
                f"{where} returns shape {tuple(value.shape)}, expected a scalar; return a mean, "
                "such as losses.mean()"
            )
        return depends

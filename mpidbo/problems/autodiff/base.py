"""Problems from two losses, independent of the framework: data, draws, mistakes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..._types import Array, Float
from ...errors import UserError
from ..base import ProblemOfSources
from ..data.holdout import holdout_share
from .batches import Framework, Source, entry_of
from .mistakes import mistake
from .nested import kind

LEVELS = ("x", "y")
Draw = Mapping[str, NDArray[Any] | None]


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
    holdout: Any
    metrics: Callable[..., Mapping[str, Any]] | None
    project_x: Callable[..., Any] | None
    project_y: Callable[..., Any] | None


class Losses(ProblemOfSources, ABC):
    """An agent whose losses are the user's functions of trees; the framework takes the derivatives.

    Parameters
    ----------
    batch, val_batch : int, optional
        Samples in a draw. Default: what `from_torch` or `from_jax` was given.
    holdout : float, optional
        Share of the agent's samples of the upper loss that no loss sees. Default: what was given.

    Attributes
    ----------
    draws_samples : bool
        Whether a draw may be of fewer than all samples; otherwise the oracle does not ask for one.
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
        holdout: float | None = None,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dtype = np.dtype(dtype)
        framework = self._make_framework()
        given = self.given
        batch = given.batch if batch is None else batch
        if val_batch is None:
            val_batch = batch if given.val_batch is None else given.val_batch
        share = holdout_share(given.holdout if holdout is None else holdout)

        def source(data: Any, name: str, size: Any, key: str, holdout: float = 0.0) -> Source:
            return Source(
                entry_of(data, agent, n_agents, name),
                framework,
                agent=agent,
                name=name,
                batch=size,
                key=key,
                holdout=holdout,
                seed=seed,
            )

        self._batches: dict[str, tuple[Draw, Any]] = {}
        # Without data of its own the upper loss has those of the lower one.
        shares = (share, 0.0) if given.val_data is None else (0.0, share)
        self.sources = {"data": source(given.data, "data", batch, "batch", shares[0])}
        if given.val_data is not None:
            self.sources["val_data"] = source(
                given.val_data, "val_data", val_batch, "val_batch", shares[1]
            )
        self.draws_samples = type(self).draw is not Losses.draw or any(
            source.batch for source in self.sources.values()
        )
        self.held_out = self.sources[self._source_of("f")].held_out
        if given.test_data is not None:
            self.tested = source(given.test_data, "test_data", 0, "batch")
        else:
            self.tested = self.sources[self._source_of("f")]
        self.dims = tuple(int(part.size) for part in self.start())
        self._check_losses()
        for level in LEVELS:
            name = f"project_{level}"
            if getattr(given, name) is not None:  # else it stays None: the level is free
                setattr(self, name, partial(self._call, name, self._project, level))

    # What a framework defines

    @abstractmethod
    def _make_framework(self) -> Framework:
        """Return what the framework does with data; called once, by the constructor."""

    @abstractmethod
    def _value_on(
        self, loss: str, x: Float[Array, " p"], y: Float[Array, " q"], batch: Any
    ) -> float:
        """Return the loss, f or g, of a batch."""

    @abstractmethod
    def _gradient(
        self, loss: str, level: str, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any
    ) -> Float[Array, " d"]:
        """Return the gradient of a loss in x or y."""

    @abstractmethod
    def _product(
        self,
        level: str,
        x: Float[Array, " p"],
        y: Float[Array, " q"],
        v: Float[Array, " q"],
        sample: Any,
    ) -> Float[Array, " d"]:
        """Return d/dx or d/dy of <g_y(x, y), v>."""

    @abstractmethod
    def _metrics_on(
        self, x: Float[Array, " p"], y: Float[Array, " q"], batch: Any
    ) -> Mapping[str, float]:
        """Return what the user's `metrics` does for a batch."""

    @abstractmethod
    def _project(self, level: str, part: Float[Array, " d"]) -> Float[Array, " d"]:
        """Return what the user's `project_x` or `project_y` does."""

    @abstractmethod
    def _inspect(self, loss: str, batch: Any) -> tuple[Any, dict[str, bool]]:
        """Return what the loss returns at the start, and whether that depends on x and on y."""

    # Data

    def _source_of(self, loss: str) -> str:
        """The name of the source of a loss's batches."""
        return "val_data" if loss == "f" and "val_data" in self.sources else "data"

    def draw(self, rng: np.random.Generator) -> Draw | None:
        """Return the indices of the samples from each source; None for all of them."""
        sample = {name: source.draw(rng) for name, source in self.sources.items()}
        return None if all(indices is None for indices in sample.values()) else sample

    def _batch(self, loss: str, sample: Draw | None) -> Any:
        """What the loss receives of a draw; made once, when a loss first needs it."""
        name = self._source_of(loss)
        if sample is None:
            return self.sources[name].full_batch
        if name not in self._batches or self._batches[name][0] is not sample:
            self._batches[name] = sample, self.sources[name].take(sample[name])
        return self._batches[name][1]

    # Oracles

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return float(self._call("f", self._value, "f", x, y, sample))

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return float(self._call("g", self._value, "g", x, y, sample))

    def f_x(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " d"]:
        return self._call("f", self._gradient, "f", "x", x, y, sample)

    def f_y(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " d"]:
        return self._call("f", self._gradient, "f", "y", x, y, sample)

    def g_x(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " d"]:
        return self._call("g", self._gradient, "g", "x", x, y, sample)

    def g_y(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " d"]:
        return self._call("g", self._gradient, "g", "y", x, y, sample)

    def g_yy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " d"]:
        return self._call("g", self._product, "y", x, y, v, sample)

    def g_xy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " d"]:
        return self._call("g", self._product, "x", x, y, v, sample)

    def _value(self, loss: str, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return self._value_on(loss, x, y, self._batch(loss, sample))

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> Mapping[str, float]:
        """The user's metrics, and on the samples that are held out f and the same metrics."""
        found = self._measured(x, y, self.tested)
        if self.held_out is None or not isinstance(found, Mapping):
            return found
        loss = self._call("f", self._value_on, "f", x, y, self.held_out.full_batch)
        judged = {"loss": loss, **self._measured(x, y, self.held_out)}
        return {**found, **{f"holdout_{name}": value for name, value in judged.items()}}

    def _measured(
        self, x: Float[Array, " p"], y: Float[Array, " q"], source: Source
    ) -> Mapping[str, float]:
        """The user's metrics of all samples of a source."""
        if self.given.metrics is None:
            return {}
        return self._call("metrics", self._metrics_on, x, y, source.full_batch)

    # Mistakes

    def _call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns that calls the user's of that name.

        What the user's raises becomes a UserError with its line.
        """
        try:
            return function(*arguments)
        except Exception as error:
            what = "the loss" if name in ("f", "g") else "it"
            remedy = f"fix {what} or its data (all floats arrive as {self.dtype.name})"
            raise mistake(
                error, f"{name}: agent {self.agent}", getattr(self.given, name), remedy
            ) from error

    def _check_losses(self) -> None:
        """Raise UserError unless the losses are scalars that depend on x and y."""
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
        """Whether a loss depends on x and on y. Raises UserError unless it is a scalar."""
        where = f"{loss}: agent {self.agent}"
        value, depends = self._call(loss, self._inspect, loss, batch)
        if not hasattr(value, "shape"):
            what = "nothing" if value is None else kind(value)
            raise UserError(f"{where} returns {what}; return a scalar computed from x and y")
        if tuple(value.shape) != ():
            raise UserError(
                f"{where} returns shape {tuple(value.shape)}, expected a scalar; return a mean, "
                "such as losses.mean()"
            )
        return depends

"""Base classes of problems with labelled samples.

Training in the lower level, validation in the upper.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .._types import Array, Float
from ..errors import UserError, shown
from .classifiers import Classifier
from .data.holdout import holdout_share, parted
from .data.shares import Samples, Share
from .samples import Batch, StackedSamples
from .stackable import Stackable


class Sampled(Stackable):
    """An agent with labelled samples for training (lower level), validation (upper level) and test.

    Parameters
    ----------
    share : Share
        The agent's samples.
    batch, val_batch : int
        Samples in a draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    holdout : float
        Share of the agent's validation samples that f does not see, for `holdout_loss` and
        `holdout_accuracy`.
    """

    paths: ClassVar[tuple[str, ...]] = ("data", "path")
    infinite: ClassVar[tuple[str, ...]] = ("concentration",)

    widest: int = 1
    """Numbers of each sample in a temporary array."""

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any,
        share: Share,
        batch: int,
        val_batch: int,
        holdout: float,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if min(batch, val_batch) < 0:
            raise UserError(
                f"problem.batch, val_batch: {batch}, {val_batch} must not be negative; 0 is the "
                "full batch"
            )
        self.dtype, self.batch, self.val_batch = dtype, batch, val_batch or batch
        self.train, self.validation, self.test = share.train, share.validation, share.test
        self.held_out: Samples | None = None
        if holdout_share(holdout):
            where = f"validation samples of agent {agent}"
            left, held_out = parted(
                len(self.validation), holdout, seed=seed, agent=agent, where=where
            )
            self.held_out = self.validation.batch(held_out)
            self.validation = self.validation.batch(left)

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of training and validation samples in a draw."""
        train, validation = len(self.train), len(self.validation)
        return min(self.batch or train, train), min(self.val_batch or validation, validation)

    @property
    def temporary_size(self) -> int:
        return max(*self.dims, max(self.sizes()) * self.widest)

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return self._loss_on(self._validated(sample), x, y)

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> Mapping[str, float]:
        """test_accuracy: on the agent's equal part of the common test set.

        holdout_loss, holdout_accuracy: on the validation samples that are held out, if any are.
        """
        found = {"test_accuracy": self._accuracy_on(self._batch(self.test), x, y)}
        if self.held_out is not None:
            held_out = self._batch(self.held_out)
            found["holdout_loss"] = self._loss_on(held_out, x, y)
            found["holdout_accuracy"] = self._accuracy_on(held_out, x, y)
        return found

    @abstractmethod
    def _loss_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        """Return the mean upper loss of samples."""

    @abstractmethod
    def _accuracy_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        """Return the share of samples that are classified correctly."""

    def _trained(self, sample: Any) -> Batch:
        return self._batch(self.train, None if sample is None else sample[0])

    def _validated(self, sample: Any) -> Batch:
        return self._batch(self.validation, None if sample is None else sample[1])

    def _batch(self, part: Samples, indices: Any = None) -> Batch:
        """The samples of these indices, as a batch of this agent alone; all for None."""
        places = slice(None) if indices is None else indices
        return Batch.of_one(self.xp, part.batch(indices), places)


class Supervised(Sampled):
    """A `Sampled` problem with f_i = mean cross-entropy of a classifier with parameters y.

    Parameters
    ----------
    hidden : sequence of int
        Widths of the hidden layers; none is softmax regression.
    bias : bool
        Whether the layers have biases.
    """

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any,
        share: Share,
        hidden: Sequence[int] = (),
        bias: bool = True,
        batch: int,
        val_batch: int,
        holdout: float,
    ) -> None:
        if min(hidden, default=1) < 1:
            raise UserError(
                f"problem.hidden: {shown(list(hidden))} holds a width below 1; give the widths of "
                "the layers, such as [20]"
            )
        super().__init__(
            agent,
            n_agents,
            xp=xp,
            seed=seed,
            dtype=dtype,
            share=share,
            batch=batch,
            val_batch=val_batch,
            holdout=holdout,
        )
        self.classifier = Classifier(
            (self.train.X.shape[1], *hidden, share.classes), xp=xp, bias=bias
        )
        self.widest = max(self.classifier.sizes[1:])

    def _loss_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        return float(self.classifier.losses(y[None], batch).mean())

    def _accuracy_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        return self.classifier.accuracy(y[None], batch)


class StackedSupervised(StackedSamples):
    """The draws and the upper level of several agents."""

    def __init__(self, agents: list[Any]) -> None:
        super().__init__(agents)
        self.classifier = agents[0].classifier

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.xp.zeros_like(x)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch = self.validation(samples)
        return self.classifier.grad(y, batch, 1 / batch.rows.counts(self.dtype))

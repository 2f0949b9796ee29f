"""What the problems with labelled samples have in common: trained in the lower level, validated in the upper."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError, shown
from .base import Problem
from .classifiers import Classifier
from .data.shares import Samples, Share


class Sampled(Problem):
    """An agent with training, validation and test samples.

    share : the agent's samples.
    batch, val_batch : samples per draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    """

    paths: ClassVar[tuple[str, ...]] = ("data", "path")
    infinite: ClassVar[tuple[str, ...]] = ("concentration",)

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any, share: Share, batch: int, val_batch: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if min(batch, val_batch) < 0:
            raise UserError(f"problem.batch, val_batch: {batch}, {val_batch} must not be negative; 0 is the full batch")
        self.dtype, self.batch, self.val_batch = dtype, batch, val_batch or batch
        self.train, self.validation, self.test = share.train, share.validation, share.test

    def draw(self, rng: np.random.Generator) -> Any:
        """(training indices, validation indices) among the agent's own samples; None where all are taken."""
        sample = self.train.draw(rng, self.batch), self.validation.draw(rng, self.val_batch)
        return None if all(indices is None for indices in sample) else sample

    def sizes(self) -> tuple[int, int]:
        """How many training and validation samples a draw has."""
        return min(self.batch or len(self.train), len(self.train)), min(self.val_batch or len(self.validation), len(self.validation))

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.xp.zeros_like(x)

    def _trained(self, sample: Any) -> Samples:
        return self.train if sample is None else self.train.batch(sample[0])

    def _validated(self, sample: Any) -> Samples:
        return self.validation if sample is None else self.validation.batch(sample[1])


class Supervised(Sampled):
    """f_i = mean cross-entropy over own validation samples of a classifier with parameters y; g_i is the subclass's.

    hidden, bias : the classifier is (features, *hidden, classes), with biases or without. The rest is `Sampled`'s.
    """

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any, share: Share,
                 hidden: Sequence[int] = (), bias: bool = True, batch: int, val_batch: int) -> None:
        if min(hidden, default=1) < 1:
            raise UserError(f"problem.hidden: {shown(list(hidden))} holds a width below 1; give the widths of the layers, such as [20]")
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, share=share, batch=batch, val_batch=val_batch)
        self.classifier = Classifier((self.train.X.shape[1], *hidden, share.classes), xp=xp, bias=bias)

    def f(self, x: Any, y: Any, sample: Any) -> float:
        part = self._validated(sample)
        return float(self.classifier.losses(y, part.X, part.labels).mean())

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        part = self._validated(sample)
        return self.classifier.grad(y, part.X, part.labels, 1 / part.labels.shape[-1])

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        """test_accuracy: on the agent's equal part of the common test set."""
        return {"test_accuracy": self.classifier.accuracy(y, self.test.X, self.test.labels)}

"""Data hyper-cleaning: learn from clean validation data which training labels to trust."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError, did_you_mean
from .shares import Tag, generator, share_of
from .supervised import Supervised

BLOCK = 1 << 16


class HyperCleaning(Supervised):
    """One weight per training sample, chosen so that what they train does well on clean validation samples.

        f_i = mean of CE_e(y) over own validation samples
        g_i = mean of s(x_e) CE_e(y) over own training samples  +  C |y|^2

    s is the logistic function, CE the cross-entropy of a classifier with parameters y. x has one entry per training
    sample of ALL agents, in agent order; g_i touches only the agent's own block of x, with a batch only what was drawn.
    A perceptron makes g_i nonconvex in y. (Experiment 1 of SPARKLE, NeurIPS 2024; experiment 2 of D-SOBA, JMLR 2025.)

    Options
    -------
    data : "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has brought (such as "mnist"), a folder
        with the four IDX files of MNIST or Fashion-MNIST, or a LIBSVM file.
    path : where the files of a named data set lie, if elsewhere.
    model : "softmax" (softmax regression, from y = 0) or "mlp" (ReLU perceptron, from random y, equal on all agents).
    hidden : widths of the perceptron's hidden layers.
    corruption : the probability with which a training label is replaced by one of the classes at random (maybe itself).
    split : "dirichlet", "iid" or "class": who gets which samples, in training and validation alike (the same rule with
        the same proportions, so that both levels are heterogeneous). It goes by the true labels.
    concentration : of the Dirichlet split; small is heterogeneous.
    ridge : C.
    batch, val_batch : samples per draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    n_train, n_validation : samples over all agents; 0 is 1000 and 400 of the digits, 50,000 and 10,000 of images; of a
        LIBSVM file half and a quarter, with a test set three quarters and a quarter.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 30.0, "beta": 0.5, "gamma": 0.5}

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, data: str = "digits",
                 model: str = "softmax", hidden: Sequence[int] = (300,), corruption: float = 0.3,
                 split: str = "dirichlet", concentration: float = 1.0, ridge: float = 1e-3, batch: int = 0,
                 val_batch: int = 0, n_train: int = 0, n_validation: int = 0, path: str = "") -> None:
        if model not in (known := ("softmax", "mlp")):
            raise UserError(f'problem.model: "{model}" is unknown; {did_you_mean(model, known)}')
        if not 0 <= corruption <= 1:
            raise UserError(f"problem.corruption: {corruption} is a probability and must lie between 0 and 1")
        share = share_of(data, agent, n_agents, seed=seed, split=split, concentration=concentration,
                         n_train=n_train, n_validation=n_validation, xp=xp, dtype=dtype, path=path)
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, share=share,
                         hidden=hidden if model == "mlp" else (), batch=batch, val_batch=val_batch)
        self.dims, self.ridge = (share.total, self.classifier.q), ridge
        self.own = slice(share.first, share.first + len(share.train))
        self.corrupted = self._corrupt(corruption, share.classes)

    def _corrupt(self, probability: float, classes: int) -> Any:
        """Replaces labels in place; returns the mask, (own training samples,), of those that are now wrong."""
        rng, labels = generator(self.seed, Tag.CORRUPTION, self.agent), self.train.labels
        hit = self.xp.asarray(rng.random(len(labels)) < probability)
        noisy = self.xp.where(hit, self.xp.asarray(rng.integers(classes, size=len(labels))), labels)
        wrong = noisy != labels
        labels[:] = noisy
        return wrong

    def start(self) -> tuple[Any, Any]:
        """x0 = 0; y0 = 0 for softmax regression, else He et al.'s random weights, the same on every agent."""
        y = self.classifier.start(generator(self.seed, Tag.START), self.dtype)
        return self.xp.zeros(self.dims[0], dtype=self.dtype), y

    def g(self, x: Any, y: Any, sample: Any) -> float:
        part, (weights, _) = self._trained(sample), self._weights(x, sample)
        return float(weights @ self.classifier.losses(y, part.X, part.labels) + self.ridge * (y @ y))

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        part, (_, slopes) = self._trained(sample), self._weights(x, sample)
        return self._in_block(x, sample, slopes * self.classifier.losses(y, part.X, part.labels))

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        part, (weights, _) = self._trained(sample), self._weights(x, sample)
        return self._with_ridge(self.classifier.grad(y, part.X, part.labels, weights), y)

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        part, (weights, _) = self._trained(sample), self._weights(x, sample)
        return self._with_ridge(self.classifier.hvp(y, part.X, part.labels, weights, v), v)

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        part, (_, slopes) = self._trained(sample), self._weights(x, sample)
        return self._in_block(x, sample, slopes * self.classifier.jvp(y, part.X, part.labels, v))

    def _with_ridge(self, total: Any, v: Any) -> Any:
        """total + 2 C v, in place; by blocks, since one temporary of y's size may cost a third of a gradient."""
        for at in range(0, len(v), BLOCK):
            total[at:at + BLOCK] += 2 * self.ridge * v[at:at + BLOCK]
        return total

    def _places(self, sample: Any) -> Any:
        """What of the own block the sample touches."""
        return slice(None) if sample is None or sample[0] is None else sample[0]

    def _weights(self, x: Any, sample: Any) -> tuple[Any, Any]:
        """(s(x_e)/B, s'(x_e)/B) of the B training samples, by the form of s that neither overflows nor cancels."""
        own = x[self.own][self._places(sample)]
        e = self.xp.exp(-abs(own))
        return self.xp.where(own > 0, 1, e) / ((1 + e) * len(own)), e / ((1 + e)**2 * len(own))

    def _in_block(self, x: Any, sample: Any, values: Any) -> Any:
        """The values at the sample's places of the own block, zero elsewhere; the places are all different."""
        out = self.xp.zeros_like(x)
        out[self.own][self._places(sample)] = values
        return out

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        """test_accuracy: on the agent's equal part of the common test set.

        auc: the probability that a sample of the agent with the right label weighs more than a corrupted one, ties
        counting half; left out where the agent has only one kind.
        """
        own = x[self.own]  # the weights s(x_e) have the same order
        good, bad = own[~self.corrupted], self.xp.sort(own[self.corrupted])
        if not (len(good) and len(bad)):
            return super().metrics(x, y)
        below = self.xp.searchsorted(bad, good, side="left") + self.xp.searchsorted(bad, good, side="right")
        return {**super().metrics(x, y), "auc": float(below.mean() / (2 * len(bad)))}

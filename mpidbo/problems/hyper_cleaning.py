"""Data hyper-cleaning: learn from clean validation data which training labels to trust."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError, did_you_mean
from .data.shares import Samples, Tag, generator, share_of
from .supervised import Supervised

BLOCK = 1 << 16


class Cleaning:
    """The oracles, of one agent or of several at once: these differ in where samples, weights and places are."""

    xp: Any
    ridge: float
    classifier: Any
    _trained: Any
    _weights: Any
    _in_block: Any

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
        """total + 2 C v, in place; on a CPU by blocks, since one temporary of y's size may cost a third of a gradient."""
        block = BLOCK if self.xp is np else v.size
        for at in range(0, v.shape[-1], block):
            total[..., at:at + block] += 2 * self.ridge * v[..., at:at + block]
        return total


class HyperCleaning(Cleaning, Supervised):
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
            raise UserError(f"problem.corruption: {corruption} is a probability; choose one between 0 and 1")
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

    def _places(self, sample: Any) -> Any:
        """What of the own block the sample touches."""
        return slice(None) if sample is None or sample[0] is None else sample[0]

    def _weights(self, x: Any, sample: Any) -> tuple[Any, Any]:
        """(s(x_e)/B, s'(x_e)/B) of the B training samples."""
        return logistic(self.xp, x[self.own][self._places(sample)])

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

    @classmethod
    def stacked(cls, agents: "list[HyperCleaning]") -> "Together | None":
        """On a GPU, where kernels for each agent would take longer to start than to run, if all agents draw as many samples."""
        alike = len({agent.sizes() for agent in agents}) == 1
        return Together(agents) if agents[0].xp is not np and alike else None


class Together(Cleaning):
    """The oracles of several agents: samples are gathered from all agents' at once, and matrix products are batched."""

    def __init__(self, agents: list[HyperCleaning]) -> None:
        one = agents[0]
        self.xp, self.classifier, self.ridge = one.xp, one.classifier, one.ridge
        train, validation = (Pool(self.xp, part, [getattr(agent, name) for agent in agents])
                             for part, name in enumerate(("train", "validation")))
        for agent, *parts in zip(agents, train.parts, validation.parts, strict=True):
            agent.train, agent.validation = parts                # views now, not a second copy
        own = np.array([agent.own.start for agent in agents]) + one.dims[0] * np.arange(len(agents))
        self._trained, self._validated = PerDraw(train.batch), PerDraw(validation.batch)
        self._places = PerDraw(lambda samples: self.xp.asarray(own[:, None] + train.indices(samples)))
        """Of the training samples, (m, B), among the entries of all rows of x."""

    f_x, f_y = Supervised.f_x, Supervised.f_y

    def _weights(self, x: Any, samples: list[Any]) -> tuple[Any, Any]:
        return logistic(self.xp, x.reshape(-1)[self._places(samples)])

    def _in_block(self, x: Any, samples: list[Any], values: Any) -> Any:
        out = self.xp.zeros_like(x)
        out.reshape(-1)[self._places(samples)] = values
        return out


class PerDraw:
    """Made once for the samples of a draw, which several oracles use."""

    def __init__(self, make: Callable[[list[Any]], Any]) -> None:
        self._make = make
        self._samples: list[Any] | None = None
        self._made: Any = None

    def __call__(self, samples: list[Any]) -> Any:
        if samples is not self._samples:
            self._samples, self._made = samples, self._make(samples)
        return self._made


class Pool:
    """The samples of several agents in one array, of which `parts` are views; a draw's indices are its entry `part`."""

    def __init__(self, xp: Any, part: int, parts: list[Samples]) -> None:
        self._part, self._sizes = part, [len(own) for own in parts]
        self._ends = np.cumsum([0, *self._sizes])
        self._all = Samples(xp.concatenate([own.X for own in parts]), xp.concatenate([own.labels for own in parts]))
        self.parts = [self._all.batch(slice(a, b)) for a, b in pairwise(self._ends.tolist())]

    def indices(self, samples: list[Any]) -> Any:
        """(m, B): each agent's own, of numpy."""
        drawn = (None if sample is None else sample[self._part] for sample in samples)
        return np.stack([np.arange(size) if own is None else own for size, own in zip(self._sizes, drawn, strict=True)])

    def batch(self, samples: list[Any]) -> Samples:
        """X (m, B, d), labels (m, B)."""
        return self._all.batch(self._ends[:-1, None] + self.indices(samples))


def logistic(xp: Any, x: Any) -> tuple[Any, Any]:
    """(s(x)/B, s'(x)/B) for x (..., B), by the form of s that neither overflows nor cancels."""
    e, B = xp.exp(-abs(x)), x.shape[-1]
    return xp.where(x > 0, 1, e) / ((1 + e) * B), e / ((1 + e)**2 * B)

"""Data hyper-cleaning: which training labels to trust, by clean validation data."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np

from .._types import Array, Float
from ..errors import UserError, did_you_mean
from .data.shares import Samples, Tag, generator, share_of
from .data.splits import Split
from .supervised import Supervised

BLOCK_SIZE = 1 << 16
"""Entries that are added at once on a CPU, so that temporaries stay in the cache."""


class Cleaning:
    """The derivatives of g, of one agent or of several at once.

    The two differ in where the samples, their weights and their entries of x are.
    """

    xp: Any
    ridge: float
    classifier: Any
    _trained: Any
    _weights: Any
    _in_block: Any

    def g_x(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " p"]:
        part, (_, slopes) = self._trained(sample), self._weights(x, sample)
        return self._in_block(x, sample, slopes * self.classifier.losses(y, part.X, part.labels))

    def g_y(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " q"]:
        part, (weights, _) = self._trained(sample), self._weights(x, sample)
        return self._with_ridge(self.classifier.grad(y, part.X, part.labels, weights), y)

    def g_yy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " q"]:
        part, (weights, _) = self._trained(sample), self._weights(x, sample)
        return self._with_ridge(self.classifier.hvp(y, part.X, part.labels, weights, v), v)

    def g_xy(
        self, x: Float[Array, " p"], y: Float[Array, " q"], v: Float[Array, " q"], sample: Any
    ) -> Float[Array, " p"]:
        part, (_, slopes) = self._trained(sample), self._weights(x, sample)
        return self._in_block(x, sample, slopes * self.classifier.jvp(y, part.X, part.labels, v))

    def _with_ridge(self, total: Any, v: Any) -> Any:
        """total + 2 C v, in place.

        On a CPU by blocks, since a temporary of y's size may cost a third of a gradient.
        """
        block = BLOCK_SIZE if self.xp is np else v.size
        for at in range(0, v.shape[-1], block):
            total[..., at : at + block] += 2 * self.ridge * v[..., at : at + block]
        return total


class HyperCleaning(Cleaning, Supervised):
    """Data hyper-cleaning: one weight for each training sample, chosen by clean validation samples.

        f_i = mean of CE_e(y) over own validation samples
        g_i = mean of s(x_e) CE_e(y) over own training samples + C |y|^2

    s is the logistic function, CE the cross-entropy of a classifier with parameters y. x has one
    entry for each training sample of ALL agents, in agent order: dims = (training samples,
    parameters). g_i touches only the agent's own block of x, with a batch only what was drawn. A
    perceptron makes g_i nonconvex in y.

    Parameters
    ----------
    data : str
        "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has brought (such
        as "mnist"), a folder with four IDX files, or a LIBSVM file.
    path : str
        The files of a named data set, if they are elsewhere.
    model : {"softmax", "mlp"}
        Softmax regression, from y = 0, or a ReLU perceptron, from random y, equal on all agents.
    hidden : list of int
        Widths of the perceptron's hidden layers.
    corruption : float
        Probability with which a training label is replaced by a random class, maybe by itself.
    split : {"dirichlet", "iid", "class"}
        How training and validation samples are split over agents: by the true labels, and with the
        same proportions, so that both levels are heterogeneous.
    concentration : float
        Of the Dirichlet split; the smaller, the more the agents differ.
    ridge : float
        The weight C of |y|^2.
    batch, val_batch : int
        Samples in a draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    holdout : float
        Share of each agent's validation samples that f does not see, one at least: holdout_loss and
        holdout_accuracy are taken there.
    n_train, n_validation : int
        Samples over all agents. 0 is 1000 and 400 of the digits, 50,000 and 10,000 of images; of a
        LIBSVM file half and a quarter, with a test set three quarters and a quarter.

    References
    ----------
    Zhu et al., SPARKLE, NeurIPS 2024, experiment 1.
    Kong et al., D-SOBA, JMLR 2025, experiment 2.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 30.0, "beta": 0.5, "gamma": 0.5}

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        data: str = "digits",
        model: Literal["softmax", "mlp"] = "softmax",
        hidden: Sequence[int] = (300,),
        corruption: float = 0.3,
        split: Split = "dirichlet",
        concentration: float = 1.0,
        ridge: float = 1e-3,
        batch: int = 0,
        val_batch: int = 0,
        holdout: float = 0.0,
        n_train: int = 0,
        n_validation: int = 0,
        path: str = "",
    ) -> None:
        models = ("softmax", "mlp")
        if model not in models:
            raise UserError(f'problem.model: "{model}" is unknown; {did_you_mean(model, models)}')
        if not 0 <= corruption <= 1:
            raise UserError(
                f"problem.corruption: {corruption} is a probability; choose one between 0 and 1"
            )
        share = share_of(
            data,
            agent,
            n_agents,
            seed=seed,
            split=split,
            concentration=concentration,
            n_train=n_train,
            n_validation=n_validation,
            xp=xp,
            dtype=dtype,
            path=path,
        )
        super().__init__(
            agent,
            n_agents,
            xp=xp,
            seed=seed,
            dtype=dtype,
            share=share,
            hidden=hidden if model == "mlp" else (),
            batch=batch,
            val_batch=val_batch,
            holdout=holdout,
        )
        self.dims, self.ridge = (share.total, self.classifier.q), ridge
        self.own = slice(share.first, share.first + len(share.train))
        self.corrupted = self._corrupt(corruption, share.classes)

    def _corrupt(self, probability: float, classes: int) -> Any:
        """Replace labels in place; return the mask of those that are now wrong."""
        rng, labels = generator(self.seed, Tag.CORRUPTION, self.agent), self.train.labels
        hit = self.xp.asarray(rng.random(len(labels)) < probability)
        random_labels = self.xp.asarray(rng.integers(classes, size=len(labels)))
        noisy = self.xp.where(hit, random_labels, labels)
        wrong = noisy != labels
        labels[:] = noisy
        return wrong

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        """x = 0; y = 0 for softmax regression, else random weights, the same on every agent."""
        y = self.classifier.start(generator(self.seed, Tag.START), self.dtype)
        return self.xp.zeros(self.dims[0], dtype=self.dtype), y

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        part, (weights, _) = self._trained(sample), self._weights(x, sample)
        return float(
            weights @ self.classifier.losses(y, part.X, part.labels) + self.ridge * (y @ y)
        )

    def _places(self, sample: Any) -> Any:
        """The entries of the agent's own block that the sample touches."""
        if sample is None or sample[0] is None:
            return slice(None)
        return sample[0]

    def _weights(self, x: Any, sample: Any) -> tuple[Any, Any]:
        """(s(x_e)/B, s'(x_e)/B) of the B training samples."""
        return logistic(self.xp, x[self.own][self._places(sample)])

    def _in_block(self, x: Any, sample: Any, values: Any) -> Any:
        """The values at the sample's places of the own block, zero elsewhere.

        The places are all different.
        """
        out = self.xp.zeros_like(x)
        out[self.own][self._places(sample)] = values
        return out

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> Mapping[str, float]:
        """Those of `Sampled`, and auc.

        auc: the probability that a sample of the agent with the right label weighs more than a
        corrupted one, ties counting half; left out where the agent has only one kind.
        """
        own = x[self.own]  # the weights s(x_e) have the same order
        good, bad = own[~self.corrupted], self.xp.sort(own[self.corrupted])
        if not (len(good) and len(bad)):
            return super().metrics(x, y)
        below = self.xp.searchsorted(bad, good, side="left")
        below += self.xp.searchsorted(bad, good, side="right")
        return {**super().metrics(x, y), "auc": float(below.mean() / (2 * len(bad)))}

    @classmethod
    def stacked(cls, agents: "list[HyperCleaning]") -> "StackedCleaning | None":
        """Return stacked oracles on a GPU, if all agents draw the same number of samples.

        There the kernels of single agents would take longer to start than to run.
        """
        is_alike = len({agent.sizes() for agent in agents}) == 1
        return StackedCleaning(agents) if agents[0].xp is not np and is_alike else None


class StackedCleaning(Cleaning):
    """The oracles of several agents.

    Samples are gathered from all agents' at once, and matrix products are batched.
    """

    def __init__(self, agents: list[HyperCleaning]) -> None:
        one = agents[0]
        self.xp, self.classifier, self.ridge = one.xp, one.classifier, one.ridge
        train, validation = (
            Pool(self.xp, part, [getattr(agent, name) for agent in agents])
            for part, name in enumerate(("train", "validation"))
        )
        for agent, *parts in zip(agents, train.parts, validation.parts, strict=True):
            agent.train, agent.validation = parts  # views now, not a second copy
        self._trained, self._validated = PerDraw(train.batch), PerDraw(validation.batch)
        # Where the own blocks begin among the entries of all rows of x.
        first = np.array([agent.own.start for agent in agents])
        first += one.dims[0] * np.arange(len(agents))
        self._places = PerDraw(
            lambda samples: self.xp.asarray(first[:, None] + train.indices(samples))
        )
        """The entries of x, of all its rows, of the training samples: (m, B)."""

    f_x, f_y = Supervised.f_x, Supervised.f_y

    def _weights(self, x: Any, samples: list[Any]) -> tuple[Any, Any]:
        return logistic(self.xp, x.reshape(-1)[self._places(samples)])

    def _in_block(self, x: Any, samples: list[Any], values: Any) -> Any:
        out = self.xp.zeros_like(x)
        out.reshape(-1)[self._places(samples)] = values
        return out


class PerDraw:
    """A function of the samples of a draw, evaluated once for the oracles that use it."""

    def __init__(self, make: Callable[[list[Any]], Any]) -> None:
        self._make = make
        self._samples: list[Any] | None = None
        self._made: Any = None

    def __call__(self, samples: list[Any]) -> Any:
        if samples is not self._samples:
            self._samples, self._made = samples, self._make(samples)
        return self._made


class Pool:
    """The samples of several agents in one array, of which `parts` are views.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    part : int
        The entry of a draw that has the indices: 0 of training, 1 of validation.
    parts : list of Samples
        Of each agent.
    """

    def __init__(self, xp: Any, part: int, parts: list[Samples]) -> None:
        self._part, self._sizes = part, [len(own) for own in parts]
        self._ends = np.cumsum([0, *self._sizes])
        self._all = Samples(
            xp.concatenate([own.X for own in parts]), xp.concatenate([own.labels for own in parts])
        )
        self.parts = [self._all.batch(slice(a, b)) for a, b in pairwise(self._ends.tolist())]

    def indices(self, samples: list[Any]) -> Any:
        """Return each agent's indices, (m, B), of numpy."""
        found = []
        for size, sample in zip(self._sizes, samples, strict=True):
            own = None if sample is None else sample[self._part]
            found.append(np.arange(size) if own is None else own)
        return np.stack(found)

    def batch(self, samples: list[Any]) -> Samples:
        """Return X (m, B, d) and labels (m, B)."""
        return self._all.batch(self._ends[:-1, None] + self.indices(samples))


def logistic(xp: Any, x: Any) -> tuple[Any, Any]:
    """Return (s(x)/B, s'(x)/B) for x (..., B), in a form that neither overflows nor cancels."""
    e, B = xp.exp(-abs(x)), x.shape[-1]
    return xp.where(x > 0, 1, e) / ((1 + e) * B), e / ((1 + e) ** 2 * B)

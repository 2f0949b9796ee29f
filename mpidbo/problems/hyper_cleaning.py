"""Data hyper-cleaning: which training labels to trust, by clean validation data."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from .._types import Array, Float
from ..errors import UserError, did_you_mean
from .data.shares import Tag, generator, share_of
from .data.splits import Split
from .samples import Batch
from .supervised import StackedSupervised, Supervised

BLOCK_SIZE = 1 << 16
"""Entries that are added at once on a CPU, so that temporaries stay in the cache."""


class HyperCleaning(Supervised):
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

    thread_safe: ClassVar[bool] = True

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
        batch = self._trained(sample)
        weights, _ = logistic(self.xp, x[self.own][batch.places], batch.rows.counts(self.dtype))
        losses = self.classifier.losses(y[None], batch)
        return float(weights @ losses + self.ridge * (y @ y))

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
    def stack(cls, agents: "list[HyperCleaning]") -> "StackedCleaning":
        return StackedCleaning(agents)


class StackedCleaning(StackedSupervised):
    """The oracles of several agents."""

    def __init__(self, agents: list[HyperCleaning]) -> None:
        super().__init__(agents)
        self.ridge = agents[0].ridge
        # Where the own blocks are among the entries of all rows of x.
        first = [agent.own.start + i * agent.dims[0] for i, agent in enumerate(agents)]
        blocks = [
            np.arange(at, at + len(agent.train)) for at, agent in zip(first, agents, strict=True)
        ]
        self._blocks = self.xp.asarray(np.concatenate(blocks))

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        batch, (_, slopes) = self._weighted(x, samples)
        return self._in_blocks(x, batch, slopes * self.classifier.losses(y, batch))

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch, (weights, _) = self._weighted(x, samples)
        return self._with_ridge(self.classifier.grad(y, batch, weights), y)

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch, (weights, _) = self._weighted(x, samples)
        return self._with_ridge(self.classifier.hvp(y, batch, weights, v), v)

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        batch, (_, slopes) = self._weighted(x, samples)
        return self._in_blocks(x, batch, slopes * self.classifier.jvp(y, batch, v))

    def _weighted(self, x: Any, samples: Any) -> tuple[Batch, tuple[Any, Any]]:
        """The training samples with (s(x_e)/B, s'(x_e)/B), where an agent has B of them."""
        batch = self.train(samples)
        own = x.reshape(-1)[self._blocks[batch.places]]
        counts = batch.rows.counts(self.dtype)
        return batch, batch.once("weights", own, lambda: logistic(self.xp, own, counts))

    def _in_blocks(self, x: Any, batch: Batch, values: Any) -> Any:
        """The values at the samples' places of the own blocks, zero elsewhere.

        The places are all different.
        """
        out = self.xp.zeros_like(x)
        out.reshape(-1)[self._blocks[batch.places]] = values
        return out

    def _with_ridge(self, total: Any, v: Any) -> Any:
        """total + 2 C v, in place.

        On a CPU by blocks, since a temporary of y's size may cost a third of a gradient.
        """
        block = BLOCK_SIZE if self.xp is np else v.size
        for at in range(0, v.shape[-1], block):
            total[:, at : at + block] += 2 * self.ridge * v[:, at : at + block]
        return total


def logistic(xp: Any, x: Any, B: Any) -> tuple[Any, Any]:
    """Return (s(x)/B, s'(x)/B), in a form that neither overflows nor cancels."""
    e = xp.exp(-abs(x))
    return xp.where(x > 0, 1, e) / ((1 + e) * B), e / ((1 + e) ** 2 * B)

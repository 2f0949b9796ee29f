"""Hyperparameter tuning: the regularization weights of a multinomial logistic regression."""

from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .data.shares import Samples, Share, Tag, generator, share_of
from .data.splits import Split
from .supervised import StackedSupervised, Supervised


class LogisticTuning(Supervised):
    """Hyperparameter tuning: one regularization weight for each feature of a logistic regression.

        f_i = mean of CE_e(y) over own validation samples
        g_i = mean of CE_e(y) over own training samples + 1/(c p) sum_jk exp(x_j) y_jk^2

    for p features and c classes, without biases; y is (p, c), flattened in C order: dims = (p, p
    c). CE is the cross-entropy of the softmax of (features' y).

    Parameters
    ----------
    data : str
        "synthetic", "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has
        brought (such as "mnist"), a folder with four IDX files, or a LIBSVM file.
    path : str
        The files of a named data set, if they are elsewhere.
    heterogeneity : float
        Size h of what differs between agents; of synthetic data only.
    features, classes : int
        p and c of synthetic data; other data have their own.
    split : {"dirichlet", "iid", "class"}
        How training and validation samples are split over agents; not of synthetic data.
    concentration : float
        Of the Dirichlet split; the smaller, the more the agents differ.
    batch, val_batch : int
        Samples in a draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    holdout : float
        Share of each agent's validation samples that f does not see, one at least: holdout_loss and
        holdout_accuracy are taken there.
    n_train, n_validation : int
        Samples over all agents. 0 is 2000 and 1000 of synthetic data (in equal parts, and as many
        for the test as for validation), 1000 and 400 of the digits, 50,000 and 10,000 of images; of
        a LIBSVM file half and a quarter, with a test set three quarters and a quarter.

    Notes
    -----
    Synthetic features of agent i are N(h m_i, (1 + h i/n)^2 I)/(1 + h) with m_i ~ N(0, I); a
    label is the largest entry of (features' Y + noise/10) for a common Y, Y and noise standard
    normal: of the kind of the paper's data; distribution and constants are of this package.

    References
    ----------
    Kong et al., D-SOBA, JMLR 2025, experiment 1 (with n = 20).
    """

    thread_safe: ClassVar[bool] = True

    steps: ClassVar[dict[str, float]] = {"alpha": 1.0, "beta": 0.5, "gamma": 0.5}

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        data: str = "synthetic",
        heterogeneity: float = 1.0,
        features: int = 20,
        classes: int = 5,
        split: Split = "dirichlet",
        concentration: float = 1.0,
        batch: int = 0,
        val_batch: int = 0,
        holdout: float = 0.0,
        n_train: int = 0,
        n_validation: int = 0,
        path: str = "",
    ) -> None:
        if data == "synthetic":
            share = _synthetic(
                agent,
                n_agents,
                seed,
                heterogeneity,
                features,
                classes,
                n_train or 2000,
                n_validation or 1000,
                xp,
                dtype,
            )
        else:
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
            bias=False,
            batch=batch,
            val_batch=val_batch,
            holdout=holdout,
        )
        self.shape = self.train.X.shape[1], share.classes
        self.dims, self.scale = (self.shape[0], self.classifier.q), 1 / self.classifier.q

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        p, q = self.dims
        return self.xp.zeros(p, dtype=self.dtype), self.xp.zeros(q, dtype=self.dtype)

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        losses = self.classifier.losses(y[None], self._trained(sample))
        return float(losses.mean() + self.g_x(x, y, sample).sum())

    @classmethod
    def stack(cls, agents: "list[LogisticTuning]") -> "StackedTuning":
        return StackedTuning(agents)


class StackedTuning(StackedSupervised):
    """The oracles of several agents."""

    def __init__(self, agents: list[LogisticTuning]) -> None:
        super().__init__(agents)
        self.shape, self.scale = agents[0].shape, agents[0].scale

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self._regularizer_xy(x, y, 0.5 * y)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch = self.train(samples)
        gradient = self.classifier.grad(y, batch, 1 / batch.rows.counts(self.dtype))
        gradient += self._regularizer_yy(x, y)
        return gradient

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch = self.train(samples)
        product = self.classifier.hvp(y, batch, 1 / batch.rows.counts(self.dtype), v)
        product += self._regularizer_yy(x, v)
        return product

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self._regularizer_xy(x, y, v)

    def _regularizer_yy(self, x: Any, v: Any) -> Any:
        """The regularizer's Hessian times v; at v = y its gradient."""
        V = v.reshape(len(v), *self.shape)
        return (2 * self.scale * self.xp.exp(x)[:, :, None] * V).reshape(v.shape)

    def _regularizer_xy(self, x: Any, y: Any, v: Any) -> Any:
        """d/dx of (the regularizer's gradient, v); at v = y/2 its gradient in x."""
        products = (y * v).reshape(len(v), *self.shape)
        return 2 * self.scale * self.xp.exp(x) * products.sum(axis=2)


def _synthetic(
    agent: int,
    n_agents: int,
    seed: int,
    heterogeneity: float,
    features: int,
    classes: int,
    n_train: int,
    n_validation: int,
    xp: Any,
    dtype: Any,
) -> Share:
    """One agent's share of the synthetic data."""
    if min(n_train, n_validation) < n_agents or min(features, classes) < 1:
        raise UserError(
            f"problem: {n_train} training and {n_validation} validation samples of {features} "
            f"features in {classes} classes are too few for {n_agents} agents; each needs at least "
            "one sample of either"
        )
    if heterogeneity < 0:
        raise UserError(
            f"problem.heterogeneity: {heterogeneity} must not be negative; 0 is no heterogeneity"
        )
    truth = generator(seed, Tag.TRUTH).standard_normal((features, classes))
    rng = generator(seed, Tag.FEATURES, agent)
    mean = heterogeneity * rng.standard_normal(features)
    deviation = 1 + heterogeneity * agent / n_agents
    # Keeps the curvature, and so the step sizes, alike for every heterogeneity.
    scale = 1 + heterogeneity

    def samples(size: int) -> Samples:
        X = (mean + deviation * rng.standard_normal((size, features))) / scale
        labels = (X @ truth + 0.1 * rng.standard_normal((size, classes))).argmax(axis=1)
        return Samples(xp.asarray(X, dtype=dtype), xp.asarray(labels))

    each, more = divmod(n_train, n_agents)  # the first `more` agents have a sample more
    own_validation = (n_validation + n_agents - 1 - agent) // n_agents
    return Share(
        samples(each + (agent < more)),
        samples(own_validation),
        samples(n_validation // n_agents),
        classes,
        agent * each + min(agent, more),
        n_train,
    )

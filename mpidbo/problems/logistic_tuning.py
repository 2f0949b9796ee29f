"""Hyper-parameter tuning: one regularisation weight per feature of a multinomial logistic regression."""

from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from .data.shares import Samples, Share, Tag, generator, share_of
from .supervised import Supervised


class LogisticTuning(Supervised):
    """f_i = mean validation CE(y),  g_i = mean training CE(y) + 1/(c p) sum_{j, class} exp(x_j) y_{j,class}^2.

    x in R^p, one entry per feature; y in R^{p x c}, flattened in C order, for c classes, without biases; CE is the
    cross-entropy of the softmax of (features' y). (Experiment 1 of D-SOBA, JMLR 2025, with n = 20.)

    Options
    -------
    data : "synthetic", "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has brought (such as "mnist"), a
        folder with the four IDX files of MNIST or Fashion-MNIST, or a LIBSVM file.
    path : where the files of a named data set lie, if elsewhere.
    heterogeneity : synthetic data only. Features of agent i are N(h m_i, (1 + h i/n)^2 I)/(1 + h), h = heterogeneity,
        m_i ~ N(0, I); a label is the largest of (features' Y + noise/10) for a common Y, Y and noise standard normal.
        Of the kind of the paper's synthetic data; law and constants are ours.
    features, classes : p and c of synthetic data; other data bring their own.
    split, concentration : not of synthetic data: "dirichlet", "iid" or "class", who gets which samples.
    batch, val_batch : samples per draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    n_train, n_validation : samples over all agents; 0 is 2000 and 1000 of synthetic data (in equal parts, and as many
        for the test as for validation), 1000 and 400 of the digits, 50,000 and 10,000 of images; of a
        LIBSVM file half and a quarter, with a test set three quarters and a quarter.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 1.0, "beta": 0.5, "gamma": 0.5}

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64,
                 data: str = "synthetic", heterogeneity: float = 1.0, features: int = 20, classes: int = 5,
                 split: str = "dirichlet", concentration: float = 1.0, batch: int = 0, val_batch: int = 0,
                 n_train: int = 0, n_validation: int = 0, path: str = "") -> None:
        if data == "synthetic":
            share = _synthetic(agent, n_agents, seed, heterogeneity, features, classes, n_train or 2000,
                               n_validation or 1000, xp, dtype)
        else:
            share = share_of(data, agent, n_agents, seed=seed, split=split, concentration=concentration,
                             n_train=n_train, n_validation=n_validation, xp=xp, dtype=dtype, path=path)
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, share=share, bias=False, batch=batch,
                         val_batch=val_batch)
        self.shape = self.train.X.shape[1], share.classes
        self.dims, self.scale = (self.shape[0], self.classifier.q), 1 / self.classifier.q

    def start(self) -> tuple[Any, Any]:
        p, q = self.dims
        return self.xp.zeros(p, dtype=self.dtype), self.xp.zeros(q, dtype=self.dtype)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        part = self._trained(sample)
        return float(self.classifier.losses(y, part.X, part.labels).mean() + self.g_x(x, y, sample).sum())

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._regulariser_xy(x, y, 0.5 * y)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        part = self._trained(sample)
        gradient = self.classifier.grad(y, part.X, part.labels, 1 / len(part))
        gradient += self._regulariser_yy(x, y)
        return gradient

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        part = self._trained(sample)
        product = self.classifier.hvp(y, part.X, part.labels, 1 / len(part), v)
        product += self._regulariser_yy(x, v)
        return product

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._regulariser_xy(x, y, v)

    def _regulariser_yy(self, x: Any, v: Any) -> Any:
        """The regulariser's Hessian times v; at v = y its gradient."""
        return (2 * self.scale * self.xp.exp(x)[:, None] * v.reshape(self.shape)).ravel()

    def _regulariser_xy(self, x: Any, y: Any, v: Any) -> Any:
        """d/dx of (the regulariser's gradient, v); at v = y/2 its gradient in x."""
        return 2 * self.scale * self.xp.exp(x) * (y * v).reshape(self.shape).sum(axis=1)


def _synthetic(agent: int, n_agents: int, seed: int, heterogeneity: float, features: int, classes: int, n_train: int,
               n_validation: int, xp: Any, dtype: Any) -> Share:
    if min(n_train, n_validation) < n_agents or min(features, classes) < 1:
        raise UserError(f"problem: {n_train} training and {n_validation} validation samples of {features} features in "
                        f"{classes} classes do not do for {n_agents} agents; each needs one sample of either at least")
    if heterogeneity < 0:
        raise UserError(f"problem.heterogeneity: {heterogeneity} must not be negative; 0 is no heterogeneity")
    truth = generator(seed, Tag.TRUTH).standard_normal((features, classes))
    rng = generator(seed, Tag.FEATURES, agent)
    mean, deviation = heterogeneity * rng.standard_normal(features), 1 + heterogeneity * agent / n_agents
    scale = 1 + heterogeneity  # keeps the curvature, and so the steps, alike for every heterogeneity

    def samples(size: int) -> Samples:
        X = (mean + deviation * rng.standard_normal((size, features))) / scale
        labels = (X @ truth + 0.1 * rng.standard_normal((size, classes))).argmax(axis=1)
        return Samples(xp.asarray(X, dtype=dtype), xp.asarray(labels))

    sizes = [(n_train + n_agents - 1 - i) // n_agents for i in range(n_agents)]
    own_validation = (n_validation + n_agents - 1 - agent) // n_agents
    return Share(samples(sizes[agent]), samples(own_validation), samples(n_validation // n_agents), classes,
                 sum(sizes[:agent]), n_train)

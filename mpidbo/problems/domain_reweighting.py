"""Domain reweighting: learn from clean validation data which sources of training data to trust."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError, did_you_mean
from .data.shares import Tag, generator, share_of
from .projections import simplex
from .supervised import Supervised


class DomainReweighting(Supervised):
    """f_i = mean validation CE(y),  g_i = sum_m p_m (mean CE_e(y) over own training samples of source m) + mu/2 |y|^2.

    One weight p_m(x) for each of the sources m, p = softmax(x) from equal weights; CE is the cross-entropy of softmax regression with
    parameters y. Every training sample comes from a random source; the last `noisy` ones replace labels at random. An agent
    without samples of a source leaves its term out. (ScaleBiO, Pan et al., arXiv 2406.19976, does so for language models; data and sizes
    here are ours.)

    Options
    -------
    data : "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has brought (such as "mnist"), a folder
        with four IDX files, or a LIBSVM file.
    path : where the files of a named data set lie, if elsewhere.
    sources, noisy : how many sources there are, and how many of them (the last) are noisy; 0 < noisy < sources (UserError).
    corruption : the probability with which a noisy source replaces a label by one of the classes at random (maybe itself).
    weights : "softmax", or "simplex": p = x, projected on the simplex after each iteration.
    mu : weight of |y|^2/2, positive (UserError).
    split, concentration : "dirichlet", "iid" or "class": who gets which samples, in training and validation alike.
    batch, val_batch : samples per draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    n_train, n_validation : samples over all agents; 0 is 1000 and 400 of the digits, 50,000 and 10,000 of images; of a
        LIBSVM file half and a quarter, with a test set three quarters and a quarter.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 1.0, "beta": 0.5, "gamma": 0.5}

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, data: str = "digits", path: str = "",
                 sources: int = 6, noisy: int = 3, corruption: float = 0.8, weights: str = "softmax", mu: float = 1e-2,
                 split: str = "dirichlet", concentration: float = 1.0, batch: int = 0, val_batch: int = 0,
                 n_train: int = 0, n_validation: int = 0) -> None:
        if not 0 < noisy < sources:
            raise UserError(f"problem.noisy: {noisy} of {sources} sources must be noisy, at least one and not all; choose another "
                            "number")
        if not 0 <= corruption <= 1:
            raise UserError(f"problem.corruption: {corruption} is a probability; choose one between 0 and 1")
        if weights not in (kinds := ("softmax", "simplex")):
            raise UserError(f'problem.weights: "{weights}" is unknown; {did_you_mean(weights, kinds)}')
        if mu <= 0:
            raise UserError(f"problem.mu: {mu} leaves g without strong convexity; choose a positive number")
        share = share_of(data, agent, n_agents, seed=seed, split=split, concentration=concentration,
                         n_train=n_train, n_validation=n_validation, xp=xp, dtype=dtype, path=path)
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, share=share, batch=batch, val_batch=val_batch)
        self.dims, self.sources, self.clean, self.mu = (sources, self.classifier.q), sources, sources - noisy, mu
        self.softmax = weights == "softmax"
        if not self.softmax:
            self.project_x = simplex
        rng, labels = generator(seed, Tag.CORRUPTION, agent), self.train.labels
        source = rng.integers(sources, size=len(labels))
        hit = (source >= self.clean) & (rng.random(len(labels)) < corruption)
        labels[:] = xp.where(xp.asarray(hit), xp.asarray(rng.integers(share.classes, size=len(labels))), labels)
        self.source = xp.asarray(source)
        self.scale = xp.asarray(1 / np.bincount(source, minlength=sources).clip(1), dtype=dtype)

    def start(self) -> tuple[Any, Any]:
        """Equal weights, y = 0."""
        p, q = self.dims
        return self.xp.full(p, 0.0 if self.softmax else 1 / p, dtype=self.dtype), self.xp.zeros(q, dtype=self.dtype)

    def _p(self, x: Any) -> Any:
        if not self.softmax:
            return x
        p = self.xp.exp(x - x.max())
        return p / p.sum()

    def _of_samples(self, x: Any, sample: Any) -> Any:
        """The weight of every sample of a draw, (B,): p_m over the agent's samples of source m, times all its samples over B."""
        source = self._sources(sample)
        return (self._p(x) * self.scale)[source] * (len(self.train) / len(source))

    def _sources(self, sample: Any) -> Any:
        return self.source if sample is None or sample[0] is None else self.source[sample[0]]

    def _by_source(self, x: Any, values: Any, sample: Any) -> Any:
        """d/dx of sum_m p_m(x) (mean of the values of source m), (p,); values (B,), one for each sample of the draw."""
        source = self._sources(sample)
        sums = (source == self.xp.arange(self.sources)[:, None]).astype(self.dtype) @ values     # a GPU's bincount adds in any order
        means = sums * self.scale * (len(self.train) / len(source))
        if not self.softmax:
            return means
        p = self._p(x)
        return p * (means - p @ means)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        part = self._trained(sample)
        losses = self.classifier.losses(y, part.X, part.labels)
        return float(self._of_samples(x, sample) @ losses) + self.mu / 2 * float(y @ y)

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        part = self._trained(sample)
        return self._by_source(x, self.classifier.losses(y, part.X, part.labels), sample)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        part = self._trained(sample)
        return self.classifier.grad(y, part.X, part.labels, self._of_samples(x, sample)) + self.mu * y

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        part = self._trained(sample)
        return self.classifier.hvp(y, part.X, part.labels, self._of_samples(x, sample), v) + self.mu * v

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        part = self._trained(sample)
        return self._by_source(x, self.classifier.jvp(y, part.X, part.labels, v), sample)

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        """test_accuracy: on the agent's equal part of the common test set; clean_weight: the weight of the clean sources, in all."""
        return {**super().metrics(x, y), "clean_weight": float(self._p(x)[:self.clean].sum())}

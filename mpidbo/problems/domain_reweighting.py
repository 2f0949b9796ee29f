"""Domain reweighting: which sources of training data to trust, by clean validation data."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from .._linalg import batched_dot
from .._types import Array, Float
from ..errors import UserError, did_you_mean
from .data.shares import Tag, generator, share_of
from .data.splits import Split
from .projections import simplex
from .samples import Batch
from .stackable import stack
from .supervised import StackedSupervised, Supervised


class DomainReweighting(Supervised):
    """Domain reweighting: a weight for each source of training data, by clean validation data.

        f_i = mean CE_e(y) over own validation samples
        g_i = sum_m p_m(x) (mean CE_e(y) over own training samples of source m) + mu/2 |y|^2

    CE is the cross-entropy of softmax regression with parameters y, and p = softmax(x), from equal
    weights: dims = (sources, parameters).

    Parameters
    ----------
    data : str
        "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has brought (such
        as "mnist"), a folder with four IDX files, or a LIBSVM file.
    path : str
        The files of a named data set, if they are elsewhere.
    sources, noisy : int
        Number of sources, and of those that are noisy (the last ones); 0 < noisy < sources.
    corruption : float
        Probability with which a noisy source replaces a label by a random class, maybe by itself.
    weights : {"softmax", "simplex"}
        "simplex": p = x, projected onto the simplex after each iteration.
    mu : float
        Weight of |y|^2/2, positive.
    split : {"dirichlet", "iid", "class"}
        How training and validation samples alike are split over agents.
    concentration : float
        Of the Dirichlet split; the smaller, the more the agents differ.
    batch, val_batch : int
        Samples in a draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    holdout : float
        Share of each agent's validation samples that f does not see, one at least: holdout_loss and
        holdout_accuracy are taken there.
    n_train, n_validation : int
        Samples over all agents. 0 is 1000 and 400 of the digits, 50,000 and 10,000 of images; of a
        LIBSVM file half and a quarter, with a test set three quarters and a quarter.

    Notes
    -----
    Every training sample comes from a random source. An agent without samples of a source
    leaves its term out. Data and sizes are of this package.

    References
    ----------
    Pan et al., ScaleBiO, arXiv 2406.19976 (the same for language models).
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
        data: str = "digits",
        path: str = "",
        sources: int = 6,
        noisy: int = 3,
        corruption: float = 0.8,
        weights: Literal["softmax", "simplex"] = "softmax",
        mu: float = 1e-2,
        split: Split = "dirichlet",
        concentration: float = 1.0,
        batch: int = 0,
        val_batch: int = 0,
        holdout: float = 0.0,
        n_train: int = 0,
        n_validation: int = 0,
    ) -> None:
        if not 0 < noisy < sources:
            raise UserError(
                f"problem.noisy: {noisy} of {sources} sources must be noisy, at least one and not "
                "all; choose another number"
            )
        if not 0 <= corruption <= 1:
            raise UserError(
                f"problem.corruption: {corruption} is a probability; choose one between 0 and 1"
            )
        kinds = ("softmax", "simplex")
        if weights not in kinds:
            raise UserError(
                f'problem.weights: "{weights}" is unknown; {did_you_mean(weights, kinds)}'
            )
        if mu <= 0:
            raise UserError(
                f"problem.mu: {mu} leaves g without strong convexity; choose a positive number"
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
            batch=batch,
            val_batch=val_batch,
            holdout=holdout,
        )
        self.dims = sources, self.classifier.q
        self.sources, self.clean, self.mu = sources, sources - noisy, mu
        self.softmax = weights == "softmax"
        if not self.softmax:
            self.project_x = simplex
        rng, labels = generator(seed, Tag.CORRUPTION, agent), self.train.labels
        source = rng.integers(sources, size=len(labels))
        hit = (source >= self.clean) & (rng.random(len(labels)) < corruption)
        random_labels = rng.integers(share.classes, size=len(labels))
        labels[:] = xp.where(xp.asarray(hit), xp.asarray(random_labels), labels)
        self.source = xp.asarray(source)
        self.scale = xp.asarray(1 / np.bincount(source, minlength=sources).clip(1), dtype=dtype)

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        """Equal weights, y = 0."""
        p, q = self.dims
        x = self.xp.full(p, 0.0 if self.softmax else 1 / p, dtype=self.dtype)
        return x, self.xp.zeros(q, dtype=self.dtype)

    def _p(self, x: Any) -> Any:
        return self._alone.p(x[None])[0]

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        batch = self._trained(sample)
        losses = self.classifier.losses(y[None], batch)
        weights = self._alone.weights(x[None], batch)
        return float(weights @ losses) + self.mu / 2 * float(y @ y)

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> Mapping[str, float]:
        """Those of `Sampled`, and clean_weight.

        clean_weight: the weight of the clean sources, in all.
        """
        return {**super().metrics(x, y), "clean_weight": float(self._p(x)[: self.clean].sum())}

    @classmethod
    def stack(cls, agents: "list[DomainReweighting]") -> "StackedDomains":
        return StackedDomains(agents)


class StackedDomains(StackedSupervised):
    """The oracles of several agents."""

    def __init__(self, agents: list[DomainReweighting]) -> None:
        super().__init__(agents)
        one, xp = agents[0], self.xp
        self.sources, self.softmax, self.mu = one.sources, one.softmax, one.mu
        self.scale = stack(xp, agents, "scale")
        self._source = xp.concatenate([agent.source for agent in agents])
        self._sizes = np.array([len(agent.train) for agent in agents])

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        batch = self.train(samples)
        return self._by_source(x, self.classifier.losses(y, batch), batch)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch = self.train(samples)
        return self.classifier.grad(y, batch, self.weights(x, batch)) + self.mu * y

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch = self.train(samples)
        return self.classifier.hvp(y, batch, self.weights(x, batch), v) + self.mu * v

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        batch = self.train(samples)
        return self._by_source(x, self.classifier.jvp(y, batch, v), batch)

    def p(self, x: Float[Array, "m p"]) -> Float[Array, "m p"]:
        """Return the weights of the sources."""
        if not self.softmax:
            return x
        p = self.xp.exp(x - x.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def weights(self, x: Float[Array, "m p"], batch: Batch) -> Float[Array, " N"]:
        """Return the weight of every sample.

        It is p_m over the number of the agent's samples of source m, times all its samples over B.
        """
        of_source = batch.rows.spread(self.p(x) * self.scale)
        own = of_source[self.xp.arange(len(batch.labels)), self._source[batch.places]]
        return own * batch.rows.spread(self._parts(batch))[:, 0]

    def _parts(self, batch: Batch) -> Any:
        """All samples of an agent over those of the draw, (m, 1)."""
        parts = self._sizes / np.array(batch.rows.sizes)
        return self.xp.asarray(parts[:, None], dtype=self.dtype)

    def _by_source(self, x: Any, values: Any, batch: Batch) -> Any:
        """d/dx of sum_m p_m(x) (mean of the values of source m), (m, p); values (N,)."""
        means = self._sums(values, batch) * self.scale * self._parts(batch)
        if not self.softmax:
            return means
        p = self.p(x)
        return p * (means - batched_dot(p, means))

    def _sums(self, values: Any, batch: Batch) -> Any:
        """The sums of the values of every source, (m, p), values (N,)."""
        # Not bincount, which adds in any order on a GPU.
        is_of_source = self._source[batch.places] == self.xp.arange(self.sources)[:, None]
        return batch.rows.columns_times(is_of_source.astype(self.dtype), values)

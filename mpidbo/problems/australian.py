"""The ridge of a classifier with the sigmoid loss, on the Australian credit records.

Gossip-DSBO's experiment.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from .._types import Array, Float
from ..errors import UserError, did_you_mean
from .data.shares import share_of
from .data.splits import Split
from .projections import box
from .samples import Batch, StackedSamples
from .supervised import Sampled


class Australian(Sampled):
    """The ridge of a classifier with the sigmoid loss, on the Australian credit records by default.

        f_i = mean of l(b_e a_e'y) over own validation samples
        g_i = mean of l(b_e a_e'y) over own training samples + 1/2 sum_j w(x_j) y_j^2

    Labels b_e are 1 and -1, l(u) = 1/(1 + exp(u)) is the sigmoid loss, which is not convex; x and y
    have one entry for each feature: dims = (features, features).

    Parameters
    ----------
    data : str
        The name of a data set of two classes that `mpidbo data fetch` has brought ("australian",
        "a9a", "ijcnn1", ...), or a LIBSVM file.
    path : str
        The files of a named data set, if they are elsewhere.
    ridge : {"exp", "floor"}
        "exp": w = exp(x_j), x starts at 0. "floor": w = x_j, projected onto x_j >= floor after each
        iteration, x starts at 1.
    floor : float
        Of ridge = "floor", positive.
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
        Samples over all agents. 0 is half and a quarter, with a test set three quarters and a
        quarter.

    Notes
    -----
    In the paper w(x_j) = x_j, which nothing keeps positive; here `ridge` chooses one of two
    ways. The curvature of the first term of g_i is at least -0.0963 times the largest eigenvalue of
    the mean of a_e a_e', so that g_i is strongly convex in y where every w(x_j) is more than that,
    and may not be elsewhere.

    References
    ----------
    Yang, Zhang, Wang, Gossip-DSBO, NeurIPS 2022, arXiv 2206.10870 (with n = 5, 10, 20, 100).
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
        data: str = "australian",
        path: str = "",
        ridge: Literal["exp", "floor"] = "exp",
        floor: float = 0.1,
        split: Split = "iid",
        concentration: float = 1.0,
        batch: int = 0,
        val_batch: int = 0,
        holdout: float = 0.0,
        n_train: int = 0,
        n_validation: int = 0,
    ) -> None:
        kinds = ("exp", "floor")
        if ridge not in kinds:
            raise UserError(f'problem.ridge: "{ridge}" is unknown; {did_you_mean(ridge, kinds)}')
        if floor <= 0:
            raise UserError(
                f"problem.floor: {floor} would leave the ridge without strong convexity; choose a "
                "positive number"
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
        if share.classes != 2:
            raise UserError(
                f"problem.data: {path or data} has {share.classes} classes; take a set of two"
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
        self.exponential, self.floor = ridge == "exp", floor
        self.dims = (self.train.X.shape[1],) * 2
        if ridge == "floor":
            self.project_x = self._above_floor

    def _above_floor(self, x: Any) -> Any:
        return box(x, low=self.floor)

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        p, q = self.dims
        x = self.xp.full(p, 0.0 if self.exponential else 1.0, dtype=self.dtype)
        return x, self.xp.zeros(q, dtype=self.dtype)

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        weights, _ = self._alone.weights(x)
        return self._loss_on(self._trained(sample), x, y) + float(weights @ (y * y)) / 2

    def _loss_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        _, t = self._alone.halves(y[None], batch)
        return float((1 - t).mean()) / 2

    def _accuracy_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        return float(((batch.X @ y > 0) == (batch.labels == 1)).mean())

    @classmethod
    def stack(cls, agents: "list[Australian]") -> "StackedCredit":
        return StackedCredit(agents)


class StackedCredit(StackedSamples):
    """The oracles of several agents."""

    def __init__(self, agents: list[Australian]) -> None:
        super().__init__(agents)
        self.exponential = agents[0].exponential

    def halves(self, y: Float[Array, "m q"], batch: Batch) -> tuple[Array, Array]:
        """Return (b_e, t) with t = tanh(u_e/2), of every sample.

        With it l = (1 - t)/2, l' = -(1 - t^2)/4 and l'' = t (1 - t^2)/4.
        """
        signs = (2 * batch.labels - 1).astype(self.dtype)
        return signs, self.xp.tanh(signs * self._along(y, batch) / 2)

    def weights(self, x: Array) -> tuple[Array, Array]:
        """Return (w(x), w'(x))."""
        if not self.exponential:
            return x, self.xp.ones_like(x)
        w = self.xp.exp(x)
        return w, w

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.xp.zeros_like(x)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self._gradient(y, self.validation(samples))

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.weights(x)[1] * y * y / 2

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self._gradient(y, self.train(samples)) + self.weights(x)[0] * y

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        batch = self.train(samples)
        _, t = self.halves(y, batch)
        curvature = t * (1 - t * t) * self._along(v, batch) / (4 * batch.rows.counts(self.dtype))
        return self._features_times(curvature, batch) + self.weights(x)[0] * v

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.weights(x)[1] * y * v

    def _gradient(self, y: Any, batch: Batch) -> Any:
        signs, t = self.halves(y, batch)
        return self._features_times(
            signs * (t * t - 1) / (4 * batch.rows.counts(self.dtype)), batch
        )

    def _along(self, v: Any, batch: Batch) -> Any:
        """a_e'v of every sample, (N,)."""
        return batch.rows.times(batch.X, v[:, :, None])[:, 0]

    def _features_times(self, values: Any, batch: Batch) -> Any:
        """The sum of a_e times its value of each agent, (m, q)."""
        out = self.xp.empty((len(batch.rows.sizes), batch.X.shape[1], 1), dtype=values.dtype)
        batch.rows.transposed_times(batch.X, values[:, None], out)
        return out[:, :, 0]

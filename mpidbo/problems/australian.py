"""Gossip-DSBO's experiment: the ridge of a classifier with the sigmoid loss, on the Australian credit records."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError, did_you_mean
from .data.shares import Samples, share_of
from .projections import box
from .supervised import Sampled


class Australian(Sampled):
    """f_i = mean of l(b_e a_e'y) over own validation samples,  g_i = the same over own training samples + 1/2 sum_j w(x_j) y_j^2.

    Labels b_e are 1 and -1, l(u) = 1/(1 + exp(u)) is the sigmoid loss, which is not convex, x and y have one entry per feature.
    (Gossip-DSBO, Yang, Zhang, Wang, NeurIPS 2022, with n = 5, 10, 20, 100.) There w(x_j) = x_j, which nothing keeps positive; here
    `ridge` chooses one of two ways. The curvature of the first term of g_i is at least -0.0963 times the largest eigenvalue of the mean of
    a_e a_e', so that g_i is surely strongly convex in y where every w(x_j) is more than that, and may not be elsewhere.

    Options
    -------
    data : the name of a set of two classes that `mpidbo data fetch` has brought ("australian", "a9a", "ijcnn1", ...), or a LIBSVM file.
    path : where the files of a named set lie, if elsewhere.
    ridge : "exp": w = exp(x_j), x starts at 0; "floor": w = x_j, projected on x_j >= floor after each iteration, x starts at 1.
    floor : of ridge = "floor", positive (UserError).
    split, concentration : "iid", "dirichlet" or "class": who gets which samples, in training and validation alike.
    batch, val_batch : samples per draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    n_train, n_validation : samples over all agents; 0 is half and a quarter, with a test set three quarters and a quarter.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 1.0, "beta": 0.5, "gamma": 0.5}

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, data: str = "australian",
                 path: str = "", ridge: str = "exp", floor: float = 0.1, split: str = "iid", concentration: float = 1.0,
                 batch: int = 0, val_batch: int = 0, n_train: int = 0, n_validation: int = 0) -> None:
        if ridge not in (kinds := ("exp", "floor")):
            raise UserError(f'problem.ridge: "{ridge}" is unknown; {did_you_mean(ridge, kinds)}')
        if floor <= 0:
            raise UserError(f"problem.floor: {floor} would leave the ridge without strong convexity; choose a positive number")
        share = share_of(data, agent, n_agents, seed=seed, split=split, concentration=concentration,
                         n_train=n_train, n_validation=n_validation, xp=xp, dtype=dtype, path=path)
        if share.classes != 2:
            raise UserError(f"problem.data: {path or data} has {share.classes} classes; take a set of two")
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, share=share, batch=batch, val_batch=val_batch)
        self.exponential, self.floor = ridge == "exp", floor
        self.dims = (self.train.X.shape[1],) * 2
        if ridge == "floor":
            self.project_x = self._above_floor

    def _above_floor(self, x: Any) -> Any:
        return box(x, low=self.floor)

    def start(self) -> tuple[Any, Any]:
        p, q = self.dims
        return self.xp.full(p, 0.0 if self.exponential else 1.0, dtype=self.dtype), self.xp.zeros(q, dtype=self.dtype)

    def _halves(self, y: Any, part: Samples) -> tuple[Any, Any]:
        """(b_e, tanh(u_e/2)), with which l = (1 - tanh)/2, l' = -(1 - tanh^2)/4 and l'' = tanh (1 - tanh^2)/4."""
        signs = (2 * part.labels - 1).astype(self.dtype)
        return signs, self.xp.tanh(signs * (part.X @ y) / 2)

    def _loss(self, y: Any, part: Samples) -> float:
        return float((1 - self._halves(y, part)[1]).mean()) / 2

    def _gradient(self, y: Any, part: Samples) -> Any:
        signs, t = self._halves(y, part)
        return part.X.T @ (signs * (t * t - 1) / (4 * len(part)))

    def _weights(self, x: Any) -> tuple[Any, Any]:
        """(w(x), w'(x))."""
        if not self.exponential:
            return x, self.xp.ones_like(x)
        w = self.xp.exp(x)
        return w, w

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return self._loss(y, self._validated(sample))

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._gradient(y, self._validated(sample))

    def g(self, x: Any, y: Any, sample: Any) -> float:
        return self._loss(y, self._trained(sample)) + float(self._weights(x)[0] @ (y * y)) / 2

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._weights(x)[1] * y * y / 2

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._gradient(y, self._trained(sample)) + self._weights(x)[0] * y

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        part = self._trained(sample)
        _, t = self._halves(y, part)
        return part.X.T @ (t * (1 - t * t) * (part.X @ v) / (4 * len(part))) + self._weights(x)[0] * v

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._weights(x)[1] * y * v

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        """test_accuracy: on the agent's equal part of the common test set."""
        return {"test_accuracy": float(((self.test.X @ y > 0) == (self.test.labels == 1)).mean())}

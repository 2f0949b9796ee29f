"""Few-shot meta-learning: features that all tasks share, and a head for each task."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .data.shares import Tag, generator
from .draws import PerDraw, as_rows
from .stackable import Stackable


class MetaLearning(Stackable):
    """Few-shot meta-learning: features that all tasks share, and a head for each task.

        f_i = mean over own tasks t of |A F y_t - b|^2/(2Q)
        g_i = sum over own tasks t of |A F y_t - b|^2/(2S) + ridge/2 |y_t|^2

    x holds the features F (dim, features) in C order, y a head y_t of `features` entries for every
    task of ALL agents, in agent order, of which g_i touches the agent's own:
    dims = (dim features, agents tasks features).

    Parameters
    ----------
    dim, features : int
        Dimensions of an input and of a head, features <= dim.
    tasks : int
        Tasks of each agent.
    shots, queries : int
        S and Q, the samples of each task in g_i and f_i.
    heterogeneity : float
        How much the agents' tasks differ in kind, h.
    noise : float
        Standard deviation of the targets' noise.
    ridge : float
        Weight of |y_t|^2/2, positive.
    batch : int
        Own tasks in a draw, all different; 0, or no fewer than tasks, is the full batch.

    Notes
    -----
    g_i has only S shots for each task, fewer than dim: without good features no head fits. Inputs A
    are standard normal; b = A F* c_t + noise e, with a common F* of orthonormal columns and
    c_t ~ N(h m_i, I), m_i and e standard normal. Sizes and the distribution of the data are of this
    package.

    References
    ----------
    Tripuraneni, Jin, Jordan, Provable meta-learning of linear representations, ICML 2021.
    Zhu et al., SPARKLE, NeurIPS 2024, appendix D.4 (the bilevel form, also that of ANIL).
    """

    thread_safe: ClassVar[bool] = True

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        dim: int = 10,
        features: int = 3,
        tasks: int = 5,
        shots: int = 5,
        queries: int = 15,
        heterogeneity: float = 1.0,
        noise: float = 0.1,
        ridge: float = 0.1,
        batch: int = 0,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if not 0 < features <= dim:
            raise UserError(
                f"problem.features: {features} must lie between 1 and dim = {dim}; take fewer, or "
                "a larger dim"
            )
        if min(tasks, shots, queries) < 1 or batch < 0:
            raise UserError(
                f"problem: {tasks} tasks, {shots} shots, {queries} queries must all be positive, "
                f"batch = {batch} not negative; choose larger numbers"
            )
        if ridge <= 0:
            raise UserError(
                f"problem.ridge: {ridge} leaves g without strong convexity; choose a positive "
                "number"
            )
        self.dtype, self.tasks, self.features = dtype, tasks, features
        self.ridge, self.batch = ridge, batch
        self.dims = dim * features, n_agents * tasks * features
        truth = np.linalg.qr(generator(seed, Tag.TRUTH).standard_normal((dim, features)))[0]
        rng = generator(seed, Tag.FEATURES, agent)
        kind = heterogeneity * rng.standard_normal(features)
        heads = kind + rng.standard_normal((tasks, features))

        def drawn(size: int) -> tuple[Any, Any]:
            """(inputs, targets) of shapes (tasks, size, dim) and (tasks, size, 1)."""
            A = rng.standard_normal((tasks, size, dim))
            b = A @ (truth @ heads.T).T[:, :, None] + noise * rng.standard_normal((tasks, size, 1))
            return xp.asarray(A, dtype=dtype), xp.asarray(b, dtype=dtype)

        self.truth = xp.asarray(truth, dtype=dtype)
        self.support, self.query = drawn(shots), drawn(queries)

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        """Random features of size 1, the same on every agent; y = 0."""
        p, q = self.dims
        F = generator(self.seed, Tag.START).standard_normal(p) / np.sqrt(p / self.features)
        return self.xp.asarray(F, dtype=self.dtype), self.xp.zeros(q, dtype=self.dtype)

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return float(self._alone.losses("query", x[None], y[None], [sample])[0].mean())

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        own = self._alone.heads(y[None], [sample])[0]
        losses = self._alone.losses("support", x[None], y[None], [sample])[0]
        return float((losses.sum() + self.ridge / 2 * (own * own).sum()) * (self.tasks / len(own)))

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> Mapping[str, float]:
        """representation_distance: the sine of the largest angle between the spans of F and F*.

        It is 0 when x has found the features.
        """
        Q = self.xp.linalg.qr(x.reshape(self.truth.shape))[0]
        distance = self.xp.linalg.norm(self.truth - Q @ (Q.T @ self.truth), 2)
        return {"representation_distance": float(distance)}

    @classmethod
    def stack(cls, agents: "list[MetaLearning]") -> "Tasks":
        return Tasks(agents)


class Tasks:
    """The oracles of several agents.

    Arrays (m, tasks of the draw, ...), each task a product of its own.
    """

    def __init__(self, agents: list[MetaLearning]) -> None:
        one = agents[0]
        self.xp, self.ridge, self.tasks, self.features = one.xp, one.ridge, one.tasks, one.features
        self.batch = one.batch
        self.dim, self.rows = one.truth.shape[0], self.xp.arange(len(agents))[:, None]
        self.first = self.xp.asarray([agent.agent * agent.tasks for agent in agents])[:, None]
        self.data = {
            part: tuple(
                self.xp.stack([getattr(agent, part)[i] for agent in agents]) for i in (0, 1)
            )
            for part in ("support", "query")
        }

        self._own = PerDraw(self._chosen)
        """The tasks of the draw of each agent's own, (m, tasks)."""

    def draw(self, rngs: Iterable[np.random.Generator]) -> Any:
        """Return the numbers of own tasks of each agent, (m, batch); None for all tasks."""
        if not 0 < self.batch < self.tasks:
            return [None] * len(self.rows)
        chosen = [rng.choice(self.tasks, self.batch, replace=False) for rng in rngs]
        return self.xp.asarray(np.stack(chosen))

    def _chosen(self, samples: Any) -> Any:
        if samples[0] is None:
            return self.xp.arange(self.tasks)[None]
        return as_rows(self.xp, samples)

    def heads(self, y: Any, samples: list[Any]) -> Any:
        """Own heads of the tasks of the draw, (m, tasks, features)."""
        return y.reshape(len(y), -1, self.features)[self.rows, self.first + self._own(samples)]

    def _placed(self, like: Any, values: Any, samples: list[Any]) -> Any:
        """Values (m, tasks, features) in the places of their heads, zero elsewhere: (m, q)."""
        out = self.xp.zeros_like(like).reshape(len(like), -1, self.features)
        out[self.rows, self.first + self._own(samples)] = values
        return out.reshape(like.shape)

    def _fit(self, part: str, x: Any, y: Any, samples: list[Any]) -> tuple[Any, Any, Any, Any]:
        """(A, A F, residuals A F y_t - b, heads as columns) of the tasks of the draw."""
        own = self._own(samples)
        A, b = (data[self.rows, own] for data in self.data[part])
        AF = A @ x.reshape(len(x), 1, self.dim, self.features)
        heads = self.heads(y, samples)[..., None]
        return A, AF, AF @ heads - b, heads

    def losses(self, part: str, x: Any, y: Any, samples: list[Any]) -> Any:
        """Half the mean square of the residuals of each task, (m, tasks)."""
        return (self._fit(part, x, y, samples)[2] ** 2).mean(axis=(2, 3)) / 2

    def _slope_x(self, part: str, x: Any, y: Any, samples: list[Any]) -> Any:
        A, _, e, heads = self._fit(part, x, y, samples)
        return (_T(A) @ e @ _T(heads)).sum(axis=1).reshape(x.shape) / A.shape[2]

    def _slope_y(self, part: str, x: Any, y: Any, samples: list[Any]) -> Any:
        A, AF, e, _ = self._fit(part, x, y, samples)
        return (_T(AF) @ e)[..., 0] / A.shape[2]

    def _share(self, samples: list[Any]) -> float:
        """All own tasks over those of the draw."""
        return self.tasks / (self.tasks if samples[0] is None else len(samples[0]))

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m p"]:
        return self._slope_x("query", x, y, samples) * (self._share(samples) / self.tasks)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m q"]:
        return self._placed(
            y, self._slope_y("query", x, y, samples) * (self._share(samples) / self.tasks), samples
        )

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m p"]:
        return self._slope_x("support", x, y, samples) * self._share(samples)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m q"]:
        slope = self._slope_y("support", x, y, samples) + self.ridge * self.heads(y, samples)
        return self._placed(y, slope * self._share(samples), samples)

    def g_yy(
        self,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        v: Float[Array, "m q"],
        samples: list[Any],
    ) -> Float[Array, "m q"]:
        A, AF, _, _ = self._fit("support", x, y, samples)
        own = self.heads(v, samples)
        product = (_T(AF) @ (AF @ own[..., None]))[..., 0] / A.shape[2] + self.ridge * own
        return self._placed(y, product * self._share(samples), samples)

    def g_xy(
        self,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        v: Float[Array, "m q"],
        samples: list[Any],
    ) -> Float[Array, "m p"]:
        A, AF, e, heads = self._fit("support", x, y, samples)
        own = self.heads(v, samples)[..., None]
        both = _T(A) @ (AF @ own @ _T(heads) + e @ _T(own))
        return both.sum(axis=1).reshape(x.shape) * (self._share(samples) / A.shape[2])


def _T(matrices: Any) -> Any:
    """The transposes of the last two axes."""
    return matrices.swapaxes(-1, -2)

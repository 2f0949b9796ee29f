"""Hyper-representation: features on which a classifier trained on little data does well."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from ..errors import UserError, shown
from .classifiers import Classifier
from .data.shares import Tag, generator, share_of
from .data.splits import Split
from .samples import Batch, StackedSamples
from .supervised import Sampled


class HyperRepresentation(Sampled):
    """Hyper-representation: features on which a classifier trained on little data does well.

        f_i = mean of CE(h(.; x), y) over own validation samples
        g_i = mean of CE(h(.; x), y) over own training samples + C |y|^2

    CE is the cross-entropy of a ReLU perceptron: x holds all layers but the last, which compute the
    features h, and y the last one, the head, which g_i trains; dims = (their parameters). g_i is
    strongly convex in y.

    Parameters
    ----------
    data : str
        "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has brought (such
        as "mnist"), a folder with four IDX files, or a LIBSVM file.
    path : str
        The files of a named data set, if they are elsewhere.
    hidden : list of int
        Widths of the layers of x; the last is the number of features.
    ridge : float
        The weight C of |y|^2, positive.
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

    References
    ----------
    Ma et al., SUN-DSBO, arXiv 2601.22682 (an experiment of this kind; sizes are of this package).
    """

    thread_safe: ClassVar[bool] = True

    steps: ClassVar[dict[str, float]] = {"alpha": 0.1, "beta": 0.3, "gamma": 0.3}

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
        hidden: Sequence[int] = (20,),
        ridge: float = 1e-2,
        split: Split = "dirichlet",
        concentration: float = 1.0,
        batch: int = 0,
        val_batch: int = 0,
        holdout: float = 0.0,
        n_train: int = 0,
        n_validation: int = 0,
    ) -> None:
        if not hidden or min(hidden) < 1:
            raise UserError(
                f"problem.hidden: {shown(list(hidden))} leaves no features; give the widths of the "
                "layers, such as [20]"
            )
        if ridge <= 0:
            raise UserError(
                f"problem.ridge: {ridge} leaves g without strong convexity; choose a positive "
                "number"
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
        self.classifier = Classifier((self.train.X.shape[1], *hidden, share.classes), xp=xp)
        self.widest, self.ridge = max(self.classifier.sizes[1:]), ridge
        q = (hidden[-1] + 1) * share.classes
        self.dims = self.classifier.q - q, q

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        """He et al.'s random features, the same on every agent; y = 0."""
        p, q = self.dims
        layers = self.classifier.start(generator(self.seed, Tag.START), self.dtype)
        return layers[:p], self.xp.zeros(q, dtype=self.dtype)

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return self._loss_on(self._trained(sample), x, y) + self.ridge * float(y @ y)

    def _layers(self, x: Any, y: Any) -> Any:
        return self.xp.concatenate([x, y])[None]

    def _loss_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        return float(self.classifier.losses(self._layers(x, y), batch).mean())

    def _accuracy_on(self, batch: Batch, x: Float[Array, " p"], y: Float[Array, " q"]) -> float:
        return self.classifier.accuracy(self._layers(x, y), batch)

    @classmethod
    def stack(cls, agents: "list[HyperRepresentation]") -> "StackedRepresentations":
        return StackedRepresentations(agents)


class StackedRepresentations(StackedSamples):
    """The oracles of several agents."""

    def __init__(self, agents: list[HyperRepresentation]) -> None:
        super().__init__(agents)
        one = agents[0]
        self.classifier, self.ridge, self.p = one.classifier, one.ridge, one.dims[0]

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self._slopes(x, y, self.validation(samples))[:, : self.p]

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self._slopes(x, y, self.validation(samples))[:, self.p :]

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self._slopes(x, y, self.train(samples))[:, : self.p]

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self._slopes(x, y, self.train(samples))[:, self.p :] + 2 * self.ridge * y

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self._product(x, y, v, samples)[:, self.p :] + 2 * self.ridge * v

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self._product(x, y, v, samples)[:, : self.p]

    def _joined(self, x: Any, y: Any) -> Any:
        return self.xp.concatenate([x, y], axis=1)

    def _slopes(self, x: Any, y: Any, batch: Batch) -> Any:
        """The gradient of the mean CE in (x, y)."""
        return self.classifier.grad(self._joined(x, y), batch, 1 / batch.rows.counts(self.dtype))

    def _product(self, x: Any, y: Any, v: Any, samples: Any) -> Any:
        """The Hessian of the mean training CE in (x, y) times (0, v)."""
        batch = self.train(samples)
        along = self._joined(self.xp.zeros_like(x), v)
        return self.classifier.hvp(
            self._joined(x, y), batch, 1 / batch.rows.counts(self.dtype), along
        )

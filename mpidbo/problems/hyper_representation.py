"""Hyper-representation: learn features on which a classifier trained on little data does well."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError, shown
from .classifiers import Classifier
from .data.shares import Tag, generator, share_of
from .supervised import Sampled


class HyperRepresentation(Sampled):
    """f_i = mean validation CE(h(.; x), y),  g_i = mean training CE(h(.; x), y) + C |y|^2.

    A ReLU perceptron with the cross-entropy CE of the softmax of its last layer: x holds all layers but the last, which make the
    features h, and y the last one, the head, which g_i trains; g_i is strongly convex in y. (Of the kind of SUN-DSBO's experiment,
    Ma et al., arXiv 2601.22682; sizes are ours.)

    Options
    -------
    data : "digits" (scikit-learn's), the name of a data set that `mpidbo data fetch` has brought (such as "mnist"), a folder
        with four IDX files, or a LIBSVM file.
    path : where the files of a named data set lie, if elsewhere.
    hidden : widths of the layers of x; the last is the number of features.
    ridge : C, positive (UserError).
    split, concentration : "dirichlet", "iid" or "class": who gets which samples, in training and validation alike.
    batch, val_batch : samples per draw, all different, of training and validation; 0 is the full batch, for
        val_batch the same as batch. An agent with no more samples than that takes all of them.
    n_train, n_validation : samples over all agents; 0 is 1000 and 400 of the digits, 50,000 and 10,000 of images; of a
        LIBSVM file half and a quarter, with a test set three quarters and a quarter.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 0.1, "beta": 0.3, "gamma": 0.3}

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, data: str = "digits", path: str = "",
                 hidden: Sequence[int] = (20,), ridge: float = 1e-2, split: str = "dirichlet", concentration: float = 1.0,
                 batch: int = 0, val_batch: int = 0, n_train: int = 0, n_validation: int = 0) -> None:
        if not hidden or min(hidden) < 1:
            raise UserError(f"problem.hidden: {shown(list(hidden))} leaves no features; give the widths of the layers, such as [20]")
        if ridge <= 0:
            raise UserError(f"problem.ridge: {ridge} leaves g without strong convexity; choose a positive number")
        share = share_of(data, agent, n_agents, seed=seed, split=split, concentration=concentration,
                         n_train=n_train, n_validation=n_validation, xp=xp, dtype=dtype, path=path)
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, share=share, batch=batch, val_batch=val_batch)
        self.classifier, self.ridge = Classifier((self.train.X.shape[1], *hidden, share.classes), xp=xp), ridge
        q = (hidden[-1] + 1) * share.classes
        self.dims = self.classifier.q - q, q

    def start(self) -> tuple[Any, Any]:
        """He et al.'s random features, the same on every agent; y = 0."""
        p, q = self.dims
        return self.classifier.start(generator(self.seed, Tag.START), self.dtype)[:p], self.xp.zeros(q, dtype=self.dtype)

    def _joined(self, x: Any, y: Any) -> Any:
        return self.xp.concatenate([x, y])

    def _slopes(self, x: Any, y: Any, part: Any) -> Any:
        """The gradient of the mean CE in (x, y)."""
        return self.classifier.grad(self._joined(x, y), part.X, part.labels, 1 / len(part))

    def _product(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        """The Hessian of the mean training CE in (x, y) times (0, v)."""
        part = self._trained(sample)
        return self.classifier.hvp(self._joined(x, y), part.X, part.labels, 1 / len(part), self._joined(self.xp.zeros_like(x), v))

    def f(self, x: Any, y: Any, sample: Any) -> float:
        part = self._validated(sample)
        return float(self.classifier.losses(self._joined(x, y), part.X, part.labels).mean())

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._slopes(x, y, self._validated(sample))[:x.size]

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._slopes(x, y, self._validated(sample))[x.size:]

    def g(self, x: Any, y: Any, sample: Any) -> float:
        part = self._trained(sample)
        return float(self.classifier.losses(self._joined(x, y), part.X, part.labels).mean()) + self.ridge * float(y @ y)

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self._slopes(x, y, self._trained(sample))[:x.size]

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self._slopes(x, y, self._trained(sample))[x.size:] + 2 * self.ridge * y

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._product(x, y, v, sample)[x.size:] + 2 * self.ridge * v

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._product(x, y, v, sample)[:x.size]

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        """test_accuracy: on the agent's equal part of the common test set."""
        return {"test_accuracy": self.classifier.accuracy(self._joined(x, y), self.test.X, self.test.labels)}

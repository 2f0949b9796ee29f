"""A small network on random samples, for test_jax.py: `losses_jax.py:problem`."""

import jax
import jax.numpy as jnp
import numpy as np

import mpidbo

AGENTS, SAMPLES, CLASSES = 4, 48, 3
rng = np.random.default_rng(0)
X, labels = rng.standard_normal((SAMPLES, 6)), rng.integers(CLASSES, size=SAMPLES)
X[:, 0] += labels
numbers = np.arange(SAMPLES)


class Validation:
    """One agent's clean samples, one at a time."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {"X": X[self.rows[i]], "label": labels[self.rows[i]]}


def losses(y, X, labels):
    z = jnp.tanh(X @ y["first"] + y["bias"]) @ y["last"]
    return -jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1)[:, 0]


def f(x, y, batch):
    return losses(y, batch["X"], batch["label"]).mean()


def g(x, y, batch):
    X, labels, number = batch
    ridge = jnp.exp(x["ridge"][0]) * sum((part**2).sum() for part in jax.tree.leaves(y))
    return (jax.nn.sigmoid(x["weights"][number]) * losses(y, X, labels)).mean() + ridge


def metrics(x, y, batch):
    return {"worst": losses(y, batch["X"], batch["label"]).max()}


def project_x(x):
    return {"weights": x["weights"].clip(-1, 1), "ridge": x["ridge"]}


start = {"weights": np.zeros(SAMPLES), "ridge": [np.float64(-5)]}
net = {
    "first": rng.standard_normal((6, 8)),
    "bias": np.zeros(8),
    "last": rng.standard_normal((8, CLASSES)),
}
parts = mpidbo.split(labels, AGENTS, "dirichlet", seed=1)
problem = mpidbo.from_jax(
    f,
    g,
    start,
    net,
    mpidbo.subsets((X, labels, numbers), parts),
    batch=3,
    val_data=lambda agent: Validation(parts[agent]),
    metrics=metrics,
    project_x=project_x,
    steps={"alpha": 0.5, "beta": 0.05, "gamma": 0.05},
)

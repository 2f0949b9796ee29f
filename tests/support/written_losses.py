"""The two losses of every shipped problem, written once for PyTorch and JAX: functions of x, y
and the problem's own arrays."""

from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

import mpidbo
from mpidbo.problems import PROBLEMS
from mpidbo.problems.lookup import make_problems, problem_class


def torch_words() -> Any:
    import torch
    from torch.nn.functional import cross_entropy

    return SimpleNamespace(
        make=mpidbo.from_torch,
        exp=torch.exp,
        sin=torch.sin,
        sigmoid=torch.sigmoid,
        relu=torch.relu,
        cat=torch.cat,
        softmax=lambda x: torch.softmax(x, 0),
        ce=lambda z, labels: cross_entropy(z, labels, reduction="none"),
    )


def jax_words() -> Any:
    import jax
    import jax.numpy as jnp

    return SimpleNamespace(
        make=mpidbo.from_jax,
        exp=jnp.exp,
        sin=jnp.sin,
        sigmoid=jax.nn.sigmoid,
        relu=jax.nn.relu,
        cat=jnp.concatenate,
        softmax=jax.nn.softmax,
        ce=lambda z, labels: -jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1)[:, 0],
    )


def logits(T, sizes, bias, y, X):
    """A perceptron, its parameters in the order of `Classifier`."""
    at, last = 0, len(sizes) - 2
    for layer, (a, b) in enumerate(pairwise(sizes)):
        z = X @ y[at : at + a * b].reshape(a, b)
        at += a * b
        if bias:
            z, at = z + y[at : at + b], at + b
        X = z if layer == last else T.relu(z)
    return X


def samples(part):
    return part.X, part.labels


def forms(T, problem):
    def f(x, y, d):
        return (
            x @ d["A"] @ x / 2
            + x @ d["C"] @ y
            + y @ d["B"] @ y / 2
            + d["a"] @ x
            + d["b"] @ y
            + d["e"]
        )

    def g(x, y, d):
        return (
            y @ d["H"] @ y / 2
            - y @ (d["P"] @ x + d["c"])
            + x @ d["K"] @ x / 2
            + d["k"] @ x
            + d["o"]
        )

    return f, g, problem.own._asdict()


def quadratic(T, problem):
    def f(x, y, d):
        return (y - d["b"]) @ d["B"] @ (y - d["b"]) / 2 + (x - d["a"]) @ d["A"] @ (x - d["a"]) / 2

    def g(x, y, d):
        return y @ d["H"] @ y / 2 - y @ (d["P"] @ x + d["c"])

    return f, g, {name: getattr(problem, name) for name in "AaBbHPc"}


def linear_regression(T, problem):
    spread = problem.dims[0] * (problem.noise / 2) ** 2 / problem.dims[1]

    def f(x, y, d):
        return ((d[0] @ y - d[1]) ** 2).sum() + spread * y @ y + len(x) * problem.noise**2

    def g(x, y, d):
        return ((d[0] @ y - x) ** 2).sum() + (spread + problem.ridge) * y @ y

    return f, g, (problem.A, problem.b)


def policy_evaluation(T, problem):
    def f(x, y, d):
        return ((d[2] @ x - y) ** 2).mean() / 2 + problem.lam / 2 * x @ x

    return f, residual(T, problem)[1], (*problem._full, problem.features)


def residual(T, problem):
    def f(x, y, d):
        return (y**2).mean() / 2 + problem.lam / 2 * x @ x

    def g(x, y, d):
        return ((y - (d[0] @ x + d[1])) ** 2).sum()

    return f, g, problem._full


def nonconvex_toy(T, problem):
    def f(x, y, s):
        return (
            ((x - problem.a) ** 2).sum()
            + ((y - problem.a - problem.c) ** 2).sum()
            + s[0] @ x
            + s[1] @ y
        )

    def g(x, y, s):
        return problem.amplitude * T.sin(x + y - problem.c).sum() + s[2] @ x + s[3] @ y

    return f, g, problem.linear


def hyper_cleaning(T, problem):
    sizes, own = problem.classifier.sizes, problem.own

    def f(x, y, d):
        X, labels = d["validation"]
        return T.ce(logits(T, sizes, True, y, X), labels).mean()

    def g(x, y, d):
        X, labels = d["train"]
        return (
            T.sigmoid(x[own]) * T.ce(logits(T, sizes, True, y, X), labels)
        ).mean() + problem.ridge * y @ y

    return f, g, {"train": samples(problem.train), "validation": samples(problem.validation)}


def logistic_tuning(T, problem):
    p, c = problem.shape

    def f(x, y, d):
        X, labels = d["validation"]
        return T.ce(X @ y.reshape(p, c), labels).mean()

    def g(x, y, d):
        (X, labels), Y = d["train"], y.reshape(p, c)
        return T.ce(X @ Y, labels).mean() + (T.exp(x)[:, None] * Y**2).sum() / (c * p)

    return f, g, {"train": samples(problem.train), "validation": samples(problem.validation)}


def hyper_representation(T, problem):
    sizes = problem.classifier.sizes

    def f(x, y, d):
        X, labels = d["validation"]
        return T.ce(logits(T, sizes, True, T.cat([x, y]), X), labels).mean()

    def g(x, y, d):
        X, labels = d["train"]
        return T.ce(logits(T, sizes, True, T.cat([x, y]), X), labels).mean() + problem.ridge * y @ y

    return f, g, {"train": samples(problem.train), "validation": samples(problem.validation)}


def domain_reweighting(T, problem):
    sizes = problem.classifier.sizes

    def f(x, y, d):
        X, labels = d["validation"]
        return T.ce(logits(T, sizes, True, y, X), labels).mean()

    def g(x, y, d):
        X, labels = d["train"]
        weights = T.softmax(x) / d["count"]
        return (
            weights[d["source"]] * T.ce(logits(T, sizes, True, y, X), labels)
        ).sum() + problem.mu / 2 * y @ y

    count = np.bincount(problem.source, minlength=problem.sources).clip(1).astype(float)
    return (
        f,
        g,
        {
            "train": samples(problem.train),
            "validation": samples(problem.validation),
            "source": problem.source,
            "count": count,
        },
    )


def australian(T, problem):
    def loss(y, part):
        X, labels = part
        return T.sigmoid(-(2 * labels - 1) * (X @ y)).mean()

    def f(x, y, d):
        return loss(y, d["validation"])

    def g(x, y, d):
        return loss(y, d["train"]) + (T.exp(x) * y**2).sum() / 2

    return f, g, {"train": samples(problem.train), "validation": samples(problem.validation)}


def meta_learning(T, problem):
    own = slice(problem.agent * problem.tasks, (problem.agent + 1) * problem.tasks)

    def half(x, y, part):
        A, b = part
        heads = y.reshape(-1, problem.features)[own]
        return heads, ((A @ x.reshape(-1, problem.features) @ heads[:, :, None] - b) ** 2).mean(
            (1, 2)
        ) / 2

    def f(x, y, d):
        return half(x, y, d["query"])[1].mean()

    def g(x, y, d):
        heads, losses = half(x, y, d["support"])
        return losses.sum() + problem.ridge / 2 * (heads**2).sum()

    return f, g, {"query": problem.query, "support": problem.support}


WRITTEN: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "quadratic": (quadratic, {"p": 3, "q": 7}),
    "hyper-cleaning": (hyper_cleaning, {"model": "mlp", "hidden": [9], "n_train": 200}),
    "logistic-tuning": (logistic_tuning, {}),
    "linear-regression": (linear_regression, {}),
    "policy-evaluation": (policy_evaluation, {"lam": 0.5}),
    "policy-evaluation-residual": (residual, {}),
    "nonconvex-toy": (nonconvex_toy, {"dim": 3, "heterogeneity": 0.5}),
    "australian": (australian, {}),
    "meta-learning": (meta_learning, {}),
    "hyper-representation": (hyper_representation, {"n_train": 200}),
    "domain-reweighting": (domain_reweighting, {"n_train": 200}),
    "minimax": (forms, {}),
    "compositional": (forms, {}),
    "unbounded-dissimilarity": (forms, {}),
}


def agent(words: Any, name: str, i: int = 1, n: int = 3, **more: Any) -> tuple[Any, Any]:
    """Agent i of n, the shipped one and the same by these losses; `more`: options of the shipped
    problem."""
    write, options = WRITTEN[name]
    (problem,) = make_problems(
        problem_class(name), options | more, range(i, i + 1), n, seed=3, dtype=np.dtype("float64")
    )
    f, g, data = write(words, problem)
    return problem, words.make(f, g, *problem.start(), lambda agent: {i: data}[agent])(
        i, n, xp=np, seed=3
    )


assert set(WRITTEN) == set(PROBLEMS)

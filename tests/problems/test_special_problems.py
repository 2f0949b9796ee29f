"""The losses of the special problems are those of their docstrings, written out here once more."""

from typing import Any

import numpy as np
import pytest

from mpidbo.errors import UserError
from mpidbo.problems.australian import Australian
from mpidbo.problems.compositional import Compositional
from mpidbo.problems.domain_reweighting import DomainReweighting
from mpidbo.problems.hyper_representation import HyperRepresentation
from mpidbo.problems.meta_learning import MetaLearning
from mpidbo.problems.minimax import Minimax
from mpidbo.problems.unbounded_dissimilarity import UnboundedDissimilarity


def points(problem: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(d) for d in problem.dims)


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_minimax_is_g_of_minus_f(noise):
    problem = Minimax(1, 3, xp=np, seed=2, p=3, q=4, noise=noise)
    x, y = points(problem)
    sample = problem.draw(np.random.default_rng(3))
    assert (sample is None) == (noise == 0)
    assert problem.g(x, y, sample) == pytest.approx(-problem.f(x, y, sample), rel=1e-12)
    assert np.linalg.eigvalsh(problem.own.A).min() > 0 > np.linalg.eigvalsh(problem.own.B).max()
    a, b = (
        -np.linalg.solve(problem.own.A, problem.own.a),
        -np.linalg.solve(problem.own.B, problem.own.b),
    )
    assert problem.f(a, b, None) == pytest.approx(a @ problem.own.C @ b)


def test_best_answers_of_minimax_are_maxima():
    team = [Minimax(i, 4, xp=np, seed=0) for i in range(4)]
    x = team[0].solution()
    H, P, c = (sum(getattr(agent.own, name) for agent in team) / 4 for name in "HPc")
    y = np.linalg.solve(H, P @ x + c)
    phi = np.mean([agent.f(x, y, None) for agent in team])
    for d in np.random.default_rng(0).standard_normal((20, 5)):
        assert (
            np.mean([agent.f(x, y + d, None) for agent in team])
            < phi
            < np.mean([agent.f(x + d, y, None) for agent in team])
        )


def test_compositional():
    problem = Compositional(1, 3, xp=np, seed=2, p=3, q=4, noise=0.3, lam=0.7)
    x, y = points(problem)
    D, c = problem.own.P / 2, problem.own.c / 2
    h = D @ x + c
    assert problem.g(x, y, None) == pytest.approx((y - h) @ (y - h))
    sample = problem.draw(np.random.default_rng(3))
    xi = sample[-4:] / 2
    assert problem.g_y(x, y, sample) == pytest.approx(2 * (y - h - xi))
    assert problem.g_x(x, y, sample) == pytest.approx(-2 * D.T @ (y - h - xi))
    b = -np.linalg.solve(problem.own.B, problem.own.b)
    assert problem.f(x, y, None) == pytest.approx(
        (y - b) @ problem.own.B @ (y - b) / 2 + 0.35 * (x @ x)
    )


def test_dissimilarity_grows_without_bound():
    team = [UnboundedDissimilarity(i, 4, xp=np, seed=2, dim=3, heterogeneity=2.0) for i in range(4)]
    x, y = points(team[0])
    A, b = team[1].own.A / 2, team[1].own.c
    assert team[1].f(x, y, None) == pytest.approx(x @ A @ x + y @ A @ y)
    assert team[1].g(x, y, None) == pytest.approx((y - x - b) @ (y - x - b) / 2)
    rows = [np.stack([agent.f_x(scale * x, y, None) for agent in team]) for scale in (1, 100)]
    spread = [np.linalg.norm(found[1] - found.mean(axis=0)) for found in rows]
    assert spread[1] == pytest.approx(100 * spread[0]) and spread[0] > 0.1
    assert team[0].solution() == pytest.approx(-sum(agent.own.c for agent in team) / 8)
    assert min(np.linalg.eigvalsh(agent.own.A).min() for agent in team) < 0


def write(path, rng, samples=60, features=4, classes=2):
    X = rng.uniform(-1, 1, (samples, features))
    path.write_text(
        "".join(
            f"{i % classes} "
            + " ".join(f"{j}:{value:.4f}" for j, value in enumerate(row, 1))
            + "\n"
            for i, row in enumerate(X)
        )
    )
    return str(path)


@pytest.mark.parametrize("ridge", ["exp", "floor"])
def test_australian(tmp_path, ridge):
    pytest.importorskip("sklearn")
    data = write(tmp_path / "set", np.random.default_rng(0))
    problem = Australian(1, 3, xp=np, seed=0, data=data, ridge=ridge, floor=0.3)
    x, y = points(problem)
    weights = np.exp(x) if ridge == "exp" else x

    def loss(part):
        return np.mean(
            [
                1 / (1 + np.exp((2 * label - 1) * (a @ y)))
                for a, label in zip(part.X, part.labels, strict=True)
            ]
        )

    assert (len(problem.train), len(problem.validation)) == (10, 5)
    assert problem.f(x, y, None) == pytest.approx(loss(problem.validation))
    assert problem.g(x, y, None) == pytest.approx(loss(problem.train) + weights @ y**2 / 2)
    assert problem.start()[0].tolist() == [0.0 if ridge == "exp" else 1.0] * 4
    assert (problem.project_x is None) == (ridge == "exp")
    if ridge == "floor":
        assert problem.project_x(x).tolist() == [max(entry, 0.3) for entry in x]
    with pytest.raises(UserError, match="has 3 classes; take a set of two"):
        Australian(
            0, 3, xp=np, seed=0, data=write(tmp_path / "three", np.random.default_rng(0), classes=3)
        )


@pytest.mark.parametrize("weights", ["softmax", "simplex"])
def test_domain_reweighting(weights):
    pytest.importorskip("sklearn")
    problem = DomainReweighting(
        1, 3, xp=np, seed=0, n_train=300, weights=weights, sources=4, noisy=1, mu=0.3
    )
    clean = DomainReweighting(
        1, 3, xp=np, seed=0, n_train=300, weights=weights, sources=4, noisy=1, corruption=0.0
    )
    x, y = points(problem)
    p = np.exp(x) / np.exp(x).sum() if weights == "softmax" else x
    losses = problem.classifier.losses(y[None], problem._trained(None))
    mean = [losses[problem.source == m].mean() for m in range(4)]
    assert problem.g(x, y, None) == pytest.approx(p @ mean + 0.15 * y @ y)
    wrong = problem.train.labels != clean.train.labels
    assert set(problem.source[wrong]) == {3} and 0.5 < wrong[problem.source == 3].mean() < 0.95
    assert problem.metrics(x, y)["clean_weight"] == pytest.approx(p[:3].sum())
    start = problem.start()[0]
    assert problem.metrics(start, y)["clean_weight"] == pytest.approx(0.75)
    assert (problem.project_x is None) == (weights == "softmax")


def test_hyper_representation():
    pytest.importorskip("sklearn")
    problem = HyperRepresentation(0, 2, xp=np, seed=0, hidden=(7,), ridge=0.3, n_train=200)
    assert problem.dims == (64 * 7 + 7, 7 * 10 + 10)
    x, y = problem.start()
    y = points(problem)[1]
    features = np.maximum(problem.train.X @ x[:448].reshape(64, 7) + x[448:], 0)
    z = features @ y[:70].reshape(7, 10) + y[70:]
    loss = np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), problem.train.labels])
    assert problem.g(x, y, None) == pytest.approx(loss + 0.3 * y @ y)


def test_meta_learning():
    options = {"dim": 6, "features": 2, "tasks": 3, "shots": 4, "queries": 5}
    problem = MetaLearning(1, 2, xp=np, seed=0, ridge=0.3, **options)
    assert problem.dims == (12, 12)
    x, y = points(problem)
    F, heads = x.reshape(6, 2), y.reshape(6, 2)[3:]

    def losses(part):
        return [
            np.sum((A @ F @ head - b[:, 0]) ** 2) / (2 * len(b))
            for A, b, head in zip(*part, heads, strict=True)
        ]

    assert problem.f(x, y, None) == pytest.approx(np.mean(losses(problem.query)))
    assert problem.g(x, y, None) == pytest.approx(
        np.sum(losses(problem.support)) + 0.15 * np.sum(heads**2)
    )
    exact = MetaLearning(1, 2, xp=np, seed=0, noise=0.0, **options)
    y = np.zeros((6, 2))
    for t, (A, b) in enumerate(zip(*exact.support, strict=True)):
        y[3 + t] = np.linalg.lstsq(A @ exact.truth, b[:, 0], rcond=None)[0]
    assert (
        exact.f(exact.truth.ravel(), y.ravel(), None) < 1e-20
    )  # the true features fit the queries too
    turned = exact.truth @ np.array([[1.0, 2.0], [-1.0, 1.0]])
    assert exact.metrics(turned.ravel(), y.ravel())["representation_distance"] < 1e-7
    assert exact.metrics(x, y.ravel())["representation_distance"] > 0.1

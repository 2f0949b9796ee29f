"""Tuning of a logistic regression: every oracle against central differences, and its data."""

import numpy as np
import pytest

from mpidbo.errors import UserError
from mpidbo.problems.logistic_tuning import LogisticTuning

SMALL = {"n_train": 120, "n_validation": 61, "features": 6, "classes": 4}


def make(agent=0, n_agents=3, seed=3, xp=np, **options):
    return LogisticTuning(agent, n_agents, xp=xp, seed=seed, **SMALL | options)


def slope(function, at, direction, step=1e-5):
    """Fourth-order central difference of function(at + t direction) at t = 0."""
    values = [np.asarray(function(at + t * step * direction)) for t in (-2, -1, 1, 2)]
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)


@pytest.mark.parametrize(
    "options", [{}, {"batch": 6, "val_batch": 9}, {"data": "digits", "batch": 5}], ids=str
)
def test_oracles_against_differences(options):
    if options.get("data") == "digits":
        pytest.importorskip("sklearn")
    problem, rng = make(1, **options), np.random.default_rng(0)
    p, q = problem.dims
    sample = problem.draw(rng)
    x, y, v, dx, dy = (rng.standard_normal(size) for size in (p, q, q, p, q))
    close = {"rel": 1e-6, "abs": 1e-9}
    assert not problem.f_x(x, y, sample).any()
    assert slope(lambda y: problem.f(x, y, sample), y, dy) == pytest.approx(
        problem.f_y(x, y, sample) @ dy, **close
    )
    assert slope(lambda x: problem.g(x, y, sample), x, dx) == pytest.approx(
        problem.g_x(x, y, sample) @ dx, **close
    )
    assert slope(lambda y: problem.g(x, y, sample), y, dy) == pytest.approx(
        problem.g_y(x, y, sample) @ dy, **close
    )
    assert slope(lambda y: problem.g_y(x, y, sample), y, v) == pytest.approx(
        problem.g_yy(x, y, v, sample), **close
    )
    assert slope(lambda x: problem.g_y(x, y, sample) @ v, x, dx) == pytest.approx(
        problem.g_xy(x, y, v, sample) @ dx, **close
    )
    assert dy @ problem.g_yy(x, y, v, sample) == pytest.approx(
        v @ problem.g_yy(x, y, dy, sample), rel=1e-12
    )


def test_losses_are_those_of_the_paper():
    problem, rng = make(), np.random.default_rng(0)
    (p, q), (rows, c) = problem.dims, problem.shape
    assert (p, q, rows, c) == (6, 24, 6, 4)
    x, y = rng.standard_normal(p), rng.standard_normal(q)

    def cross_entropy(part):
        odds = np.exp(part.X @ y.reshape(p, c))
        return np.mean(
            [-np.log(odds[i, label] / odds[i].sum()) for i, label in enumerate(part.labels)]
        )

    ridge = sum(np.exp(x[j]) * y.reshape(p, c)[j, k] ** 2 for j in range(p) for k in range(c)) / (
        c * p
    )
    assert problem.f(x, y, None) == pytest.approx(cross_entropy(problem.validation))
    assert problem.g(x, y, None) == pytest.approx(cross_entropy(problem.train) + ridge)


def test_synthetic_data():
    problems = [make(agent) for agent in range(3)]
    assert [len(problem.train) for problem in problems] == [40, 40, 40]
    assert [len(problem.validation) for problem in problems] == [21, 20, 20]
    assert {len(problem.test) for problem in problems} == {20}
    assert (make(2).train.X == problems[2].train.X).all()
    assert (make(2, seed=4).train.X != problems[2].train.X).all()

    def distance(heterogeneity):
        means = [
            make(agent, heterogeneity=heterogeneity, n_train=3000).train.X.mean(axis=0)
            for agent in range(3)
        ]
        return np.std(means, axis=0).mean()

    assert distance(0.0) < 0.1 < distance(0.5) < distance(2.0)
    with pytest.raises(UserError, match="each needs at least one sample"):
        make(n_agents=62)


def test_single_precision():
    problem, rng = make(batch=8, dtype=np.float32), np.random.default_rng(2)
    sample = problem.draw(rng)
    x, y, v = (
        rng.standard_normal(size).astype(np.float32) for size in (*problem.dims, problem.dims[1])
    )
    for name in ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy"):
        found = getattr(problem, name)(x, y, *((v,) if name in ("g_yy", "g_xy") else ()), sample)
        assert found.dtype == np.float32 and np.isfinite(found).all()


def test_plain_descent_learns():
    problem = make(heterogeneity=0.0, n_train=600)
    x, y = problem.start()
    x -= 5.0
    for _ in range(300):
        y -= 0.5 * problem.g_y(x, y, None)
    assert problem.metrics(x, y)["test_accuracy"] > 0.85

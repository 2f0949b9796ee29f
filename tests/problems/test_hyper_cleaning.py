"""Hyper-cleaning: every oracle against central differences, its own block of x, corruption and
figures of merit."""

import numpy as np
import pytest

from mpidbo.errors import UserError
from mpidbo.problems.classifiers import Classifier
from mpidbo.problems.data.shares import Samples
from mpidbo.problems.hyper_cleaning import HyperCleaning
from mpidbo.problems.samples import Batch

pytest.importorskip("sklearn")
SMALL = {"n_train": 90, "n_validation": 40}
MODELS = {"softmax": {"model": "softmax"}, "mlp": {"model": "mlp", "hidden": [7, 5]}}


def make(agent=0, n_agents=3, seed=3, xp=np, **options):
    return HyperCleaning(agent, n_agents, xp=xp, seed=seed, **SMALL | options)


class Alone(Classifier):
    """The classifier of one agent: y (q,), with X and labels for a batch."""

    def grad(self, y, X, labels, weights):
        return super().grad(y[None], batch(X, labels), weights)[0]

    def hvp(self, y, X, labels, weights, v):
        return super().hvp(y[None], batch(X, labels), weights, v[None])[0]

    def jvp(self, y, X, labels, v):
        return super().jvp(y[None], batch(X, labels), v[None])

    def losses(self, y, X, labels):
        return super().losses(y[None], batch(X, labels))


def batch(X, labels):
    return Batch.of_one(np, Samples(X, labels))


def slope(function, at, direction, step=1e-5):
    """Fourth-order central difference of function(at + t direction) at t = 0."""
    values = [np.asarray(function(at + t * step * direction)) for t in (-2, -1, 1, 2)]
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("batch", [0, 6])
def test_oracles_against_differences(model, batch):
    problem, rng = (
        make(1, batch=batch, val_batch=2 * batch, **MODELS[model]),
        np.random.default_rng(0),
    )
    p, q = problem.dims
    sample = problem.draw(rng)
    assert (sample is None) == (batch == 0)
    x, y, v, dx, dy = (rng.standard_normal(size) for size in (p, q, q, p, q))
    y *= 0.3
    close = {"rel": 1e-6, "abs": 1e-9}
    assert slope(lambda x: problem.f(x, y, sample), x, dx) == pytest.approx(
        problem.f_x(x, y, sample) @ dx, **close
    )
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


@pytest.mark.parametrize("bias", [True, False])
def test_products_from_the_dense_derivatives(bias):
    """The Hessian of the sum, column by column, and the directional derivatives of every sample."""
    net, rng = Alone((4, 6, 3), bias=bias), np.random.default_rng(1)
    y, X, labels, w = (
        rng.standard_normal(net.q),
        rng.standard_normal((5, 4)),
        rng.integers(3, size=5),
        rng.random(5),
    )
    unit = np.eye(net.q)
    hessian = np.array([net.hvp(y, X, labels, w, e) for e in unit])
    each = sum(
        w[i] * np.array([net.hvp(y, X[i : i + 1], labels[i : i + 1], 1.0, e) for e in unit])
        for i in range(5)
    )
    assert hessian == pytest.approx(hessian.T, abs=1e-14) and hessian == pytest.approx(
        each, abs=1e-13
    )
    assert hessian == pytest.approx(
        np.array([slope(lambda y: net.grad(y, X, labels, w), y, e) for e in unit]), abs=1e-8
    )
    jacobian = np.array([net.jvp(y, X, labels, e) for e in unit])
    assert jacobian @ w == pytest.approx(net.grad(y, X, labels, w), abs=1e-14)
    assert net.losses(y, X, labels).shape == (5,)
    assert slope(lambda y: net.losses(y, X, labels), y, unit[2]) == pytest.approx(
        jacobian[2], rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize("model", MODELS)
def test_single_precision_and_arguments(model):
    problem, double = (
        make(batch=8, dtype=dtype, **MODELS[model]) for dtype in (np.float32, np.float64)
    )
    rng = np.random.default_rng(2)
    sample = problem.draw(rng)
    x, y, v = (rng.standard_normal(size) for size in (*problem.dims, problem.dims[1]))
    for name in ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy"):
        arguments = (x, y, v) if name in ("g_yy", "g_xy") else (x, y)
        single = tuple(np.float32(argument) for argument in arguments)
        for argument in single:
            argument.setflags(write=False)
        found, expected = (
            getattr(problem, name)(*single, sample),
            getattr(double, name)(*arguments, sample),
        )
        assert found.dtype == np.float32 and found == pytest.approx(
            expected, rel=1e-3, abs=1e-4 * abs(expected).max()
        )
    assert all(start.dtype == np.float32 for start in problem.start())


def test_only_the_own_block_is_touched():
    problems = [make(agent, batch=5) for agent in range(3)]
    assert [problem.own.start for problem in problems] == [
        0,
        *(problem.own.stop for problem in problems[:-1]),
    ]
    assert {problem.dims[0] for problem in problems} == {problems[-1].own.stop} == {90}
    rng = np.random.default_rng(0)
    x, y, v = (rng.standard_normal(size) for size in (*problems[0].dims, problems[0].dims[1]))
    for problem in problems:
        for sample in (None, problem.draw(rng)):
            for part in (problem.g_x(x, y, sample), problem.g_xy(x, y, v, sample)):
                touched = np.flatnonzero(part)
                assert len(touched) == (len(problem.train) if sample is None else 5)
                assert touched.min() >= problem.own.start and touched.max() < problem.own.stop
        other = np.where(
            (np.arange(90) >= problem.own.start) & (np.arange(90) < problem.own.stop), x, 7.0
        )
        assert (problem.g_y(other, y, None) == problem.g_y(x, y, None)).all()


def test_batches_average_to_the_full_batch():
    problem, rng = make(batch=4), np.random.default_rng(0)
    x, y = (rng.standard_normal(size) for size in problem.dims)
    for name in ("g_x", "g_y", "f_y"):
        oracle = getattr(problem, name)
        draws = np.array([oracle(x, y, problem.draw(rng)) for _ in range(4000)])
        assert abs(draws.mean(axis=0) - oracle(x, y, None)).max() < 6 * draws.std(
            axis=0
        ).max() / np.sqrt(4000)


def test_extreme_weights_neither_overflow_nor_cancel():
    problem = make()
    y = np.random.default_rng(0).standard_normal(problem.dims[1])
    for level in (-2000.0, -40.0, 40.0, 2000.0):
        x = np.full(problem.dims[0], level)
        assert np.isfinite(problem.g(x, y, None)) and np.isfinite(problem.g_x(x, y, None)).all()
        assert (problem.g_x(x, y, None)[problem.own] > 0).all() == (abs(level) < 100)


def test_corruption():
    problems, clean = (
        [make(agent, n_train=1000, corruption=c) for agent in range(3)] for c in (0.3, 0.0)
    )
    wrong = np.concatenate([problem.corrupted for problem in problems])
    assert wrong.mean() == pytest.approx(
        0.3 * 0.9, abs=0.04
    )  # one in ten replacements hits the old label
    assert not any(problem.corrupted.any() for problem in clean)
    for noisy, true in zip(problems, clean, strict=True):
        assert (noisy.train.X == true.train.X).all()
        assert ((noisy.train.labels != true.train.labels) == noisy.corrupted).all()
        assert (noisy.validation.labels == true.validation.labels).all()


def test_data_are_the_same_whoever_builds_them():
    first, _, again = make(2, split="class"), make(0, split="class"), make(2, split="class")
    assert (first.train.X == again.train.X).all() and (
        first.train.labels == again.train.labels
    ).all()
    assert first.own == again.own
    assert len(first.train) < 90, "an agent keeps only its own rows"


def test_start():
    softmax = make()
    assert not any(part.any() for part in softmax.start())
    assert softmax.metrics(*softmax.start())["auc"] == 0.5
    starts = [make(agent, **MODELS["mlp"]).start()[1] for agent in range(2)]
    assert (starts[0] == starts[1]).all() and starts[0].any()
    assert (make(seed=4, **MODELS["mlp"]).start()[1] != starts[0]).any()


def test_metrics():
    from sklearn.metrics import roc_auc_score

    problem, rng = make(), np.random.default_rng(0)
    x, y = problem.start()
    x[problem.own] = np.where(problem.corrupted, -1.0, 1.0)
    assert problem.metrics(x, y)["auc"] == 1
    x = rng.integers(4, size=len(x)).astype(float)
    assert problem.metrics(x, y)["auc"] == pytest.approx(
        roc_auc_score(~problem.corrupted, x[problem.own])
    )
    assert make(corruption=0.0).metrics(x, y).keys() == {"test_accuracy"}
    problems = [make(agent) for agent in range(3)]
    y = rng.standard_normal(len(y))
    whole = np.mean(
        np.concatenate(
            [
                (p.test.X @ y[:640].reshape(64, 10) + y[640:]).argmax(axis=1) == p.test.labels
                for p in problems
            ]
        )
    )
    assert np.mean([p.metrics(x, y)["test_accuracy"] for p in problems]) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "mpl"}, "did you mean mlp"),
        ({"corruption": 1.5}, "problem.corruption: 1.5"),
        ({"batch": -1}, "problem.batch"),
        ({"split": "classes"}, "did you mean class"),
        ({"n_train": 5000}, "do not fit the 1797 samples"),
        ({"n_validation": 1}, "and 1 are not one sample for each of 3 agents"),
        ({"data": "no/such/folder"}, "no/such/folder: no such folder"),
    ],
)
def test_errors(options, words):
    with pytest.raises(UserError, match=words):
        make(**options)


def test_plain_descent_learns_the_digits():
    problem = HyperCleaning(0, 1, xp=np, seed=0, corruption=0.0)
    x, y = problem.start()
    for _ in range(200):
        y -= 2.0 * problem.g_y(x, y, None)
    assert problem.metrics(x, y)["test_accuracy"] > 0.9

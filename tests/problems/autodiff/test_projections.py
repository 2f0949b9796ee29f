"""`project_x` and `project_y` of losses in PyTorch and JAX, on trees."""

from importlib import import_module

import numpy as np
import pytest

import mpidbo
from mpidbo.errors import UserError

N, STEPS = 3, {"alpha": 0.1, "beta": 0.1}


def saddle(framework, **more):
    """min over |x| <= 1/2, max over y >= 0 of |x - a|^2/2 + x'C y - |y - b|^2/2."""
    rng = np.random.default_rng(0)
    data = [
        (rng.standard_normal(3) + 1, rng.standard_normal(2), rng.standard_normal((3, 2)))
        for _ in range(N)
    ]

    def f(x, y, batch):
        a, b, C = batch
        x, (y,) = x["point"], y
        return ((x - a) ** 2).sum() / 2 + x @ C @ y - ((y - b) ** 2).sum() / 2

    def shrunk(x):
        norm = (x["point"] ** 2).sum() ** 0.5
        return {"point": x["point"] * (0.5 / norm if norm > 0.5 else 1)}

    def shrunk_in_jax(x):
        norm = (x["point"] ** 2).sum() ** 0.5
        return {"point": x["point"] * import_module("jax.numpy").minimum(1, 0.5 / norm)}

    if framework == "torch":
        tensor = import_module("torch").tensor
        start, project = tensor([0.1, 0, 0]), shrunk
    else:
        tensor, project = np.array, shrunk_in_jax
        start = np.array([0.1, 0, 0])
    given = {
        "project_x": project,
        "project_y": lambda y: [y[0] * (y[0] > 0)],
        **more,
    }
    make = getattr(mpidbo, f"from_{framework}")
    return make(
        f,
        lambda x, y, batch: -f(x, y, batch),
        {"point": start},
        [tensor([0.0, 0.0])],
        data,
        **given,
    ), data


@pytest.mark.parametrize(
    "framework",
    [pytest.param("torch", marks=pytest.mark.torch), pytest.param("jax", marks=pytest.mark.jax)],
)
def test_a_saddle_point_in_two_sets(framework):
    pytest.importorskip(framework)
    problem, data = saddle(framework)
    result = mpidbo.solve(problem, "gda", agents=N, steps=STEPS, iterations=600, evaluate_every=600)
    a, b, C = (np.mean(part, axis=0) for part in zip(*data, strict=True))
    x, y = np.zeros(3), np.zeros(2)
    for _ in range(3000):
        x, y = x - 0.1 * (x - a + C @ y), (y + 0.1 * (C.T @ x - y + b)).clip(0)
        x *= min(1, 0.5 / np.linalg.norm(x))
    assert np.linalg.norm(x) == pytest.approx(0.5)
    assert np.abs(result.x - x).max() < 1e-6 and np.abs(result.y - y).max() < 1e-6
    assert result.y.min() >= 0 and result.y_tree[0].shape == (2,)
    with pytest.raises(UserError, match="project_y: sparkle takes the derivative"):
        mpidbo.solve(problem, agents=N, iterations=1)


@pytest.mark.torch
def test_a_mistake_in_project_y_is_reported_with_its_name():
    pytest.importorskip("torch")
    problem, _ = saddle("torch", project_y=lambda y: y["weights"])
    with pytest.raises(UserError, match="project_y: agent 0"):
        mpidbo.solve(problem, "gda", agents=N, iterations=1)

"""What a run refuses before it begins: losses of PyTorch and JAX, and their data."""

from typing import Any

import numpy as np
import pytest

import mpidbo

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mpidbo[torch]'")

from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch
N = 40


def tables(samples: int = N, agents: int = 2) -> list[Any]:
    rng = np.random.default_rng(1)
    return [
        (rng.standard_normal((samples, 3)), rng.standard_normal(samples)) for _ in range(agents)
    ]


def f(x: Any, y: Any, batch: Any) -> Any:
    return ((batch[0] @ y - batch[1]) ** 2).mean() + (x**2).sum()


def g(x: Any, y: Any, batch: Any) -> Any:
    return ((batch[0] @ y - batch[1]) ** 2).mean() + torch.exp(x).sum() * (y @ y)


def problem(
    lower: Any = g, upper: Any = f, entries: Any = None, y0: Any = None, **more: Any
) -> Any:
    return mpidbo.from_torch(
        upper,
        lower,
        torch.zeros(1),
        torch.ones(3) if y0 is None else y0,
        tables() if entries is None else entries,
        **more,
    )


def run(given: Any, method: Any = "sparkle-gt", **more: Any) -> Any:
    return mpidbo.solve(
        given,
        method,
        **{"agents": 2, "iterations": 2, "steps": dict.fromkeys(("alpha", "beta", "gamma"), 1e-9)}
        | more,
    )


class Table:
    """A data set; `noise` is added to what is read."""

    def __init__(self, agent: int, noise: float = 0.0, samples: int = N) -> None:
        (self.A, self.b), self.noise = tables(samples)[agent], noise

    def __len__(self) -> int:
        return len(self.b)

    def __getitem__(self, i: int) -> Any:
        return self.A[i] + self.noise * np.random.standard_normal(3), self.b[i]


def net(*layers: Any) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), *layers, nn.Linear(16, 1))


def of_net(x: Any, y: Any, batch: Any) -> Any:
    return ((y(batch[0])[:, 0] - batch[1]) ** 2).mean() + torch.exp(x).sum() * sum(
        (part**2).sum() for part in y.parameters()
    )


def upper_of_net(x: Any, y: Any, batch: Any) -> Any:
    return ((y(batch[0])[:, 0] - batch[1]) ** 2).mean()


def network(*layers: Any, **more: Any) -> Any:
    return problem(of_net, upper_of_net, y0=net(*layers), **more)


class Square(torch.autograd.Function):
    """y'y, whose derivative leaves the graph: the second is lost."""

    @staticmethod
    def forward(ctx: Any, y: Any) -> Any:
        ctx.save_for_backward(y)
        return y @ y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad * 2 * ctx.saved_tensors[0].detach()


class SquareOnce(Square):
    """The same, which PyTorch is told."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        return grad * 2 * ctx.saved_tensors[0]


def changing(x: Any, y: Any, batch: Any) -> Any:
    with torch.no_grad():
        y.data.add_(1.0)
    return g(x, y, batch)


class RunningMean:
    """Keeps an average from call to call."""

    def __init__(self) -> None:
        self.mean = 0.0

    def __call__(self, x: Any, y: Any, batch: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * y.detach().sum()
        return g(x, y, batch) + self.mean * y.sum()


def with_nan(agent: int, row: int) -> list[Any]:
    found = tables()
    found[agent][0][row, 1] = np.nan
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: network(nn.Dropout(0.5)), r"agent 0 returns other numbers .* dropout: net.eval"),
        (
            lambda: network(nn.Dropout(0.1), batch=8),
            r"agent 0 returns other numbers .* dropout: net.eval",
        ),
        (
            lambda: problem(lambda x, y, b: g(x, y + 0.1 * torch.randn(3, dtype=y.dtype), b)),
            "agent 0 returns other numbers",
        ),
        (
            lambda: problem(lambda x, y, b: g(x, y, b) * (1 + 0.1 * np.random.rand())),
            "agent 0 returns other numbers",
        ),
        (lambda: problem(RunningMean()), "agent 0 returns other numbers"),
        (
            lambda: problem(entries=lambda agent: Table(agent, 0.1 * agent), batch=8),
            r"data: a sample of agent 1 is not the same .*augmentation",
        ),
        (
            lambda: problem(entries=lambda agent: Table(agent, 0.1 * agent)),
            r"data: a sample of agent 1 is not the same .*augmentation",
        ),
        (
            lambda: problem(val_data=lambda agent: Table(agent, 0.1), batch=8),
            r"val_data: a sample of agent 0 is not the same .*augmentation",
        ),
        (lambda: problem(changing), r"agent 0 changes y in place"),
        (
            lambda: problem(lambda x, y, b: g(x, y, b) + Square.apply(y)),
            r"g_yy: agent 0 does not return the derivative of g_y in y",
        ),
        (
            lambda: problem(entries=[*tables()[:1], (np.zeros((0, 3)), np.zeros(0))]),
            "data of agent 1: no samples",
        ),
        (
            lambda: problem(val_data=[(np.zeros((0, 3)), np.zeros(0)), *tables()[1:]]),
            "val_data of agent 0: no samples",
        ),
        (
            lambda: problem(entries=lambda agent: Table(agent, samples=N * (1 - agent))),
            "data of agent 1: no samples",
        ),
        (
            lambda: problem(entries=with_nan(1, 17)),
            r"agent 1 is not finite at the start: data, array 0, holds NaN in row 17",
        ),
        (
            lambda: problem(entries=with_nan(1, 17), batch=4),
            r"agent 1 is not finite at the start: data, array 0, holds NaN in row 17",
        ),
        (
            lambda: problem(val_data=with_nan(0, 5), batch=4),
            r"agent 0 is not finite at the start: val_data, array 0, holds NaN in row 5",
        ),
    ],
    ids=range(16),
)
def test_a_mistake_is_refused(given: Any, words: str, dtype: str) -> None:
    with pytest.raises(mpidbo.UserError, match=words):
        run(given(), dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "given",
    [
        problem,
        lambda: problem(batch=8),
        lambda: problem(entries=lambda agent: Table(agent), batch=8),
        lambda: problem(entries=lambda agent: Table(agent)),
        network,
        lambda: network(nn.ReLU()),
        lambda: network(nn.ReLU(), batch=8),
        lambda: network(nn.Dropout(0.5).eval()),
        lambda: network(nn.LeakyReLU()),
        lambda: network(nn.BatchNorm1d(16), nn.ReLU(), batch=8),
        lambda: network(nn.Sigmoid()),
        lambda: network(nn.LayerNorm(16), nn.GELU()),
        lambda: problem(
            lambda x, y, b: torch.relu(1 - b[1] * (b[0] @ y)).mean() + torch.exp(x).sum() * (y @ y)
        ),
        lambda: problem(
            lambda x, y, b: (b[0] @ y - b[1]).abs().mean() + torch.exp(x).sum() * y.abs().sum()
        ),
        lambda: problem(lambda x, y, b: (b[0] * y).max() + torch.exp(x).sum() * (y @ y)),
        lambda: problem(lambda x, y, b: 1e8 * g(x, y, b)),
        lambda: problem(lambda x, y, b: 1e-12 * g(x, y, b)),
        lambda: problem(lambda x, y, b: g(x, y, b) + 1e7),
        lambda: problem(lambda x, y, b: torch.sigmoid(1e4 * g(x, y, b)) + g(x, y, b)),
        lambda: problem(
            upper=lambda x, y, b: (
                (b[0] @ y - torch.nan_to_num(b[1])).square().mean() + (x**2).sum()
            ),
            val_data=[(a, np.where(np.arange(N) == 3, np.nan, b)) for a, b in tables()],
        ),
        lambda: problem(entries=[(*pair, np.zeros((0, 2))) for pair in tables()]),
    ],
    ids=range(21),
)
def test_what_is_right_is_not_refused(given: Any, dtype: str) -> None:
    """Every warning is an error here."""
    for seed in range(3):
        run(given(), dtype=dtype, seed=seed)


def test_a_first_order_method_takes_functions_with_one_derivative() -> None:
    run(problem(lambda x, y, b: g(x, y, b) + Square.apply(y)), "f2sa", steps={})


@pytest.mark.parametrize(
    "given",
    [problem, lambda: problem(batch=8), lambda: network(nn.BatchNorm1d(16), nn.ReLU(), batch=8)],
)
def test_the_run_is_the_same_without_checks(given: Any) -> None:
    found = []
    for checks in ("start", "never"):
        torch.manual_seed(3)
        result = run(
            given(), iterations=5, checks=checks, steps={"alpha": 0.01, "beta": 0.01, "gamma": 0.01}
        )
        found.append((result.x.tobytes(), result.y.tobytes(), torch.rand(1).item()))
    assert found[0] == found[1]

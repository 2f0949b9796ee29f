"""(m) Double loops in PyTorch, beside stocBiO and TorchOpt: whole iterations, with one agent.

    python benchmarks/double_loops.py [hyper-cleaning | logistic | small]

Both sides take the same losses, in PyTorch and float32, and the same numbers of steps and products;
they run in turn, with one thread. Processor time, with an evaluation of both losses on all data
after each block of iterations. With BENCH_REALTIME=1, as root, each has a core for itself.

Hyper-cleaning is that of stocBiO's experiment with MNIST: 20,000 training and 5,000 validation
samples, a linear softmax 785 x 10, batches of 1000, 200 steps on y, and a Neumann series of four
terms. The reference is a plain loop in PyTorch of the same recursion, with batches that are slices
made before the loop; "with graphs" makes a graph for second derivatives in each step on y, as
stocBiO's script does, "bare" only where one is needed. "Drawn" is bare, and draws each batch of a
step on y and copies its rows, as mpidbo does.

The logistic regression has a ridge for each feature, full batches, 10 steps on y and 10 products.
The references are TorchOpt, where it is installed (`pip install torchopt`), with the implicit
gradient by 10 steps of conjugate gradients and with the gradient through the 10 steps ("unrolled"),
and a plain loop with the gradient through the steps.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, linear

import mpidbo
from paired import PAIRS, alone

Work = Callable[[], Any]


def solver(problem: Any, block: int, **steps: Any) -> Work:
    """A block of iterations of MA-DSBO with one agent, and an evaluation."""
    run = mpidbo.Solver(
        problem,
        agents=1,
        topology="complete",
        iterations=10**6,
        evaluate_every=block,
        dtype="float32",
        checks="never",
        **steps,
    )
    next(run)  # the start
    return partial(next, run)


def report(name: str, ours: Work, references: dict[str, Work], block: int) -> None:
    works = {"mpidbo": ours, **references}
    taken: dict[str, list[float]] = {key: [] for key in works}
    for pair in range(PAIRS + 1):
        for key, work in works.items():
            with alone(0):
                began = process_time()
                work()
                seconds = process_time() - began
            if pair:  # the first one warms up
                taken[key].append(seconds / block)
    for key in references:
        ratio = median(a / b for a, b in zip(taken["mpidbo"], taken[key], strict=True))
        print(
            f"(m) {name}: {median(taken['mpidbo']) * 1e3:.2f} ms an iteration; {key} "
            f"{median(taken[key]) * 1e3:.2f} ms, ratio {ratio:.2f}",
            flush=True,
        )


def hyper_cleaning() -> None:
    n, n_val, size, T, Q, eta, beta, ridge = 20_000, 5_000, 1_000, 200, 3, 0.5, 0.1, 1e-3
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.standard_normal((n + n_val, 784), dtype=np.float32))
    labels = torch.from_numpy(rng.integers(0, 10, n + n_val))
    X, b, X_val, b_val = images[:n], labels[:n], images[n:], labels[n:]

    def logits(y: Any, X: Any) -> Any:
        return X @ y[:, :784].T + y[:, 784]

    def f(x: Any, y: Any, batch: Any) -> Any:
        return cross_entropy(logits(y, batch[0]), batch[1])

    def weighted(weights: Any, y: Any, X: Any, b: Any) -> Any:
        losses = cross_entropy(logits(y, X), b, reduction="none")
        return (losses * torch.sigmoid(weights)).mean() + ridge * (y**2).sum()

    def g(x: Any, y: Any, batch: Any) -> Any:
        X, b, numbers = batch
        return weighted(x[numbers], y, X, b)

    start = torch.from_numpy(rng.standard_normal((10, 785), dtype=np.float32)) / 10
    problem = mpidbo.from_torch(
        f,
        g,
        x0=torch.zeros(n),
        y0=start,
        data=[(X, b, torch.arange(n))],
        val_data=[(X_val, b_val)],
        batch=size,
    )
    ours = solver(
        problem,
        1,
        method={"name": "ma-dsbo", "T": T, "N": Q + 1},
        steps={"alpha": 1.0, "beta": beta, "gamma": eta, "theta": 1.0},
    )

    numbers = torch.arange(n)

    def drawn() -> tuple[Any, Any, Any]:
        indices = torch.from_numpy(rng.choice(n, size, replace=False, shuffle=False))
        return tuple(part.index_select(0, indices) for part in (X, b, numbers))

    def plain(has_graphs: bool, is_drawn: bool = False) -> Iterator[None]:
        x, y = torch.zeros(n), start.clone().requires_grad_()
        slices = [slice(i, i + size) for i in range(0, n, size)]
        batches = [(X[part], b[part], part) for part in slices]
        of_val = [(X_val[i : i + size], b_val[i : i + size]) for i in range(0, n_val, size)]

        def slope(y: Any, weights: Any, batch: Any, create_graph: bool) -> Any:
            loss = weighted(weights, y, *batch[:2])
            return torch.autograd.grad(loss, y, create_graph=create_graph)[0]

        while True:
            order = torch.randperm(len(batches)).tolist()
            for t in range(T):
                batch = drawn() if is_drawn else batches[order[t % len(order)]]
                step = slope(y, x[batch[2]], batch, has_graphs)
                y = (y - beta * step).detach().requires_grad_()
            first, other = (batches[number] for number in order[:2])
            batch = of_val[torch.randint(len(of_val), ()).item()]
            v = torch.autograd.grad(f(x, y, batch), y)[0]
            z, part = eta * v, v
            path = y - eta * slope(y, x[first[2]], first, True)
            for _ in range(Q):
                part = torch.autograd.grad(path, y, part, retain_graph=True)[0]
                z = z + eta * part
            weights = x[other[2]].clone().requires_grad_()
            cross = torch.autograd.grad(slope(y, weights, other, True), weights, z)[0]
            x[other[2]] += cross
            with torch.no_grad():
                f(x, y, (X_val, b_val)), g(x, y, (X, b, slice(None)))
            yield

    references = {
        "with graphs, as stocBiO": partial(next, plain(True)),
        "bare": partial(next, plain(False)),
        "drawn": partial(next, plain(False, is_drawn=True)),
    }
    report("hyper-cleaning", ours, references, 1)


def logistic(n: int, d: int, block: int) -> None:
    T, alpha, beta = 10, 0.1, 0.1
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.standard_normal((2 * n, d), dtype=np.float32))
    b = (X @ torch.from_numpy(rng.standard_normal(d, dtype=np.float32)) > 0).float()
    train, valid = (X[:n], b[:n]), (X[n:], b[n:])
    torch.manual_seed(0)
    network = torch.nn.Linear(d, 1)

    def mean_loss(network: Any, batch: Any) -> Any:
        return binary_cross_entropy_with_logits(network(batch[0])[:, 0], batch[1])

    def f(x: Any, y: Any, batch: Any) -> Any:
        return mean_loss(y, batch)

    def g(x: Any, y: Any, batch: Any) -> Any:
        return mean_loss(y, batch) + (torch.exp(x) * y.weight**2).mean()

    problem = mpidbo.from_torch(
        f, g, x0=torch.zeros(d), y0=network, data=[train], val_data=[valid], batch=0
    )
    ours = solver(
        problem,
        block,
        method={"name": "ma-dsbo", "T": T, "N": T},
        steps={"alpha": alpha, "beta": beta, "gamma": beta, "theta": 1.0},
    )

    def value(x: Any, y: tuple[Any, Any], batch: Any) -> Any:
        return binary_cross_entropy_with_logits(linear(batch[0], *y)[:, 0], batch[1])

    def lower(x: Any, y: tuple[Any, Any]) -> Any:
        return value(x, y, train) + (torch.exp(x) * y[0] ** 2).mean()

    def flipped(y: Any, x: Any) -> Any:
        return lower(x, y)

    def unrolled(descend: Callable[[Any, Any], Any]) -> Iterator[None]:
        x = torch.zeros(d, requires_grad=True)
        y = tuple(part.detach().clone() for part in network.parameters())
        while True:
            for _ in range(block):
                y = tuple(part.detach().requires_grad_() for part in y)
                y = descend(x, y)
                slope = torch.autograd.grad(value(x, y, valid), x)[0]
                x = (x - alpha * slope).detach().requires_grad_()
            with torch.no_grad():
                value(x, y, valid), lower(x, y)
            yield

    def plain(x: Any, y: Any) -> Any:
        for _ in range(T):
            slopes = torch.autograd.grad(lower(x, y), y, create_graph=True)
            y = tuple(part - beta * slope for part, slope in zip(y, slopes, strict=True))
        return y

    references = {"plain loop": partial(next, unrolled(plain))}
    try:
        import torchopt
    except ImportError:
        print("(m) logistic: TorchOpt is not installed", flush=True)
    else:
        sgd = torchopt.sgd(lr=beta)

        def by_torchopt(x: Any, y: Any) -> Any:
            state = sgd.init(y)
            for _ in range(T):
                slopes = torch.autograd.grad(lower(x, y), y, create_graph=True)
                updates, state = sgd.update(slopes, state, inplace=False)
                y = torchopt.apply_updates(y, updates, inplace=False)
            return y

        solve = torchopt.linear_solve.solve_cg(maxiter=T)

        @torchopt.diff.implicit.custom_root(torch.func.grad(flipped), argnums=1, solve=solve)
        @torch.enable_grad()
        def implicit(y: Any, x: Any) -> Any:
            x = x.detach()
            for _ in range(T):
                y = tuple(part.detach().requires_grad_() for part in y)
                slopes = torch.autograd.grad(lower(x, y), y)
                y = tuple(part - beta * slope for part, slope in zip(y, slopes, strict=True))
            return tuple(part.detach() for part in y)

        references = {
            "TorchOpt, implicit": partial(next, unrolled(lambda x, y: implicit(y, x))),
            "TorchOpt, unrolled": partial(next, unrolled(by_torchopt)),
            **references,
        }

    report(f"logistic, {n} x {d}", ours, references, block)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {
        "hyper-cleaning": hyper_cleaning,
        "logistic": partial(logistic, 16_000, 123, 10),
        "small": partial(logistic, 1_000, 100, 50),
    }
    for case in sys.argv[1:] or cases:
        cases[case]()

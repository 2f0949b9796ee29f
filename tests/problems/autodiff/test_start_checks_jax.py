"""What a run refuses before it begins: losses of JAX."""

from typing import Any

import numpy as np
import pytest

import mpidbo

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'mpidbo[jax]'")

import jax.numpy as jnp  # noqa: E402

pytestmark = pytest.mark.jax


@jax.custom_vjp
def square(y: Any) -> Any:
    """y'y, whose derivative is a constant to JAX."""
    return y @ y


square.defvjp(lambda y: (y @ y, y), lambda y, c: (2 * c * jax.lax.stop_gradient(y),))


def tables(nan: bool = False) -> list[Any]:
    rng = np.random.default_rng(1)
    found = [(rng.standard_normal((40, 3)), rng.standard_normal(40)) for _ in range(2)]
    if nan:
        found[1][0][7, 1] = np.nan
    return found


def run(extra: Any, dtype: str, entries: Any = None) -> None:
    def f(x: Any, y: Any, batch: Any) -> Any:
        return ((batch[0] @ y - batch[1]) ** 2).mean() + (x**2).sum()

    def g(x: Any, y: Any, batch: Any) -> Any:
        return extra(y, *batch) + jnp.exp(x).sum() * (y @ y)

    problem = mpidbo.from_jax(
        f, g, np.zeros(1), np.ones(3), tables() if entries is None else entries
    )
    mpidbo.solve(
        problem,
        "sparkle-gt",
        iterations=2,
        dtype=dtype,
        steps=dict.fromkeys(("alpha", "beta", "gamma"), 1e-6),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_right_runs_and_the_rest_is_refused(dtype: str) -> None:
    run(lambda y, A, b: jax.nn.relu(1 - b * (A @ y)).mean(), dtype)
    with pytest.raises(
        mpidbo.UserError, match="g_yy: agent 0 does not return the derivative of g_y in y"
    ):
        run(lambda y, A, b: square(y), dtype)
    with pytest.raises(
        mpidbo.UserError,
        match="agent 1 is not finite at the start: data, array 0, holds NaN in row 7",
    ):
        run(lambda y, A, b: (A @ y).mean(), dtype, tables(nan=True))

"""The smallest curvature of the network's lower loss at a point, from g_y alone."""

from contextlib import suppress

import numpy as np

from .._types import Array, Float
from ..parallel import host
from .oracle import Oracle

LANCZOS_STEPS = 12
STEP_POWER = 1 / 3
"""The step of central differences, as a power of the rounding unit."""


def smallest_curvature(oracle: Oracle, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> float:
    """Estimate the smallest eigenvalue of the mean Hessian of g in y; collective.

    Parameters
    ----------
    oracle : Oracle
        The oracles of this rank's agents; the calls made here are not counted.
    x : array of shape (m, p)
        The point, the same row for each agent of this rank.
    y : array of shape (m, q)

    Returns
    -------
    float
        At least the smallest eigenvalue, up to the error of differences, and close to it where few
        others are near; the same on every rank. NaN where g_y is not finite or fails nearby.

    Notes
    -----
    A few Lanczos steps from a random vector, at the mini-batches of the first draw; products with
    the Hessian are central differences of g_y.
    """
    o, agents = oracle.twin().draw(0), oracle.agents
    q = y.shape[1]
    step = np.finfo(y.dtype).eps ** STEP_POWER * (1 + float(np.linalg.norm(host(y)[0])))

    def product(v: Float[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
        shift = (step * v)[None].astype(y.dtype)
        rows = np.full((len(y), q), np.nan)
        with suppress(Exception):  # the other ranks do not wait for an agent that fails
            rows = (host(o.g_y(x, y + shift)) - host(o.g_y(x, y - shift))) / (2 * step)
        return np.asarray(agents.mean(rows), np.float64)

    v = np.random.default_rng(0).standard_normal(q)
    basis = [v / np.linalg.norm(v)]
    images: list[Float[np.ndarray, " q"]] = []
    for _ in range(min(q, LANCZOS_STEPS)):
        images.append(product(basis[-1]))
        if not np.isfinite(images[-1]).all():
            return float("nan")
        V = np.stack(basis)
        rest = images[-1] - V.T @ (V @ images[-1])
        rest -= V.T @ (V @ rest)
        size = float(np.linalg.norm(rest))
        if size <= step * float(np.linalg.norm(images[-1])):
            break
        basis.append(rest / size)
    projected = np.stack(basis[: len(images)]) @ np.stack(images).T
    return float(np.linalg.eigvalsh((projected + projected.T) / 2)[0])

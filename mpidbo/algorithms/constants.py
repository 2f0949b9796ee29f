"""The constants L and mu_g of a method whose configuration leaves them out: estimated once, the same on every rank."""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..errors import UserError
from ..parallel.backend import host
from ..problems.oracle import Oracle
from . import Method

Array = Any

ITERATIONS = 30


def known(method: Method, oracle: Oracle, x: Array, y: Array) -> Method:
    """The method with `L` and `mu_g` filled in where it has them and they are None; x (m, p) and y (m, q) are the start. Collective.

    L is 1.1 times the largest over agents of what 30 power iterations of g_yy give there, full batch; mu_g is L/100.
    Raises UserError where g_yy vanishes or is not finite.
    """
    missing = [field.name for field in fields(method) if field.name in ("L", "mu_g") and getattr(method, field.name) is None]
    if not missing:
        return method
    given = getattr(method, "L", None)
    L = 1.1 * _largest(oracle, x, y) if given is None else given
    return replace(method, **{name: {"L": L, "mu_g": L / 100}[name] for name in missing})


def _largest(oracle: Oracle, x: Array, y: Array) -> float:
    o = oracle.twin().full()       # not counted as the method's calls
    v = np.repeat(np.random.default_rng(0).standard_normal((1, y.shape[1])).astype(y.dtype), len(y), axis=0)
    sizes = np.zeros(len(y))
    for _ in range(ITERATIONS):
        sizes = np.sqrt([float(row @ row) for row in v])
        v = host(o.g_yy(x, y, v / np.where(sizes > 0, sizes, 1)[:, None].astype(v.dtype)))
    sizes = np.sqrt([float(row @ row) for row in v])
    largest = float(oracle.agents.gather(sizes).max())
    if not 0 < largest < np.inf:
        mistake = UserError(f"method.L: g_yy at the start gives {largest:g}, no curvature to scale by; "
                            "give L, the largest curvature of g in y")
        mistake.agreed = True                                                   # every rank knows the same number
        raise mistake
    return largest

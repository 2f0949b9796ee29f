"""FAB: F2SA over a directed graph, whose weights need not be doubly stochastic.

Ma, Wang, Yao, Zhang, arXiv 2605.06328: the penalty method F2SA (mpidbo/algorithms/f2sa.py) with the
strategy `push-pull`,

    D_x = f_x(x, y) + (g_x(x, y) - g_x(x, t)) / mu
    D_y = f_y(x, y) + g_y(x, y) / mu
    D_t = g_y(x, t)

    s+ = A(s - h),    h+ = B h + u+ - u,    h0 = u0        for s = x, y, t, u = step * D

A has rows that sum to one, B has columns that do; every strongly connected directed graph has both.
With a doubly stochastic W for both it is `f2sa` with `semi-gt`.
"""

from dataclasses import dataclass
from typing import ClassVar

from .f2sa import F2sa
from .strategies import STRATEGIES, Strategy


@dataclass(frozen=True, kw_only=True)
class Fab(F2sa):
    """FAB: F2SA with push-pull, for directed graphs.

    Parameters
    ----------
    lower, upper : Strategy, default push-pull
        The strategies of y and t, and of x.
    mu : Schedule, default (k+1)^-0.3333
        The inverse weight of the penalty, positive.
    """

    source: ClassVar[str] = "Ma, Wang, Yao, Zhang, arXiv 2605.06328"

    lower: Strategy = STRATEGIES["push-pull"]
    upper: Strategy = STRATEGIES["push-pull"]

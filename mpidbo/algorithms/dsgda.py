"""DSGDA and DSGDA-GT: F2SA with a constant penalty, plain gossip or gradient tracking.

Wang, Chen, Ma, Zhang, Fully first-order methods for decentralized bilevel optimization, arXiv
2410.19319 (*reconstructed*: F2SA with a constant mu). With 1/mu the weight of the penalty,

    min over (x, y), max over t   f(x, y) + (g(x, y) - g(x, t)) / mu

by descent in (x, y) and ascent in t, all at iterate k and one sample:

    x+ = U-step(x, alpha (f_x(x, y) + (g_x(x, y) - g_x(x, t)) / mu))
    y+ = L-step(y, beta (f_y(x, y) + g_y(x, y) / mu))
    t+ = L-step(t, gamma g_y(x, t))

with the strategy sgd; DSGDA-GT has gt. The bias of x is linear in mu. On a minimax problem, g = -f,
with mu = 1 it is gradient descent-ascent in (x, t), and y stays where it starts.
"""

from dataclasses import dataclass
from typing import ClassVar

from .f2sa import F2sa
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


@dataclass(frozen=True, kw_only=True)
class Dsgda(F2sa):
    """DSGDA, with the strategy gt DSGDA-GT: F2SA whose penalty weight 1/`mu` is constant.

    Parameters
    ----------
    lower, upper : Strategy, default sgd
        The strategies of y and t, and of x.
    mu : Schedule, default 1
        The inverse weight of the penalty, positive.
    """

    source: ClassVar[str] = "Wang, Chen, Ma, Zhang, arXiv 2410.19319 (reconstructed)"

    lower: Strategy = STRATEGIES["sgd"]
    upper: Strategy = STRATEGIES["sgd"]
    mu: Schedule = Power(1.0)
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)

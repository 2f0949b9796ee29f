"""The hypergradient by local Hessians, their inverse a Neumann series cut at a random length.

Ghadimi and Wang, arXiv 1802.02246. With Jt uniform in {0, ..., J-1} and independent samples
xi, zeta_0, ..., zeta_Jt,

    Ft(x, y) = f_x(xi) - g_xy(zeta_0) [(J/L) (I - g_yy(zeta_Jt)/L) ... (I - g_yy(zeta_1)/L) f_y(xi)]

all at (x, y): one sample for both gradients of f, one for g_xy, one for each product. The mean over
Jt and the samples is

    f_x - g_xy H_J f_y,    H_J = (1/L) sum_{j<J} (I - g_yy/L)^j = g_yy^-1 (I - (I - g_yy/L)^J),

which has the inverse as its limit for large J, if no curvature of g_yy reaches 2L. An agent draws
for, and calls, g_yy Jt times.
"""

from dataclasses import dataclass
from typing import ClassVar

from .._fields import Count, Positive
from .._types import Array, Float
from ..problems import Oracle
from .base import Method


@dataclass(frozen=True, kw_only=True)
class Neumann(Method):
    """A method that moves x by Ft, of at most J - 1 products, and y by g_y.

    Parameters
    ----------
    J : int, default 10
        Terms of the Neumann series.
    L : float, optional
        The scale of g_yy, at least its largest eigenvalue; estimated at the start if left out.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    needs = ("g_y", "f_x", "f_y", "g_yy", "g_xy")

    J: Count = 10
    L: Positive | None = None

    def hypergradients(
        self,
        oracle: Oracle,
        k: int,
        phase: int,
        *points: tuple[Float[Array, "m p"], Float[Array, "m q"]],
    ) -> list[Float[Array, "m p"]]:
        """Return Ft at each point (x, y), all at the same Jt and at the samples of these phases.

        Parameters
        ----------
        oracle : Oracle
        k : int
            The iteration.
        phase : int
            The first of the phases from which Jt and the samples are drawn.
        points : tuple of arrays
            (x, y) of shapes (m, p) and (m, q).
        """
        J, L = self.J, self.L
        assert L is not None, "with_estimated_constants fills it in"
        Jt = oracle.integers(k, phase, J)

        o = oracle.draw(k, phase + 1)
        u = [o.f_x(x, y) for x, y in points]
        z = [J / L * o.f_y(x, y) for x, y in points]
        for j in range(Jt.max()):
            o = oracle.draw(k, phase + 3 + j, active=j < Jt)
            z = [v - o.g_yy(x, y, v) / L for v, (x, y) in zip(z, points, strict=True)]
        o = oracle.draw(k, phase + 2)
        return [h - o.g_xy(x, y, v) for h, v, (x, y) in zip(u, z, points, strict=True)]

"""The hypergradient by local Hessians, their inverse a Neumann series cut at a random length.

Ghadimi and Wang, arXiv 1802.02246. With Jt uniform in {0, ..., J-1} and independent samples xi, zeta_0, ..., zeta_Jt,

    Ft(x, y) = f_x(xi) - g_xy(zeta_0) [(J/L) (I - g_yy(zeta_Jt)/L) ... (I - g_yy(zeta_1)/L) f_y(xi)],    all at (x, y):

one sample for both gradients of f, one for g_xy, one for each product. The mean over Jt and the samples is

    f_x - g_xy H_J f_y,    H_J = (1/L) sum_{j<J} (I - g_yy/L)^j = g_yy^-1 (I - (I - g_yy/L)^J),

which is the inverse as J grows, if no curvature of g_yy reaches 2L. An agent draws for, and calls, g_yy Jt times.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..problems.oracle import Oracle
from .base import Array, Method


@dataclass(frozen=True, kw_only=True)
class Neumann(Method):
    """A method that moves x by Ft, of at most J - 1 products, and y by g_y."""

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    needs = ("g_y", "f_x", "f_y", "g_yy", "g_xy")

    J: int = 10
    L: float | None = None

    def hypergradients(self, oracle: Oracle, k: int, phase: int, *points: tuple[Any, Any]) -> list[Array]:
        """Ft (m, p) at each point (x, y), all at the same Jt and samples: those of the phases from `phase` on."""
        J, L = self.J, self.L
        assert L is not None                                        # a plan has seen to it
        Jt = oracle.integers(k, phase, J)

        o = oracle.draw(k, phase + 1)
        u = [o.f_x(x, y) for x, y in points]
        z = [J / L * o.f_y(x, y) for x, y in points]
        for j in range(Jt.max()):
            o = oracle.draw(k, phase + 3 + j, among=j < Jt)
            z = [v - o.g_yy(x, y, v) / L for v, (x, y) in zip(z, points, strict=True)]
        o = oracle.draw(k, phase + 2)
        return [h - o.g_xy(x, y, v) for h, v, (x, y) in zip(u, z, points, strict=True)]

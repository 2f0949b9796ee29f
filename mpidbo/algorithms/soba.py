"""SOBA: SPARKLE in jacobi order over the average of all agents, x by the newest r.

Dagréou et al., NeurIPS 2022; the published code writes v = -z.

    y+ = J(y - beta g_y(x, y))
    z+ = J(z - gamma (g_yy(x, y, z) - f_y(x, y)))
    r+ = (1 - theta) r + theta (f_x(x, y) - g_xy(x, y, z))
    x+ = J(x - alpha r+)
"""

from dataclasses import dataclass
from typing import ClassVar

from .base import Complexity
from .sparkle import Sparkle


@dataclass(frozen=True, kw_only=True)
class Soba(Sparkle):
    """SOBA, as if one machine held all data: SPARKLE over averages, with schedule `jacobi`."""

    source: ClassVar[str] = "Dagréou et al., NeurIPS 2022"
    complexity: ClassVar[Complexity | None] = None

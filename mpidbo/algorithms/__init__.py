"""The methods, each under its name."""

from typing import Any

from .base import Claims, Method
from .dsoba import DSoba
from .single_level import SingleLevel
from .soba import Soba
from .sparkle import Sparkle
from .sun_dsbo import SunDsbo

METHODS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "sparkle": (Sparkle, {}),
    "d-soba": (DSoba, {}),
    "sun-dsbo": (SunDsbo, {}),
    "soba": (Soba, {"lower": "centralized", "upper": "centralized", "schedule": "jacobi"}),
    "single-level": (SingleLevel, {}),
}
"""name -> (rule, the keys that this name fixes)."""

__all__ = ["METHODS", "Claims", "Method"]

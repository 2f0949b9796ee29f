"""Marks of tests that need an optional package."""

from importlib.util import find_spec
from typing import Any

import pytest


def with_sklearn(*problems: tuple[str, dict[str, Any]]) -> list[Any]:
    """Parameters (problem, options) that are skipped where scikit-learn is not installed."""
    mark = pytest.mark.skipif(not find_spec("sklearn"), reason="needs sklearn")
    return [pytest.param(name, options, marks=mark) for name, options in problems]

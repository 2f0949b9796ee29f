"""Stability limits of the strategies: step size times curvature, for an eigenvalue of W.

On quadratics of one curvature L the component along an eigenvector of W with eigenvalue w follows a
recursion of two steps. With a the product of step size and L, its characteristic polynomial is

    extra    r^2 - (2w - a) r + w - a
    gt       r^2 - (2w - w^2 a) r + w^2 - w^2 a
    semi-gt  r^2 - (2w - w a) r + w^2 - w a
    non-gt   r^2 - (2w - a) r + w^2 - a

Its roots are within the unit circle up to these limits. Each
is least at the smallest eigenvalue of W, and none is above 2, that of gradient descent (w = 1).
"""

from collections.abc import Callable


def plain(w: float) -> float:
    """Return the limit of gradient descent, which that of sgd, ed and push-sum is."""
    return 2.0


def combine_then_adapt(w: float) -> float:
    """Return the limit of dgd."""
    return 1 + w


def extra(w: float) -> float:
    """Return the limit of extra."""
    return (1 + 3 * w) / 2


def gt(w: float) -> float:
    """Return the limit of gt."""
    return min(2.0, (1 + w) ** 2 / (2 * w**2)) if w < 0 else 2.0


def semi_gt(w: float) -> float:
    """Return the limit of semi-gt."""
    return min(2.0, (1 - w**2) / -w) if w < 0 else 2.0


def non_gt(w: float) -> float:
    """Return the limit of non-gt."""
    return (1 + w) ** 2 / 2


_LIMITS = {
    "extra": extra,
    "gt": gt,
    "semi-gt": semi_gt,
    "push-pull": semi_gt,
    "non-gt": non_gt,
    "ab": non_gt,
    "beer": non_gt,
    "dgd": combine_then_adapt,
}


def of(strategy: str) -> Callable[[float], float]:
    """Return the limit of a strategy by its name; `plain` for one that is not listed."""
    return _LIMITS.get(strategy, plain)

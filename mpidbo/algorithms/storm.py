"""STORM: a momentum that corrects itself by the last point, at the sample of this iteration.

Cutkosky and Orabona, NeurIPS 2019, arXiv 1905.10018:

    m+ = D(now) + (1 - theta) (m - D(before, SAME sample)),    first m = D

theta = 1 is the direction D itself. As the points approach each other, the noise of the difference
D(now) - D(before) vanishes, and m has less noise than D.
"""

from .._types import Array, Float


def storm(
    theta: float,
    m: Float[Array, "m d"],
    now: Float[Array, "m d"],
    before: Float[Array, "m d"],
) -> Float[Array, "m d"]:
    """Return m+.

    Parameters
    ----------
    theta : float
        The weight of the newest direction, above 0 and at most 1; 1 in the first iteration.
    m : array of shape (m, d)
        The estimate of the last iteration.
    now, before : arrays of shape (m, d)
        The direction at this point and at the last one, at one sample.

    Returns
    -------
    array of shape (m, d)
    """
    return now + (1 - theta) * (m - before)

"""The option `holdout`: samples that neither loss sees, to judge iterates by."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._text import plural
from ...errors import UserError, shown
from .shares import Tag, generator

Indices = NDArray[np.int64]


def holdout_share(value: Any) -> float:
    """Return the option `holdout` as a number. Raises UserError unless it is a share below 1."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        raise UserError(
            f"problem.holdout: {shown(value)} is not a share of the upper level's samples; give a "
            "number of at least 0 and less than 1"
        )
    return float(value)


def parted(
    samples: int, share: float, *, seed: int, agent: int, where: str
) -> tuple[Indices, Indices]:
    """Part the samples of an agent into those that are left and those that are held out.

    Parameters
    ----------
    samples : int
        How many the agent has.
    share : float
        Of those that are held out, above 0; one sample at least, and not all.
    seed, agent : int
        The choice is a function of these.
    where : str
        The beginning of messages.

    Returns
    -------
    left, held_out : array of int
        Ascending indices.

    Raises
    ------
    UserError
        There are fewer than two samples.
    """
    if samples < 2:
        raise UserError(
            f"{where}: of {plural(samples, 'sample')} none can be held out; set problem.holdout = "
            "0, or give every agent at least two"
        )
    held_out = min(max(1, int(share * samples + 0.5)), samples - 1)
    order = generator(seed, Tag.HOLDOUT, agent).permutation(samples)
    return np.sort(order[held_out:]), np.sort(order[:held_out])

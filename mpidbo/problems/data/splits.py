"""Rules that split labelled samples over agents.

A rule maps (labels, n, rng, concentration) to the agent of every sample, shape (samples,). It draws
what belongs to the agents first, so that two sets that are split with equally seeded generators
give an agent the same mixture of classes.
"""

from collections.abc import Callable
from math import inf
from numbers import Real
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ..._fields import OneOf
from ...errors import UserError, did_you_mean, known_as, shown

Rule = Callable[[NDArray[Any], int, np.random.Generator, float], NDArray[np.int64]]

MAX_CONCENTRATION = 1e100
"""From this concentration on the proportions are equal to the last bit; numpy's sums overflow at
1e308."""
MIN_SAMPLES = 5
"""Samples that every agent gets at least, as far as there are as many."""


def iid(
    labels: NDArray[Any], n: int, rng: np.random.Generator, concentration: float
) -> NDArray[np.int64]:
    """Split at random, in parts whose sizes differ by at most one."""
    return rng.permutation(np.arange(len(labels)) % n)


def dirichlet(
    labels: NDArray[Any], n: int, rng: np.random.Generator, concentration: float
) -> NDArray[np.int64]:
    """Split each class in proportions of its own, drawn from a Dirichlet distribution.

    Small concentrations give agents few classes and unequal numbers of samples, large ones approach
    `iid`, which an infinite one is (Yurochkin et al., ICML 2019).
    """
    if concentration == inf:
        return iid(labels, n, rng, concentration)
    classes = np.unique(labels)
    weights = np.full(n, min(concentration, MAX_CONCENTRATION))
    # Without the last bound, which is 1 up to rounding: no sample may be beyond it.
    bounds = np.cumsum(rng.dirichlet(weights, size=len(classes)), axis=1)[:, :-1]
    owner = np.empty(len(labels), dtype=np.int64)
    for label, bound in zip(classes, bounds, strict=True):
        rows = rng.permutation(np.flatnonzero(labels == label))
        owner[rows] = np.searchsorted(bound, (np.arange(len(rows)) + 0.5) / len(rows))
    return owner


def by_class(
    labels: NDArray[Any], n: int, rng: np.random.Generator, concentration: float
) -> NDArray[np.int64]:
    """Sort by label and cut into 2n shards, two for each agent, which thus has few classes.

    McMahan et al., AISTATS 2017.
    """
    agent_of_shard = rng.permutation(np.arange(2 * n) % n)
    shard = np.arange(len(labels)) * 2 * n // len(labels)
    owner = np.empty(len(labels), dtype=np.int64)
    owner[np.argsort(labels, kind="stable")] = agent_of_shard[shard]
    return owner


SPLITS: dict[str, Rule] = {"iid": iid, "dirichlet": dirichlet, "class": by_class}
"""The rules by their names in a config."""
Split = Annotated[str, OneOf(lambda: SPLITS, "split")]
"""The type of an option that names a rule."""


def split(
    name: str,
    labels: NDArray[Any],
    n: int,
    rng: np.random.Generator,
    concentration: float = 1.0,
    where: str = "problem.",
) -> list[NDArray[np.int64]]:
    """Return the ascending indices of each agent's samples; each sample belongs to one agent.

    An agent left with fewer than `MIN_SAMPLES` samples gets some of the agent with the most.

    Parameters
    ----------
    name : {"iid", "dirichlet", "class"}
        The rule.
    labels : (N,) array
        Of all samples.
    n : int
        Number of agents.
    rng : numpy.random.Generator
        Seeded alike for sets that are to have the same mixture of classes on each agent.
    concentration : float, default 1.0
        Of "dirichlet".
    where : str
        The beginning of messages.

    Raises
    ------
    UserError
        An unknown rule, a concentration that is not positive, or fewer samples than agents.
    """
    rule = known_as(name, SPLITS)
    if rule is None:
        raise UserError(f"{where}split: {shown(name)} is unknown; {did_you_mean(name, SPLITS)}")
    is_number = isinstance(concentration, Real) and not isinstance(concentration, bool)
    if not is_number or not concentration > 0:
        raise UserError(
            f"{where}concentration: {shown(concentration)} must be positive; give a number above "
            "0, or inf for parts alike"
        )
    if len(labels) < n:
        raise UserError(
            f"{len(labels)} samples cannot be split over {n} agents; take more samples or fewer "
            "agents"
        )
    owner = SPLITS[rule](labels, n, rng, concentration)
    count = np.bincount(owner, minlength=n)
    while count.min() < min(MIN_SAMPLES, len(labels) // n):
        poor, rich = count.argmin(), count.argmax()
        owner[np.flatnonzero(owner == rich)[-1]] = poor
        count[[poor, rich]] += 1, -1
    return [np.flatnonzero(owner == agent) for agent in range(n)]

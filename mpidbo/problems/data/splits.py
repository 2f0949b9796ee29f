"""Who gets which sample: splits of labelled samples over agents.

A rule maps (labels, n, rng, concentration) to the agent of every sample, shape (samples,). It draws what belongs to the
agents first, so that two sets split with equally seeded generators give an agent the same mixture of classes.
"""

from collections.abc import Callable
from math import inf
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError, did_you_mean, shown

Rule = Callable[[NDArray[Any], int, np.random.Generator, float], NDArray[np.int64]]

LARGEST = 1e100
"""A concentration from which on the proportions are equal to the last bit; numpy's sums overflow at 1e308."""
FEWEST = 5
"""Samples that every agent gets at least, as far as there are as many."""


def iid(labels: NDArray[Any], n: int, rng: np.random.Generator, concentration: float) -> NDArray[np.int64]:
    """At random, in parts of equal size up to one sample."""
    return rng.permutation(np.arange(len(labels)) % n)


def dirichlet(labels: NDArray[Any], n: int, rng: np.random.Generator, concentration: float) -> NDArray[np.int64]:
    """Each class in proportions of its own, drawn from Dirichlet(concentration, ..., concentration).

    Small concentrations give agents few classes and unequal numbers of samples, large ones approach `iid`, which an
    infinite one is (Yurochkin et al., ICML 2019).
    """
    if concentration == inf:
        return iid(labels, n, rng, concentration)
    classes = np.unique(labels)
    bounds = np.cumsum(rng.dirichlet(np.full(n, min(concentration, LARGEST)), size=len(classes)), axis=1)[:, :-1]
    owner = np.empty(len(labels), dtype=np.int64)
    for label, bound in zip(classes, bounds, strict=True):
        rows = rng.permutation(np.flatnonzero(labels == label))
        owner[rows] = np.searchsorted(bound, (np.arange(len(rows)) + 0.5) / len(rows))
    return owner


def by_class(labels: NDArray[Any], n: int, rng: np.random.Generator, concentration: float) -> NDArray[np.int64]:
    """Sorted by label and cut into 2n shards, two for each agent, which so sees few classes (McMahan et al. 2017)."""
    agent_of_shard = rng.permutation(np.arange(2 * n) % n)
    owner = np.empty(len(labels), dtype=np.int64)
    owner[np.argsort(labels, kind="stable")] = agent_of_shard[np.arange(len(labels)) * 2 * n // len(labels)]
    return owner


SPLITS: dict[str, Rule] = {"iid": iid, "dirichlet": dirichlet, "class": by_class}
"""The rules by their names in a config."""


def split(name: str, labels: NDArray[Any], n: int, rng: np.random.Generator,
          concentration: float = 1.0, where: str = "problem.") -> list[NDArray[np.int64]]:
    """The samples of each of n agents, ascending: n index arrays that cover range(len(labels)) once.

    Agents left with fewer than `FEWEST` samples get some of the largest. UserError, which begins with `where`: unknown name, a
    concentration that is not positive, fewer samples than agents.
    """
    if name not in list(SPLITS):
        raise UserError(f"{where}split: {shown(name)} is unknown; {did_you_mean(name, SPLITS)}")
    if not isinstance(concentration, Real) or isinstance(concentration, bool) or not concentration > 0:
        raise UserError(f"{where}concentration: {shown(concentration)} must be positive; give a number above 0, or inf for parts alike")
    if len(labels) < n:
        raise UserError(f"{len(labels)} samples cannot be split over {n} agents; take more samples or fewer agents")
    owner = SPLITS[name](labels, n, rng, concentration)
    count = np.bincount(owner, minlength=n)
    while count.min() < min(FEWEST, len(labels) // n):
        poor, rich = count.argmin(), count.argmax()
        owner[np.flatnonzero(owner == rich)[-1]] = poor
        count[[poor, rich]] += 1, -1
    return [np.flatnonzero(owner == agent) for agent in range(n)]

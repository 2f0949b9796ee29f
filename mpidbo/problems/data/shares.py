"""Each agent's share of a labelled data set: training, validation and test samples, the same whoever asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .readers import Images, Labelled, labelled
from .splits import split


class Tag(IntEnum):
    """What a generator of data is for; the values keep away from the small numbers of agents and iterations."""

    CHOICE = 0x5A4D0001
    SPLIT = 0x5A4D0002
    CORRUPTION = 0x5A4D0003
    START = 0x5A4D0004
    TRUTH = 0x5A4D0005
    FEATURES = 0x5A4D0006


def generator(seed: int, tag: Tag, agent: int = 0) -> np.random.Generator:
    """The generator of one kind of data of one agent (0 also for what is common)."""
    return np.random.default_rng([seed, int(tag), agent])


@dataclass(frozen=True, eq=False)
class Samples:
    """Features X, shape (B, d), and labels (B,)."""

    X: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Any) -> "Samples":
        """The samples of these indices; of None all, without a copy."""
        return self if indices is None else Samples(self.X[indices], self.labels[indices])

    def draw(self, rng: np.random.Generator, batch: int) -> NDArray[Any] | None:
        """Indices of `batch` different samples, shape (batch,), of numpy; None, for all, if batch is 0 or there are not more."""
        return rng.choice(len(self), batch, replace=False, shuffle=False) if 0 < batch < len(self) else None


@dataclass(frozen=True, eq=False)
class Share:
    """What one agent holds.

    train, validation : its own samples.
    test : its part of the common test set, as large as everybody's (fewer than n of the set's samples are left out),
        so that the mean over agents of an accuracy is the accuracy on the common set.
    classes : of the whole data set.
    first, total : its training samples are first, first + 1, ... of the `total` of all agents, in agent order.
    """

    train: Samples
    validation: Samples
    test: Samples
    classes: int
    first: int
    total: int


def share_of(data: str, agent: int, n_agents: int, *, seed: int, split: str, concentration: float, n_train: int,
             n_validation: int, xp: Any, dtype: Any, path: str = "") -> Share:
    """One agent's share of the labelled samples `data`, at `path` if that is given: see `datasets.labelled`.

    The seed chooses `n_train` and `n_validation` of the training samples (0: 1000 and 400 of the digits, 50,000 and
    10,000 of images, of a LIBSVM file half and a quarter, with a test set three quarters and a quarter) and splits both by
    the same rule with the same proportions: validation samples are as heterogeneous as training samples. The test set is the
    data set's own, or the rest. UserError: data that cannot be read, sizes that do not fit.
    """
    source, test_source = labelled(data, path)
    plan = _plan(data, path, n_agents, seed, split, concentration, n_train, n_validation)
    sizes = [len(rows) for rows in plan.train]

    def samples(given: Labelled, rows: NDArray[Any]) -> Samples:
        return Samples(xp.asarray(given.features(rows, dtype)), xp.asarray(given.labels[rows]))

    return Share(samples(source, plan.train[agent]), samples(source, plan.validation[agent]),
                 samples(test_source, plan.test[agent]), 1 + int(source.labels.max()), sum(sizes[:agent]), sum(sizes))


@dataclass(frozen=True, eq=False)
class _Plan:
    """The rows of every agent, of the training images (train, validation) and of the test images."""

    train: Sequence[NDArray[Any]]
    validation: Sequence[NDArray[Any]]
    test: Sequence[NDArray[Any]]


@lru_cache(maxsize=2)
def _plan(data: str, path: str, n_agents: int, seed: int, rule: str, concentration: float, n_train: int,
          n_validation: int) -> _Plan:
    given, test_given = labelled(data, path)
    defaults = _sizes(data, given, test_given)
    n_train, n_validation = n_train or defaults[0], n_validation or defaults[1]
    if min(n_train, n_validation) < 0 or n_train + n_validation > len(given):
        raise UserError(f"problem.n_train, n_validation: {n_train} and {n_validation} do not fit the {len(given)} "
                        f"samples of {path or data}; choose smaller sizes")
    order = generator(seed, Tag.CHOICE).permutation(len(given))
    train, validation, rest = np.split(order, [n_train, n_train + n_validation])
    test = rest if test_given is given else np.arange(len(test_given))
    if len(test) < n_agents:
        raise UserError(f"problem.n_train, n_validation: {n_train} and {n_validation} leave {len(test)} test samples "
                        f"of {path or data} to {n_agents} agents; choose smaller sizes")

    def parts(rows: NDArray[Any]) -> list[NDArray[Any]]:
        rng = generator(seed, Tag.SPLIT)
        return [rows[part] for part in split(rule, given.labels[rows], n_agents, rng, concentration)]

    even = test[:len(test) // n_agents * n_agents]
    return _Plan(parts(train), parts(validation), [even[agent::n_agents] for agent in range(n_agents)])


def _sizes(data: str, given: Labelled, test_given: Labelled) -> tuple[int, int]:
    """How many training and validation samples, unless that is said."""
    if data == "digits":
        return 1000, 400
    if isinstance(given, Images):
        return 50_000, 10_000
    quarter = len(given) // 4
    return (2 if test_given is given else 3) * quarter, quarter

"""Each agent's share of a labelled data set.

Training, validation and test samples, the same on every rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._types import Array, Float, Int
from ...errors import UserError
from .readers import Images, Labelled, labelled
from .splits import split


class Tag(IntEnum):
    """Purposes of generators of data.

    The values differ from the small numbers of agents and iterations.
    """

    CHOICE = 0x5A4D0001
    SPLIT = 0x5A4D0002
    CORRUPTION = 0x5A4D0003
    START = 0x5A4D0004
    TRUTH = 0x5A4D0005
    FEATURES = 0x5A4D0006
    HOLDOUT = 0x5A4D0007


def generator(seed: int, tag: Tag, agent: int = 0) -> np.random.Generator:
    """Return the generator of one kind of data of one agent; agent 0 also for what is common."""
    return np.random.default_rng([seed, int(tag), agent])


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples: features X, shape (B, d), and labels, shape (B,)."""

    X: Float[Array, "B d"]
    labels: Int[Array, " B"]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Any) -> "Samples":
        """Return the samples of these indices; all, without a copy, for None."""
        if indices is None:
            return self
        return Samples(self.X[indices], self.labels[indices])

    def draw(self, rng: np.random.Generator, batch: int) -> NDArray[Any] | None:
        """Return indices of `batch` different samples, of numpy.

        None, for all, if batch is 0 or there are no more samples than that.
        """
        if not 0 < batch < len(self):
            return None
        return rng.choice(len(self), batch, replace=False, shuffle=False)


@dataclass(frozen=True, eq=False)
class Share:
    """The samples of one agent.

    Attributes
    ----------
    train, validation : Samples
        Its own samples.
    test : Samples
        Its part of the common test set, as large as every other agent's (fewer than n of the set's
        samples are left out), so that the mean over agents of an accuracy is the accuracy on the
        common set.
    classes : int
        Number of classes of the data set.
    first, total : int
        The agent's training samples are first, first + 1, ... of the `total` of all agents, in
        agent order.
    """

    train: Samples
    validation: Samples
    test: Samples
    classes: int
    first: int
    total: int


def share_of(
    data: str,
    agent: int,
    n_agents: int,
    *,
    seed: int,
    split: str,
    concentration: float,
    n_train: int,
    n_validation: int,
    xp: Any,
    dtype: Any,
    path: str = "",
) -> Share:
    """Return one agent's share of labelled samples.

    Parameters
    ----------
    data, path : str
        The samples, as for `readers.labelled`.
    agent, n_agents : int
        Which agent, of how many.
    seed : int
        Chooses the training and validation samples and splits both with the same proportions:
        validation samples are as heterogeneous as training samples.
    split : {"iid", "dirichlet", "class"}
        The rule of the split.
    concentration : float
        Of the Dirichlet split.
    n_train, n_validation : int
        Samples over all agents; 0: 1000 and 400 of the digits, 50,000 and 10,000 of images, of a
        LIBSVM file half and a quarter, with a test set three quarters and a quarter.
    xp, dtype
        Array module and type of the features.

    Returns
    -------
    Share
        The test samples are of the data set's own test set, or of the rest.

    Raises
    ------
    UserError
        Data that cannot be read, or sizes that do not fit.
    """
    source, test_source = labelled(data, path)
    plan = _plan(data, path, n_agents, seed, split, concentration, n_train, n_validation)

    def samples(given: Labelled, rows: NDArray[Any]) -> Samples:
        return Samples(xp.asarray(given.features(rows, dtype)), xp.asarray(given.labels[rows]))

    return Share(
        train=samples(source, plan.train[agent]),
        validation=samples(source, plan.validation[agent]),
        test=samples(test_source, plan.test[agent]),
        classes=1 + int(source.labels.max()),
        first=plan.first[agent],
        total=plan.first[-1],
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """The rows of every agent in the training set (train, validation) and in the test set.

    `first` has the number of training samples of the agents before each, and of all.
    """

    train: Sequence[NDArray[Any]]
    validation: Sequence[NDArray[Any]]
    test: Sequence[NDArray[Any]]
    first: Sequence[int]


@lru_cache(maxsize=2)
def _plan(
    data: str,
    path: str,
    n_agents: int,
    seed: int,
    rule: str,
    concentration: float,
    n_train: int,
    n_validation: int,
) -> _Plan:
    """The rows of every agent; kept, as several agents of a process ask for the same."""
    given, test_given = labelled(data, path)
    defaults = _sizes(data, given, test_given)
    n_train, n_validation = n_train or defaults[0], n_validation or defaults[1]
    if min(n_train, n_validation) < 0 or n_train + n_validation > len(given):
        raise UserError(
            f"problem.n_train, n_validation: {n_train} and {n_validation} do not fit the "
            f"{len(given)} samples of {path or data}; choose smaller sizes"
        )
    if min(n_train, n_validation) < n_agents:
        raise UserError(
            f"problem.n_train, n_validation: {n_train} and {n_validation} are not one sample for "
            f"each of {n_agents} agents; choose larger sizes, or fewer agents"
        )
    order = generator(seed, Tag.CHOICE).permutation(len(given))
    train, validation, rest = np.split(order, [n_train, n_train + n_validation])
    test = rest if test_given is given else np.arange(len(test_given))
    if len(test) < n_agents:
        raise UserError(
            f"problem.n_train, n_validation: {n_train} and {n_validation} leave {len(test)} test "
            f"samples of {path or data} to {n_agents} agents; choose smaller sizes"
        )

    def parts(rows: NDArray[Any]) -> list[NDArray[Any]]:
        rng = generator(seed, Tag.SPLIT)
        split_rows = split(rule, given.labels[rows], n_agents, rng, concentration)
        return [rows[part] for part in split_rows]

    even = test[: len(test) // n_agents * n_agents]
    of_train = parts(train)
    return _Plan(
        of_train,
        parts(validation),
        [even[agent::n_agents] for agent in range(n_agents)],
        list(accumulate(map(len, of_train), initial=0)),
    )


def _sizes(data: str, given: Labelled, test_given: Labelled) -> tuple[int, int]:
    """The default numbers of training and validation samples."""
    if data == "digits":
        return 1000, 400
    if isinstance(given, Images):
        return 50_000, 10_000
    quarter = len(given) // 4
    has_test_set = test_given is not given
    return (3 if has_test_set else 2) * quarter, quarter

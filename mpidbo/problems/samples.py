"""Draws of labelled samples, of several agents at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .._types import Array, Float, Int
from .data.shares import Samples
from .draws import Kept, PerDraw
from .segments import Segments


@dataclass(frozen=True, eq=False)
class Batch:
    """Labelled samples of m agents, one agent's below the other's.

    Attributes
    ----------
    X : (N, d) array
    labels : (N,) array of int
    rows : Segments
        Which samples are whose.
    places : (N,) array of int, or slice
        Where the samples are among all of the agents.
    once : Kept
        `once(what, point, make)` returns what `make` returns, which may be kept for the next oracle
        that is called at the point.
    """

    X: Float[Array, "N d"]
    labels: Int[Array, " N"]
    rows: Segments
    places: Any
    once: Kept

    @classmethod
    def of_one(cls, xp: Any, samples: Samples, places: Any = slice(None)) -> "Batch":
        """Return samples of a single agent."""
        rows = Segments(xp, [len(samples)])
        return cls(samples.X, samples.labels, rows, places, Kept(keeps=False))


class Pool:
    """The samples of several agents in one array, of which their own become views.

    Parameters
    ----------
    agents : list of Sampled
    name : {"train", "validation"}
        The attribute that has an agent's samples.
    part : int
        The entry of an agent's draw that has the indices: 0 of training, 1 of validation.
    """

    def __init__(self, agents: list[Any], name: str, part: int) -> None:
        self._xp, self._part = agents[0].xp, part
        self._sizes = [len(getattr(agent, name)) for agent in agents]
        ends = np.cumsum([0, *self._sizes]).tolist()
        self._first = ends[:-1]
        first = getattr(agents[0], name)
        X, labels = first.X, first.labels
        if len(agents) > 1:
            X = self._xp.empty((ends[-1], *X.shape[1:]), X.dtype)
            labels = self._xp.empty(ends[-1], labels.dtype)
            for agent, own in zip(agents, (slice(*ends) for ends in pairwise(ends)), strict=True):
                samples = getattr(agent, name)
                X[own], labels[own] = samples.X, samples.labels
                setattr(agent, name, Samples(X[own], labels[own]))
        # Not on a GPU, which a comparison of numbers would have to wait for.
        self._may_keep = self._xp is np
        self._rows = Segments(self._xp, self._sizes)
        self._once = Kept(self._may_keep)
        self._all = Batch(X, labels, self._rows, slice(None), self._once)

    def batch(self, samples: list[Any]) -> Batch:
        """Return the samples of a draw of all agents."""
        drawn = [None if sample is None else sample[self._part] for sample in samples]
        if all(indices is None for indices in drawn):
            return self._all
        indices = [
            first + (np.arange(size) if own is None else own)
            for first, size, own in zip(self._first, self._sizes, drawn, strict=True)
        ]
        sizes = tuple(map(len, indices))
        if sizes != self._rows.sizes:
            self._rows = Segments(self._xp, sizes)
        places = self._xp.asarray(np.concatenate(indices))
        # Oracles that shared the last draw will share this one.
        self._once = Kept(self._may_keep and self._once.is_shared)
        X, labels = self._all.X[places], self._all.labels[places]
        return Batch(X, labels, self._rows, places, self._once)


class StackedSamples:
    """The draws of several agents.

    A sample is (training indices, validation indices) among the agent's own; None where all are
    taken.
    """

    def __init__(self, agents: list[Any]) -> None:
        self.xp, self.dtype = agents[0].xp, agents[0].dtype
        self.train, self.validation = (
            PerDraw(Pool(agents, name, part).batch)
            for part, name in enumerate(("train", "validation"))
        )
        """The samples of a draw."""
        self._draws = [
            (agent.train, agent.batch, agent.validation, agent.val_batch) for agent in agents
        ]
        self._full_batch = [None] * len(agents)
        self._is_full = all(
            agent.sizes() == (len(agent.train), len(agent.validation)) for agent in agents
        )

    def draw(self, rngs: Iterable[np.random.Generator]) -> list[Any]:
        """Return each agent's sample."""
        if self._is_full:
            return self._full_batch
        samples: list[Any] = []
        for (train, batch, validation, val_batch), rng in zip(self._draws, rngs, strict=True):
            sample = train.draw(rng, batch), validation.draw(rng, val_batch)
            samples.append(None if sample[0] is None and sample[1] is None else sample)
        return samples

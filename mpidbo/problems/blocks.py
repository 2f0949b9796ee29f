"""Stacked oracles of many or large agents, some agents at a time."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice, pairwise
from typing import Any

import numpy as np

from .._types import Array
from .base import DERIVATIVES
from .draws import PerDraw

ON_CPU, ON_GPU = 1 << 18, 1 << 26
"""Numbers in a temporary array: on a CPU few enough that a cache holds several of them."""


def stacked_in_blocks(stack: Callable[[list[Any]], Any], agents: list[Any]) -> Any:
    """Return the stacked oracles of the agents, of blocks of them where their arrays are large.

    An agent whose arrays are large by themselves is a block alone.

    Parameters
    ----------
    stack : callable
        Returns the stacked oracles of a list of agents.
    agents : list of Stackable
    """
    xp = agents[0].xp
    limit, blocks, taken = ON_CPU if xp is np else ON_GPU, [[agents[0]]], agents[0].temporary_size
    for agent in agents[1:]:
        taken += agent.temporary_size
        if taken > limit:
            blocks.append([])
            taken = agent.temporary_size
        blocks[-1].append(agent)
    return stack(agents) if len(blocks) == 1 else Blocks(xp, stack, blocks)


class Blocks:
    """Stacked oracles of consecutive agents, called block after block.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    stack : callable
        Returns the stacked oracles of a list of agents.
    blocks : list of lists of Stackable
    """

    def __init__(self, xp: Any, stack: Callable[[list[Any]], Any], blocks: list[list[Any]]) -> None:
        self.xp = xp
        self._sizes = [len(block) for block in blocks]
        ends = np.cumsum([0, *self._sizes]).tolist()
        self._places = [slice(*pair) for pair in pairwise(ends)]
        self._stacks = [stack(block) for block in blocks]
        self._parts = PerDraw(lambda samples: [samples[own] for own in self._places])
        for name in DERIVATIVES:
            setattr(self, name, partial(self._answer, name))

    def draw(self, rngs: Iterable[np.random.Generator]) -> list[Any]:
        """Return each agent's sample."""
        rngs = iter(rngs)
        drawn = [
            stack.draw(islice(rngs, size))
            for stack, size in zip(self._stacks, self._sizes, strict=True)
        ]
        return [sample for part in drawn for sample in part]

    def _answer(self, name: str, *rows: Array) -> Array:
        """The rows of an oracle, given those of x, y and maybe v, and then the samples."""
        *points, samples = rows
        answers = [
            getattr(stack, name)(*(point[own] for point in points), part)
            for stack, own, part in zip(
                self._stacks, self._places, self._parts(samples), strict=True
            )
        ]
        return self.xp.concatenate(answers)

"""Stacked oracles of many or large agents, some agents at a time."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice, pairwise
from typing import Any

import numpy as np

from .._types import Array
from ..parallel import ALONE, Workers
from .base import DERIVATIVES, width
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
    if len(blocks) == 1:
        return stack(agents)
    return Blocks(xp, [stack(block) for block in blocks], [len(block) for block in blocks])


class Blocks:
    """Stacked oracles of consecutive agents, block after block.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    stacks : sequence of objects
        The stacked oracles of each block.
    sizes : sequence of int
        The agents of each block.
    workers : Workers, optional
        Threads among which the blocks are divided; default: the caller's.
    """

    def __init__(
        self, xp: Any, stacks: Sequence[Any], sizes: Sequence[int], workers: Workers = ALONE
    ) -> None:
        self.xp = xp
        self._stacks, self._sizes, self._workers = stacks, sizes, workers
        ends = np.cumsum([0, *sizes]).tolist()
        self._places = [slice(*pair) for pair in pairwise(ends)]
        self._parts = PerDraw(lambda samples: [samples[own] for own in self._places])
        for name in DERIVATIVES:
            if hasattr(stacks[0], name):
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
        x, y = rows[:2]
        columns = width(name, (x.shape[1], y.shape[1]))
        out = self.xp.empty((len(x), columns), x.dtype)
        self._fill(out, name, *rows)
        return out

    def _fill(self, out: Array, name: str, *rows: Array) -> None:
        """Put the rows of an oracle into `out`."""
        *points, samples = rows
        parts = self._parts(samples)

        def fill(blocks: range) -> None:
            for i in blocks:
                stack, own = self._stacks[i], self._places[i]
                given = *(point[own] for point in points), parts[i]
                if isinstance(stack, Blocks):
                    stack._fill(out[own], name, *given)
                else:
                    out[own] = getattr(stack, name)(*given)

        self._workers.divide(len(self._stacks), fill)

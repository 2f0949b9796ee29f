"""Which of the graphs of a topology an iteration takes."""

from dataclasses import dataclass

import numpy as np

from .splitmix import mix64

STREAM = np.uint64(1 << 63)
"""Apart from those of the edges (`link_failures`), whose agents are below 2^31."""


@dataclass(frozen=True)
class Turns:
    """Which graph an iteration takes: a function of the iteration, and of the seed where one draws.

    Parameters
    ----------
    order : tuple of int, default (0,)
        The places of the graphs, which take turns; or of which each iteration draws one.
    random : bool, default False
        Whether they are drawn.
    every : int, default 1
        Iteration k gossips if k + 1 is a multiple of it; the others are local steps.
    """

    order: tuple[int, ...] = (0,)
    random: bool = False
    every: int = 1

    def __str__(self) -> str:
        """The turns in words, such as "3 graphs in turn, gossip in one of 2 iterations"."""
        words = []
        if self.random:
            words.append(f"one of {len(self.order)} graphs, drawn for each iteration")
        elif len(self.order) > 1:
            words.append(f"{len(self.order)} graphs in turn")
        if self.every > 1:
            words.append(f"gossip in one of {self.every} iterations")
        return ", ".join(words)

    def at(self, k: int, seed: int) -> int | None:
        """Return the place of iteration k's graph, None for a local step."""
        if (k + 1) % self.every:
            return None
        turn = k // self.every
        if self.random:
            of_seed = mix64(mix64(np.array([seed], np.uint64)) + STREAM)
            turn = int(mix64(of_seed + np.uint64(turn))[0])
        return self.order[turn % len(self.order)]

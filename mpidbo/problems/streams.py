"""Random numbers of the agents, as functions of (seed, agent, iteration, phase)."""

import numpy as np


class Stream:
    """Random numbers of one agent: Philox with the key (seed, agent).

    The counter is set to begin at (0, 0, phase, iteration), which is cheaper than making a
    generator for each draw.

    Parameters
    ----------
    seed : int
        Seed of the run.
    agent : int
        Number of the agent, from 0 on.
    """

    def __init__(self, seed: int, agent: int) -> None:
        self._bits = np.random.Philox(key=np.array([seed, agent], np.uint64))
        self._state = self._bits.state
        self._counter = self._state["state"]["counter"]
        self._generator = np.random.Generator(self._bits)

    def at(self, iteration: int, phase: int) -> np.random.Generator:
        """Return the generator at the beginning of this iteration and phase.

        Valid until the next call.
        """
        # `_counter` is part of `_state`, which also has an empty buffer: numbers that an earlier
        # draw left over are dropped.
        self._counter[:] = (0, 0, phase, iteration)
        self._bits.state = self._state
        return self._generator

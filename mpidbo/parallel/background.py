"""Work beside the loop of a run."""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np

from ..errors import UserError
from .agents import Agents
from .agreement import agreed

Stages: TypeAlias = Generator[Callable[[], Any], Any, None]
"""A generator of stages: `answer = yield function`."""


class Background:
    """Work in stages, each of which a thread of every rank does while the loop iterates.

    All ranks complete a stage before any of them starts the next. What a generator of stages does
    between two of them runs in the thread of the loop, and may be collective. A UserError of a
    stage is raised on every rank, and in the generator, which may clean up.

    Parameters
    ----------
    agents : Agents
        The distribution of agents over ranks, for collectives.
    """

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self._pool = ThreadPoolExecutor(1)
        self._stages: Stages | None = None
        self._stage: Future[Any] = Future()

    @property
    def idle(self) -> bool:
        """Whether no stage is left; the same on every rank."""
        return self._stages is None

    def begin(self, stages: Stages) -> None:
        """Start, after completing what was started before; collective."""
        self.advance(wait=True)
        self._next(stages, None)

    def advance(self, wait: bool = False) -> None:
        """Start the next stage if every rank has completed this one; collective.

        With `wait` complete all stages.
        """
        while self._stages is not None and (wait or self._is_complete()):
            # Until `_next` succeeds no stage is left, also where this one has failed.
            stages, self._stages = self._stages, None
            try:
                with agreed(self.agents.comm):
                    answer = self._stage.result()
            except UserError as error:
                stages.throw(error)
                raise
            self._next(stages, answer)

    def abandon(self) -> None:
        """Wait for this rank's stage, and do not start the next one."""
        if self._stages is not None:
            self._stages = None
            futures_wait([self._stage])

    def work(self, stage: Callable[[], Any]) -> Any:
        """Return what a stage returns; called in the thread."""
        return stage()

    def _is_complete(self) -> bool:
        """Whether every rank has completed the stage."""
        incomplete = self.agents.allreduce_sum(np.array([not self._stage.done()], np.int64))
        return not incomplete[0]

    def _next(self, stages: Stages, answer: Any) -> None:
        with suppress(StopIteration):  # no stage is left
            self._stage = self._pool.submit(self.work, stages.send(answer))
            self._stages = stages

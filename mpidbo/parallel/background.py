"""Work that goes on beside the loop."""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from ..errors import UserError
from .agents import Agents, agreed

Stages = Generator[Callable[[], Any], Any, None]


class Background:
    """Work in stages: a thread of every rank does each while the loop iterates, and all ranks end one before any begins the next.

    Stages are a generator: `answer = yield function` is a stage, what stands between two of them is done by the loop's own thread
    and may be collective. A UserError of a stage is raised on every rank, and in the generator, which may clean up.
    """

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self._pool = ThreadPoolExecutor(1)
        self._stages: Stages | None = None
        self._stage: Future[Any] = Future()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do; the same on every rank."""
        return self._stages is None

    def begin(self, stages: Stages) -> None:
        """Begin, once what was begun before is done; collective."""
        self.advance(wait=True)
        self._next(stages, None)

    def advance(self, wait: bool = False) -> None:
        """Go on to the next stage if every rank has done this one; with `wait` until none is left. Collective."""
        while self._stages is not None and (wait or self._done()):
            stages, self._stages = self._stages, None
            try:
                with agreed(self.agents.comm):
                    answer = self._stage.result()
            except UserError as error:
                stages.throw(error)
                raise
            self._next(stages, answer)

    def _done(self) -> bool:
        return not self.agents.total(np.array([not self._stage.done()], np.int64))[0]

    def _next(self, stages: Stages, answer: Any) -> None:
        with suppress(StopIteration):
            self._stage = self._pool.submit(stages.send(answer))
            self._stages = stages

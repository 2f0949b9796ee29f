"""The loop, and who may watch it."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol

from ..algorithms import Method
from ..network.gossip import Levels
from ..problems.oracle import Oracle


class Observer(Protocol):
    """Watches a run: `look` is called with k iterations done, at the first k, at every `next` one and at the last."""

    def next(self, k: int) -> int:
        """The number of iterations done, above k, at which to look again."""
        ...

    def look(self, k: int, state: Any, last: bool) -> str | None:
        """See the state; a text is a reason to stop here."""
        ...


class Loop:
    """`run` takes steps from iteration `k` on, and leaves the observers where they want to look; the loop knows none of them."""

    def __init__(self, method: Method, oracle: Oracle, W: Levels) -> None:
        self.method, self.oracle, self.W = method, oracle, W
        self.seconds, self.k = 0.0, 0
        self.seconds_of_updates = 0.0

    def run(self, state: Any, k: int, iterations: int, observers: Sequence[Observer]) -> tuple[Any, int, str]:
        """(state, iterations done, why it stopped); collective over the ranks."""
        due, reason = list(observers), "already there"
        while True:
            said = [observer.look(k, state, k >= iterations) for observer in due]
            stop = next((text for text in said if text), None)
            if stop:
                for observer in observers:
                    observer.look(k, state, True)
                return state, k, stop
            if k >= iterations:
                return state, k, reason
            until = min([iterations, *(observer.next(k) for observer in observers)])
            state = self.steps(state, k, until)
            due = [observer for observer in observers if until >= iterations or observer.next(until - 1) == until]
            k, reason = until, "all iterations done"

    def steps(self, state: Any, first: int, until: int) -> Any:
        """The state after iterations first, ..., until - 1; after each, x is put back into the set in which the problem keeps it."""
        step, oracle, W, constrained = self.method.step, self.oracle, self.W, self.oracle.constrained
        began, at = perf_counter(), W.at if W.failing else None
        elsewhere = oracle.seconds + W.seconds
        for self.k in range(first, until):
            if at is not None:
                at(self.k)
            state = step(self.k, oracle, W, state)
            if constrained:
                state = state._replace(x=oracle.project(state.x))
        taken = perf_counter() - began
        self.seconds += taken
        # The parts are timed one by one: rounding must not make their rest negative.
        self.seconds_of_updates += max(0.0, taken - (oracle.seconds + W.seconds - elsewhere))
        return state

"""The loop over iterations, and the protocol of what watches it."""

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from ..algorithms import Method
from ..network import Levels, Sent
from ..problems import Oracle

SETS = {"x": "x", "y": "y", "t": "y"}
"""Variable of a state -> the level in whose set it is to stay; t is a point of the lower level."""


class Observer(Protocol):
    """Protocol of an object that watches a run.

    `look` is called before the first iteration, after each number of iterations that `next` has
    named, and after the last iteration. Every rank makes the same calls, so a look may be
    collective.
    """

    def next(self, k: int) -> int:
        """Return when to look again.

        Parameters
        ----------
        k : int
            Iterations done.

        Returns
        -------
        int
            A number of iterations larger than k.
        """
        ...

    def look(self, k: int, state: Any, last: bool) -> str | None:
        """Inspect the state of the run.

        Parameters
        ----------
        k : int
            Iterations done.
        state : NamedTuple of arrays (m, d)
            The state of the method, rows of this rank's agents; never changed in place, so it may
            be kept.
        last : bool
            Whether the run ends here.

        Returns
        -------
        str or None
            A reason to stop the run here, the same on every rank.
        """
        ...


class Reached(NamedTuple):
    """How far the iterations are, as the observers saw it at their last look."""

    k: int
    """Iterations done."""
    state: Any
    """The state then: a NamedTuple of arrays (m, d)."""
    calls: Mapping[str, int]
    """Calls of each oracle by this rank."""
    sent: Sent
    lost: Sent
    """What all agents have sent; and of this the part to this rank that failing links lost."""


class Loop:
    """The iterations of a run, with what they cost; it does not know its observers.

    Parameters
    ----------
    method : Method
        Its `step` is an iteration.
    oracle : Oracle
        The oracles of this rank's agents.
    W : Levels
        The gossip operators.

    Attributes
    ----------
    k : int
        The iteration that is running, or was the last.
    reached : Reached
        Where the observers looked last. An iteration that is interrupted leaves it as it was.
    seconds, seconds_of_updates : float
        Time of all iterations, and of their parts outside of oracles and exchanges.
    """

    reached: Reached

    def __init__(self, method: Method, oracle: Oracle, W: Levels) -> None:
        self.method, self.oracle, self.W = method, oracle, W
        self.step = method.step
        self.seconds, self.k = 0.0, 0
        self.seconds_of_updates = 0.0

    def run(
        self, state: Any, k: int, iterations: int, observers: Sequence[Observer]
    ) -> Iterator[str]:
        """Run until an observer has a reason to stop, or until all iterations are done; collective.

        Parameters
        ----------
        state : NamedTuple of arrays (m, d)
            The state after k iterations.
        k : int
            Iterations done so far.
        iterations : int
            Iterations to do in all.
        observers : sequence of Observer
            Called in this order.

        Yields
        ------
        str
            Whenever observers have looked: why the run ends there, "" where it continues.
        """
        due, reason = list(observers), "already there"
        while True:
            calls, sent, lost = dict(self.oracle.calls), self.W.sent, self.W.lost
            self.reached = Reached(k, state, calls, sent, lost)
            reasons = [observer.look(k, state, k >= iterations) for observer in due]
            stop = next((text for text in reasons if text), None)
            if stop:
                self.look_again(observers)
                yield stop
                return
            if k >= iterations:
                yield reason
                return
            yield ""
            # As many iterations at once as no observer wants to see.
            until = min([iterations, *(observer.next(k) for observer in observers)])
            state = self.steps(state, k, until)
            # Those whose next look is exactly here; all of them at the end.
            due = [
                observer
                for observer in observers
                if until >= iterations or observer.next(until - 1) == until
            ]
            k, reason = until, "all iterations done"

    def look_again(self, observers: Sequence[Observer]) -> None:
        """Let all observers take their last look, where some looked before; collective.

        Those that were not due have not looked there, and files are written in a last look.
        """
        for observer in observers:
            observer.look(self.reached.k, self.reached.state, True)

    def steps(self, state: Any, first: int, until: int) -> Any:
        """Return the state after iterations first, ..., until - 1.

        Where the problem constrains x or y, they are projected after each iteration.
        """
        # Names of the function itself: a lookup less in every iteration.
        step, oracle, W, at = self.step, self.oracle, self.W, self.W.at
        levels = ("x", "y", *self.method.levels)
        projected = [
            (variable, level)
            for variable, level in SETS.items()
            if level in oracle.constrained and variable in levels
        ]
        began = perf_counter()
        elsewhere = oracle.seconds + W.seconds
        with oracle.backend.iterations(oracle.workers):
            for self.k in range(first, until):  # an attribute, which the stall watch reads
                at(self.k)
                state = step(self.k, oracle, W, state)
                for variable, level in projected:
                    rows = oracle.project(level, getattr(state, variable))
                    state = state._replace(**{variable: rows})
        taken = perf_counter() - began
        self.seconds += taken
        # The parts are timed one by one: rounding must not make their rest negative.
        self.seconds_of_updates += max(0.0, taken - (oracle.seconds + W.seconds - elsewhere))
        return state

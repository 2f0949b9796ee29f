"""A run under way: an iterator of its evaluations, which is the one way through every run."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

import numpy as np

from .._pytree import mapped
from .._types import Float
from ..config import quartered
from ..errors import Diverged, out_of_memory
from ..parallel import Threads, agreed, host, keep_freed
from ..storage import VARIABLES, Best, history_arrays, trees, with_bytes
from .best import Keeper
from .copies import Copies
from .evaluation import Evaluated, Evaluation, Watcher
from .folder import Folder
from .logs import Logs
from .loop import Loop, Observer
from .recorder import Recorder
from .result import Result
from .setup import Setup
from .stop_rules import StopRule
from .stopping import Stopping
from .watchdog import StallWatch

Rows = dict[str, Float[np.ndarray, "m d"]]
End = tuple[Rows, dict[str, Any], dict[str, Any]]


class Running:
    """A run under way, an iterator of its evaluations; `under_way` makes it.

    Every method is collective. Between two evaluations the caller's own code may run: the caller's
    signal handlers, threads and treatment of overflow are in force there, and its time is not
    watched. With the last evaluation the run has ended, and its files are written.

    Parameters
    ----------
    setup : Setup
        What to run.
    loop : Loop
        Its iterations.
    watch : StallWatch
        The stall watch, in whose context the run is.
    folder : Folder, optional
        Where to resume from and to write to; default: no files.
    observers : sequence of Observer, optional
        Called along the run, after the evaluation.
    watchers : sequence of Watcher, optional
        Called with each evaluation.
    gather : bool, default True
        Whether the result has the rows of all agents on every rank.
    stopping : Stopping, optional
        What may end it; default: signals and `run.max_seconds` from now on.
    copies : Copies, optional
        Copies in memory, from which to resume and which to renew.

    Attributes
    ----------
    reason : str
        Why the run ended; "" while it continues.
    stopped : bool
        Whether it was stopped before its end.
    """

    def __init__(
        self,
        setup: Setup,
        loop: Loop,
        watch: StallWatch,
        folder: Folder | None = None,
        observers: Sequence[Observer] = (),
        watchers: Sequence[Watcher] = (),
        gather: bool = True,
        stopping: Stopping | None = None,
        copies: Copies | None = None,
    ) -> None:
        run = setup.config.run
        self.setup, self.loop, self.watch, self.gather = setup, loop, watch, gather
        self.reason, self.stopped = "", False
        self._unseen: list[Evaluated] = []
        self._has_failed = False
        self._ended: End | None = None
        self.keeper = self._keeper()
        self.evaluation = Evaluation(
            loop,
            setup.agents,
            setup.problems,
            every=run.evaluate_every,
            start={"x": setup.x0, "y": setup.y0},
            requested=run.metrics,
            stop=[StopRule(**rule) for rule in run.stop],
            watchers=[*([self.keeper] if self.keeper else []), *watchers, self._note],
            smaller=quartered(setup.config),
        )
        self.recorder = (
            Recorder(folder, self.evaluation, setup.levels, self.keeper) if folder else None
        )
        self.copies = copies
        if copies:
            copies.observe(setup, self.evaluation, self.keeper)
        state, k = self._first_state()
        since = copies.began if copies else None
        self.stopping = stopping or Stopping(setup.agents, run.max_seconds, since)
        self.threads = Threads(run.threads)
        # The evaluation comes first: the others use its history.
        self.observers: list[Observer] = [self.evaluation, *observers, self.stopping]
        if self.recorder:
            self.observers.append(self.recorder)
        if copies:
            self.observers.append(copies)
        self._looks = loop.run(state, k, run.iterations, self.observers)
        keep_freed()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Evaluated:
        """Run to the next evaluation.

        Raises
        ------
        UserError, Diverged
            The same on every rank.
        """
        if not self._unseen and not self.reason:
            # Once for all looks until then: its exit waits for the ranks' requests to stop.
            with self._iterating():
                while not self._unseen and not self.reason:
                    self.reason = next(self._looks)
                if self.reason:
                    self.stopped = self.reason == self.stopping.reason
                    self._write(has_result=not self.stopped)
        if not self._unseen:
            raise StopIteration
        return self._unseen.pop()

    def to_its_end(self) -> Result:
        """Run to the last iteration, to a stop rule or until a signal comes."""
        with self.failing():  # an interrupt may also come between two evaluations
            # Not by `for`, whose variable would keep the state of an evaluation until the next one.
            while next(self, None):
                pass
            return self.result()

    def stop(self, reason: str) -> None:
        """End the run where it is, unless it has ended."""
        if self.reason:
            return
        with self._iterating():
            self.loop.look_again(self.observers)
            self.reason, self.stopped = reason, True
            self._write(has_result=True)

    def checkpoint(self) -> None:
        """Write a checkpoint of where the run is, and the history; the run may continue."""
        if self.recorder and not self.reason:
            with self._iterating():
                self.recorder.look(self.loop.reached.k, self.loop.reached.state, True)

    def result(self) -> Result:
        """Return the result, or what there is while the run continues."""
        reached = self.loop.reached
        rows, means, average = self._ended or self._end()
        rows = {name: self._gathered(part) for name, part in rows.items()}
        return Result(
            x=rows["x"],
            y=rows["y"],
            z=rows.get("z"),
            t=rows.get("t"),
            history=self._history(),
            iteration=reached.k,
            reason=self.reason or "not finished",
            stopped=self.stopped or not self.reason,
            config=self.setup.config,
            x_tree=average["x"],
            y_tree=average.get("y"),
            x_mean=means["x"],
            y_mean=means.get("y"),
            best=self._best(),
        )

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Context of code whose error ends the run: what can be kept of it is kept, once."""
        try:
            yield
        except BaseException as error:
            if self._has_failed:
                raise
            self._has_failed = True
            if isinstance(error, Diverged):
                self._describe(error)
            if self.recorder:
                self.recorder.leave(error)
            if isinstance(error, MemoryError):
                raise out_of_memory(error) from error
            raise

    @contextmanager
    def _iterating(self) -> Iterator[None]:
        """Context of the run's own code, with its signal handlers and threads, and watched.

        Overflow is not an error there: the evaluation finds out where a run diverges.
        """
        self.watch.resume()
        try:
            with (
                self.stopping,
                self.threads.limited(),
                np.errstate(all="ignore"),
                self.failing(),
            ):
                yield
        finally:
            self.watch.pause()

    def _note(self, evaluated: Evaluated) -> None:
        """Keep an evaluation for the caller, as a watcher."""
        self._unseen.append(evaluated)

    def _first_state(self) -> tuple[Any, int]:
        """(state, iterations done), of the checkpoint to resume from or of the start."""
        setup, rows = self.setup, self.setup.backend.rows
        x, y = setup.rows()
        start = setup.method.start(rows(x), rows(y))
        snapshot = self.copies.newest(start) if self.copies else None
        if snapshot is None and self.recorder:
            snapshot = self.recorder.resume(start)
        if snapshot is None:
            if self.copies:
                self.copies.stop_if_lost()
            return start, 0
        state = mapped(rows, snapshot.state)
        counts, history = (
            with_bytes(part, setup.config.run.dtype) for part in (snapshot.counts, snapshot.history)
        )
        self.evaluation.resume(snapshot.iteration, state, counts, history)
        if self.keeper:
            self.keeper.resume(snapshot.iteration, state, snapshot.best, self.evaluation.history)
        return state, snapshot.iteration

    def _keeper(self) -> Keeper | None:
        """What keeps the best iterate, if `run.best` asks for it."""
        setup, run = self.setup, self.setup.config.run
        if run.best is None:
            return None
        return Keeper(
            **run.best,
            every=run.evaluate_every,
            agents=setup.agents,
            problem=setup.problems[0],
            has_common_y=not setup.method.has_local_lower_level(),
        )

    def _best(self) -> Best | None:
        """The best iterate so far; collective."""
        return self.keeper.best("everywhere" if self.gather else "no") if self.keeper else None

    def _write(self, has_result: bool) -> None:
        """Write what a run's folder has once the run has ended."""
        self._ended = rows, _, average = self._end()
        if self.recorder and has_result:
            k, threads = self.loop.reached.k, self.threads.count
            workers, done = self.loop.oracle.workers.count, not self.stopped
            self.recorder.finish(rows, average, k, self.reason, threads, workers, done=done)
        if self.recorder and self.stopped:
            self.recorder.stop(self.reason)

    def _end(self) -> End:
        """Where the run is: rows of this rank, averages, and these in the problem's own form."""
        rows, agents = self._rows(self.loop.reached.state), self.setup.agents
        has_mean = "x" if self.setup.method.has_local_lower_level() else "xy"
        means = {name: agents.mean(rows[name]) for name in has_mean}
        with agreed(agents.comm):
            return rows, means, trees.of(self.setup.problems[0], means["x"], means.get("y"))

    def _rows(self, state: Any) -> Rows:
        """The variables of this rank's agents."""
        return {name: host(getattr(state, name)) for name in VARIABLES if hasattr(state, name)}

    def _gathered(self, rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n d"]:
        """The rows of all agents, or this rank's if that is what the result has."""
        return self.setup.agents.gather(rows) if self.gather else rows

    def _history(self) -> dict[str, np.ndarray]:
        return history_arrays(self.evaluation.history)

    def _describe(self, error: Diverged) -> None:
        """Add to an error what is known of the run; collective, as every rank has this error."""
        error.history, error.best = self._history(), self._best()
        if self.evaluation.divergence.last_finite is not None:
            error.last_finite, state = self.evaluation.divergence.last_finite
            rows = self._rows(state)
            error.x, error.y = (self._gathered(rows[name]) for name in "xy")


@contextmanager
def under_way(
    setup: Setup,
    *,
    folder: Folder | None = None,
    observers: Sequence[Observer] = (),
    watchers: Sequence[Watcher] = (),
    gather: bool = True,
    stopping: Stopping | None = None,
    copies: Copies | None = None,
) -> Iterator[Running]:
    """Context of a run under the stall watch, which pauses for the caller's code; collective.

    Parameters
    ----------
    setup, folder, observers, watchers, gather, stopping, copies
        See `Running`.
    """
    loop, timeout = Loop(setup.method, setup.oracle, setup.W), setup.config.run.stall_timeout
    path = folder.path if folder else None
    logging = Logs(setup, path) if copies is None else copies.logging(setup, path)
    watching = StallWatch(setup.agents.comm, timeout, loop=loop, folder=path)
    with watching as watch, logging as logs:
        try:
            watchers = [logs, *watchers]
            running = Running(
                setup, loop, watch, folder, observers, watchers, gather, stopping, copies
            )
        except MemoryError as error:
            raise out_of_memory(error) from error
        logs.begin(running.evaluation.history)
        with _traced(running, loop, copies) if setup.config.run.trace else nullcontext():
            watch.pause()
            yield running
        if running.reason:
            logs.outcome = ("stopped" if running.stopped else "finished", running.reason)


def _traced(running: Running, loop: Loop, copies: Copies | None) -> AbstractContextManager[None]:
    # Here, so that only a run that is traced imports this.
    from .tracing import traced

    return traced(running.recorder, loop, copies)

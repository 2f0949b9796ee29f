"""`Solver`: a run in steps, one evaluation at a time, for a loop of the user's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from inspect import signature
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np

from .._text import first_nonempty
from .._warning import warn
from ..config import BestRule, Config, Run, Stop
from ..errors import UserError
from ..parallel import agreed, allgather_text, check_launcher, guarded_script, is_root, launched
from .arguments import Arguments
from .bar import Log, ProgressBar
from .evaluation import Evaluated
from .execute import agreed_config, begun
from .finished import finished_result
from .folder import Resume, functions_in
from .logger import logger
from .progress import Progress, progress_of
from .result import Result
from .running import Running
from .suggestions import advice

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

    from ..problems import Problem
    from ..storage import Best, Saved

F = TypeVar("F", bound=Callable[..., Any])
Callback = Callable[[Progress], Any]
"""It is called at each evaluation; where it returns True or raises StopIteration the run ends."""

STOPPED, INTERRUPTED = "stopped by the callback", "interrupted"
"""Why a run ended."""


def _keeping_unknown(init: F) -> F:
    """Keep arguments of unknown names for the message that all ranks raise."""
    known = signature(init).parameters

    @wraps(init)
    def call(self: Any, *arguments: Any, **named: Any) -> None:
        self._unknown = {name: named.pop(name) for name in [*named] if name not in known}
        init(self, *arguments, **named)

    return cast("F", call)


class Solver(Iterator[Progress]):
    """A run in steps: an iterator that runs to the next evaluation and returns a `Progress`.

    The arguments are those of `solve`. All ranks of `comm` construct it and iterate alike. Between
    two evaluations the caller's own code runs, with its own signal handlers, threads and numpy
    settings, and for as long as it likes.

    Leaving the loop ends nothing: iterating again continues. `close`, or the end of a ``with``
    block, ends the run where it is, with a checkpoint, if it has a folder, from which
    ``resume="auto"`` continues. In a single process a checkpoint is also written whenever a ``for``
    loop is left.

    Attributes
    ----------
    config : Config
        The configuration that is run, with everything filled in.

    Examples
    --------
    >>> import mpidbo
    >>> with mpidbo.Solver("quadratic", agents=8, iterations=500) as solver:
    ...     for progress in solver:
    ...         if progress.row["distance"] < 0.1:
    ...             break
    >>> solver.result.x.shape
    (8, 5)
    """

    _call: ClassVar[str] = "Solver"
    _open: ClassVar["WeakValueDictionary[str, Solver]"] = WeakValueDictionary()
    """Those of this process that have a folder, by its name."""
    _unknown: Mapping[str, Any]

    @_keeping_unknown
    def __init__(
        self,
        problem: "str | type[Problem] | Mapping[str, Any]",
        method: str | Mapping[str, Any] = "sparkle",
        topology: Any = "ring",
        agents: int | None = None,
        steps: Mapping[str, Any] | str | None = None,
        iterations: int = Run.iterations,
        comm: "Comm | None" = None,
        *,
        callback: Callback | None = None,
        progress: bool | None = False,
        out: str | PathLike[str] | None = None,
        resume: Resume = "never",
        checkpoint: int | Mapping[str, int] | None = None,
        x0: Any = None,
        y0: Any = None,
        start: "str | PathLike[str] | Result | Saved | Best | None" = None,
        stop: Stop | Sequence[Stop] = Run.stop,
        best: str | BestRule | None = Run.best,
        metrics: str | Sequence[str] = Run.metrics,
        evaluate_every: int = Run.evaluate_every,
        log: str | type[Any] | Sequence[str | type[Any]] = Run.log,
        trace: bool = Run.trace,
        max_seconds: float | None = Run.max_seconds,
        gather: bool = True,
        seed: int = Run.seed,
        dtype: Literal["float64", "float32"] = Run.dtype,
        device: Literal["cpu", "cuda", "auto"] = Run.device,
        buffers: Literal["host", "device"] = Run.buffers,
        shared_memory: bool = Run.shared_memory,
        batched: Literal["exact", "always", "never"] = Run.batched,
        fused: Literal["auto", "always", "never"] = Run.fused,
        overlap: bool = Run.overlap,
        checks: Literal["start", "never"] = Run.checks,
        threads: int = Run.threads,
        workers: int | Literal["auto"] = Run.workers,
        survive: int = Run.survive,
        buddies: int = Run.buddies,
        stall_timeout: float = Run.stall_timeout,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        arguments = Arguments(self._call, given, self._unknown)
        self._comm, self._callback, self._gather = comm, callback, gather
        self._has_callback = False
        self._running: Running | None = None
        self._result: Result | None = None
        self._contexts = ExitStack()
        if comm is None:
            _warn_of_copies(self._call)
        else:
            check_launcher(comm)
        agreement = agreed_config(
            comm,
            self._call,
            arguments.tables,
            arguments.check,
            compared=arguments.compared,
            remedy="pass the same arguments on every rank",
        )
        with guarded_script(comm), agreement as config:
            self._begin(config, arguments, bool(progress))

    def _begin(self, config: Config, arguments: Arguments, shows_progress: bool) -> None:
        """Set up the run, or read its result where it has finished before."""
        comm, start = self._comm, arguments.start[1]
        out, root = config.run.out, is_root(comm)
        bar = ProgressBar(config.run.iterations) if shows_progress and root else None
        if out is not None and self._is_alone and out in Solver._open:
            Solver._open[out].close()
        with ExitStack() as contexts:
            if bar:
                contexts.callback(bar.close)
            run = begun(
                config,
                comm,
                resume=arguments.given["resume"],
                notify=logger.info,
                warn=warn,
                observers=[bar] if bar else [],
                watchers=[bar.show_row] if bar else [Log(root, logger.info)],
                gather=self._gather,
                start=None if start.is_nothing else start,
            )
            self._running = contexts.enter_context(run)
            if self._running is None:
                self._result = finished_result(config, comm, self._gather)
            # A callback of some ranks alone is a habit, and all have to agree on what it returns.
            self._has_callback = any(allgather_text(comm, "yes" if self._callback else ""))
            self._contexts = contexts.pop_all()
        self.config = self._running.setup.config if self._running else self.result.config
        if out is not None:
            Solver._open[out] = self
            functions = functions_in(self.config.tables())
            if functions and root:
                logger.warning(
                    f"{functions}, of which {out} keeps the name: a restart cannot tell it from "
                    "another function of this name"
                )

    def __iter__(self) -> Iterator[Progress]:
        try:
            while (progress := next(self, None)) is not None:
                yield progress
        except GeneratorExit:
            # The caller leaves the loop, or an error does: of other ranks nothing is known.
            if self._running is not None and self._is_alone:
                self._running.checkpoint()
            raise

    def __next__(self) -> Progress:
        """Run to the next evaluation; collective.

        Returns
        -------
        Progress
            Where the run is.

        Raises
        ------
        StopIteration
            The run has ended.
        UserError, Diverged
            The same on every rank.
        """
        running, evaluated = self._running, None
        if running is not None:
            with guarded_script(self._comm), self._ended_by_errors():
                evaluated = self._next_evaluation(running)
                if evaluated is None:
                    self.close()
        if running is None or evaluated is None:
            raise StopIteration
        progress = progress_of(evaluated, running.setup)
        if self._has_callback:
            with guarded_script(self._comm), self._ended_by_errors():
                self._call_back(running, progress)
        return progress

    @property
    def result(self) -> Result:
        """The result; while the run continues what there is, which is collective."""
        if self._result is not None:
            return self._result
        if self._running is None:
            raise UserError("Solver.result: the run ended with an error, and has no result")
        with guarded_script(self._comm):
            return self._running.result()

    def close(self) -> None:
        """End the run where it is, unless it has ended, and free what MPI holds; collective."""
        if self._running is not None:
            with guarded_script(self._comm), self._ended_by_errors():
                self._running.stop("stopped by the caller")
                self._result = self._running.result()
            self._leave()
            text = advice(self._result.history, self._result.config.steps)
            if text and is_root(self._comm):
                logger.warning(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or self._is_alone:
            self.close()
        else:  # of this rank alone, and then the job is aborted, or of all
            guarded_script(self._comm).__exit__(kind, error, trace)
            self._leave(error)

    @property
    def _is_alone(self) -> bool:
        return self._comm is None or self._comm.size == 1

    def _next_evaluation(self, running: Running) -> Evaluated | None:
        """The next evaluation; where a single process is interrupted the last, of where it was."""
        try:
            return next(running, None)
        except KeyboardInterrupt:
            if not self._is_alone:
                raise
            running.stop(INTERRUPTED)
            return next(running, None)

    def _call_back(self, running: Running, progress: Progress) -> None:
        """Call the callback of this rank; if that of any rank ends the run, end it on all."""
        reason = ""
        with running.failing(), agreed(self._comm):
            try:
                if self._callback is not None and _is_true(self._callback(progress)):
                    reason = STOPPED
            except StopIteration:
                reason = STOPPED
            except KeyboardInterrupt:
                reason = INTERRUPTED
        reason = first_nonempty(allgather_text(self._comm, reason))
        if reason:
            running.stop(reason)

    @contextmanager
    def _ended_by_errors(self) -> Iterator[None]:
        """Context in which an error ends the run."""
        try:
            yield
        except BaseException as error:
            self._leave(error)
            raise

    def _leave(self, error: BaseException | None = None) -> None:
        """Leave the contexts of the run, with the error that ended it."""
        self._running = None
        kind, trace = (None, None) if error is None else (type(error), error.__traceback__)
        self._contexts.__exit__(kind, error, trace)


def _is_true(answer: Any) -> bool:
    """Whether a callback returned True, of Python or as a number of an array library."""
    if isinstance(answer, bool | np.bool_):
        return bool(answer)
    is_number = getattr(answer, "shape", None) == ()
    return is_number and "bool" in str(answer.dtype) and bool(answer)


@cache
def _warn_of_copies(call: str) -> None:
    """Warn, once, where several processes were started and each solves the problem by itself."""
    size, rank, variable, _ = launched()
    if size > 1 and rank == 0:
        warn(
            f"{call}: the launcher started {size} processes ({variable}), and without comm= each "
            "of them solves the same by itself; to share the agents among them pass "
            "comm=MPI.COMM_WORLD (from mpi4py import MPI)"
        )

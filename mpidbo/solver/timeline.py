"""The timeline of one rank: when each part of its iterations began and ended.

    iteration                      a step of the method
      oracle: g_y, f_x, ..., draw  a call for all agents of the rank
      exchange: W @                sending, receiving and summing
        waiting                    in the MPI library
      update                       what remains of the iteration
    evaluation, checkpoint         between the iterations, with `waiting` in them
    recovery                       of a run that continues after ranks have died
    writing                        of checkpoints, in a thread of its own

The newest spans are kept, and become events of the Trace Event Format, which Perfetto and
chrome://tracing open.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter_ns
from typing import Any, NamedTuple

ITERATION, UPDATE, CHECKPOINT, WRITING = "iteration", "update", "checkpoint", "writing"
RECOVERY = "recovery"
THREADS = ("iterations", "checkpoint writer")
"""The threads of a rank."""
LOOK_NS = 50_000
"""A look of the recorder takes less than this where there is nothing to write."""


class Span(NamedTuple):
    """A part of a timeline, in nanoseconds; the name of an iteration is its number."""

    category: str
    name: str | int
    began: int
    ended: int


class Timeline:
    """The newest spans of this rank, by `perf_counter_ns`.

    Parameters
    ----------
    capacity : int
        How many spans are kept.
    zero : int, optional
        The beginning of the trace, by the clock of this rank.
    """

    def __init__(self, capacity: int, zero: int = 0) -> None:
        self.zero = zero
        self.spans: deque[tuple[str, str | int, int, int]] = deque(maxlen=capacity)

    def around(self, category: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same as another, in a span."""
        add, clock = self.spans.append, perf_counter_ns

        def spanned(*arguments: Any, **options: Any) -> Any:
            began = clock()
            try:
                return function(*arguments, **options)
            finally:
                add((category, name, began, clock()))

        return spanned

    def around_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step of a method that does the same, in a span with the iteration's number."""
        add, clock = self.spans.append, perf_counter_ns

        def spanned(k: int, *arguments: Any) -> Any:
            began = clock()
            try:
                return step(k, *arguments)
            finally:
                add((ITERATION, k, began, clock()))

        return spanned

    def complete(self) -> list[Span]:
        """Return the spans in the order of their beginnings, with those of `update`.

        Of the oldest iteration only a part may have been kept; it is left out.
        """
        spans = [Span(*span) for span in self.spans]
        if len(spans) == self.spans.maxlen:
            whole = spans[0].ended
            spans = [span for span in spans if span.began >= whole]
        spans = sorted(filter(_is_shown, spans), key=_outer_first)
        return sorted([*spans, *_updates(spans)], key=_outer_first)


def _is_shown(span: Span) -> bool:
    return span.category != CHECKPOINT or span.ended - span.began > LOOK_NS


def _outer_first(span: Span) -> tuple[int, int]:
    return span.began, -span.ended


def _updates(spans: Iterable[Span]) -> Iterator[Span]:
    """What remains of each iteration between its parts."""
    iteration, done = None, 0
    for span in [span for span in spans if span.category != WRITING]:
        if iteration is not None and span.began >= iteration.ended:
            yield Span(UPDATE, UPDATE, done, iteration.ended)
            iteration = None
        if span.category == ITERATION:
            iteration, done = span, span.began
        elif iteration is not None and span.began >= done:  # not inside of the part before
            yield Span(UPDATE, UPDATE, done, span.began)
            done = span.ended
    if iteration is not None:
        yield Span(UPDATE, UPDATE, done, iteration.ended)


def events(
    spans: Iterable[Span], rank: int, size: int, label: str, zero: int
) -> Iterator[dict[str, Any]]:
    """Return the events of a trace: the names of the process and its threads, and the spans.

    Parameters
    ----------
    spans : iterable of Span
        Of one rank.
    rank : int
        Its number, which is that of the process in the trace.
    size : int
        The number of ranks.
    label : str
        The name of the process.
    zero : int
        The beginning of the trace, by the clock of this rank.
    """
    # Perfetto takes 0 and the number of a process for its main thread, so threads have others.
    iterations, writer = threads = size + rank, 2 * size + rank
    main = {"pid": rank, "tid": iterations}
    yield {"ph": "M", **main, "name": "process_name", "args": {"name": label}}
    yield {"ph": "M", **main, "name": "process_sort_index", "args": {"sort_index": rank}}
    for tid, thread in zip(threads, THREADS, strict=True):
        yield {"ph": "M", "pid": rank, "tid": tid, "name": "thread_name", "args": {"name": thread}}
    for category, name, began, ended in spans:
        tid = writer if category == WRITING else iterations
        time = {"ts": (began - zero) / 1000, "dur": (ended - began) / 1000}  # microseconds
        event = {"ph": "X", "pid": rank, "tid": tid, "cat": category, **time}
        if category == ITERATION:
            yield {**event, "name": ITERATION, "args": {"k": name}}
        else:
            yield {**event, "name": name}

"""Queues: what a stream was asked for is done when somebody waits for it, and not before.

A GPU may begin late or early; done as late as possible, whatever is read without waiting is old,
and a test that compares numbers fails.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, ClassVar

LOCK = threading.RLock()
COUNTS: Counter[str] = Counter()
"""How often: "launch" of a kernel, "upload", "download", "synchronize" (the host waited)."""


class Stream:
    """A queue of work, in order; that of the null stream and that of streams not made
    `non_blocking` wait for each other."""

    null: ClassVar["Stream"]
    waiting: ClassVar[set["Stream"]] = set()
    """Those with something left to do."""

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: int | None = None,
    ) -> None:
        self.is_null, self.is_non_blocking, self.ptds, self.priority = (
            null,
            non_blocking,
            ptds,
            priority,
        )
        self.ptr = 0 if null else id(self)
        self._queue: deque[Callable[[], Any]] = deque()
        self.issued = self.finished = 0

    def issue(self, work: Callable[[], Any]) -> None:
        with LOCK:
            if not self.is_non_blocking:
                for other in [
                    s
                    for s in Stream.waiting
                    if s is not self and not s.is_non_blocking and (s.is_null or self.is_null)
                ]:
                    self._put(lambda other=other, upto=other.issued: other.drain(upto))
            self._put(work)

    def _put(self, work: Callable[[], Any]) -> None:
        self._queue.append(work)
        self.issued += 1
        Stream.waiting.add(self)

    def drain(self, upto: int) -> None:
        """Do what was asked for, up to that many requests in all."""
        with LOCK:
            while self.finished < upto and self._queue:
                work = self._queue.popleft()
                self.finished += 1
                work()
            if not self._queue:
                Stream.waiting.discard(self)

    @property
    def done(self) -> bool:
        return not self._queue

    def synchronize(self) -> None:
        COUNTS["synchronize"] += 1
        self.drain(self.issued)

    def record(self, event: "Event | None" = None) -> "Event":
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        if event.stream is not None:
            self.issue(lambda stream=event.stream, upto=event.upto: stream.drain(upto))

    def launch_host_func(self, callback: Callable[[Any], Any], arg: Any) -> None:
        self.issue(lambda: callback(arg))

    def use(self) -> "Stream":
        _stack()[-1] = self
        return self

    def __enter__(self) -> "Stream":
        _stack().append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _stack().pop()


Stream.null = Stream(null=True)


class Event:
    """A place in a stream's queue: the one where it was recorded last."""

    def __init__(
        self, block: bool = True, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.stream: Stream | None = None
        self.upto, self.disable_timing = 0, disable_timing

    def record(self, stream: Stream | None = None) -> None:
        self.stream = get_current_stream() if stream is None else stream
        self.upto = self.stream.issued

    @property
    def done(self) -> bool:
        return self.stream is None or self.stream.finished >= self.upto

    def synchronize(self) -> None:
        COUNTS["synchronize"] += 1
        if self.stream is not None:
            self.stream.drain(self.upto)


class _Local(threading.local):
    def __init__(self) -> None:
        self.stack = [Stream.null]


_LOCAL = _Local()


def _stack() -> list[Stream]:
    return _LOCAL.stack


def get_current_stream(device_id: int | None = None) -> Stream:
    return _stack()[-1]


def synchronize_all() -> None:
    """Wait for the whole device."""
    COUNTS["synchronize"] += 1
    with LOCK:
        for stream in list(Stream.waiting):
            stream.drain(stream.issued)

"""Threads that compute the agents of a process side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context

from threadpoolctl import ThreadpoolController

WORKER = "mpidbo worker"
"""The name of the threads begins with it."""


class Workers:
    """Threads among which the agents of a process are divided.

    Each computes agents of its own, as if it were alone, so that results have the same bits
    whatever the number. What threads share must not be written.

    Parameters
    ----------
    count : int, default 1
        Threads, of which the caller's is one.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count - 1, WORKER, _limit_openmp) if count > 1 else None

    def parts(self, m: int) -> list[range]:
        """Return 0, ..., m - 1 in consecutive parts of about the same length, one a thread."""
        count = max(1, min(self.count, m))
        return [range(m * i // count, m * (i + 1) // count) for i in range(count)]

    def divide(self, m: int, work: Callable[[range], None]) -> None:
        """Call `work` with each part of 0, ..., m - 1, and return when all calls have.

        Raises
        ------
        Exception
            Of the first part whose call raised one: what a loop would have raised.
        """
        mine, *others = self.parts(m)
        if self._pool is None or not others:
            work(mine)
            return
        # numpy keeps its treatment of overflow in the context, of which each thread has its own.
        calls = [self._pool.submit(copy_context().run, work, part) for part in others]
        try:
            work(mine)
        finally:
            wait(calls)  # nobody writes into the arrays of a call that has returned or raised
        for call in calls:
            call.result()


def _limit_openmp() -> None:
    """Let a thread's products of matrices not begin threads of their own.

    Other libraries have one limit for the process, OpenMP one for each thread.
    """
    ThreadpoolController().select(user_api="openmp").limit(limits=1)


ALONE = Workers()
"""The caller's thread alone."""

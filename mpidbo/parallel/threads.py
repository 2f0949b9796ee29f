"""Threads of a rank; they are part of the trajectory, because they change the order of sums."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from sys import modules
from typing import Any

from threadpoolctl import ThreadpoolController

JAX_THREADS = "PJRT_NPROC"
"""The variable that JAX reads when it first computes on the CPU, and never again."""


def announce(threads: int) -> None:
    """Set the number of threads of JAX, unless it is set, before JAX first computes."""
    os.environ.setdefault(JAX_THREADS, str(threads))


def announced() -> bool:
    """Whether the number of threads of JAX is set."""
    return JAX_THREADS in os.environ


class Threads:
    """The threads of a rank, limited within a context that may be entered again and again.

    Which libraries are there is looked up once, since that takes longer than limiting them.

    Parameters
    ----------
    count : int
        Threads of BLAS, of OpenMP and, if it is loaded, of PyTorch.
    """

    def __init__(self, count: int) -> None:
        self.count, self._libraries = count, ThreadpoolController()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Limit the threads within a context."""
        torch: Any = modules.get("torch")
        before = torch.get_num_threads() if torch else 0
        with self._libraries.limit(limits=self.count):
            try:
                if torch:
                    torch.set_num_threads(self.count)
                yield
            finally:
                if torch:
                    torch.set_num_threads(before)

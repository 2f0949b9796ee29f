"""How many threads a rank computes with: part of the trajectory, as they change the order of sums."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from sys import modules
from typing import Any

from threadpoolctl import threadpool_limits

OF_JAX = "PJRT_NPROC"
"""What JAX reads when it first computes on the CPU, never again, and nothing else does."""


def announce(threads: int) -> None:
    """So many threads for JAX, unless the environment says it; before a problem has it compute."""
    os.environ.setdefault(OF_JAX, str(threads))


def announced() -> bool:
    """Whether JAX has been told."""
    return OF_JAX in os.environ


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """That many threads for BLAS and OpenMP, and for PyTorch if a problem has loaded it, whose own count is a third one."""
    torch: Any = modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(threads):
        try:
            if torch:
                torch.set_num_threads(threads)
            yield
        finally:
            if torch:
                torch.set_num_threads(before)

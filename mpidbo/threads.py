"""How many threads a rank computes with: part of the trajectory, as they change the order of sums."""

from collections.abc import Iterator
from contextlib import contextmanager
from sys import modules
from typing import Any

from threadpoolctl import threadpool_limits


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

"""Arrays of numpy whose updates are computed by compiled kernels, one pass over memory for each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import util
from typing import Any

from scipy.sparse import csr_array

from .._types import Array
from .backend import Host
from .cpu_kernels import divided
from .fusion import CALLS, compute, compute_mixed, make_calls
from .lazy import Rows, real
from .workers import Workers


class Fused(Host):
    """Arrays of numpy; what a method writes with them is noted, and computed when it is needed.

    The bits are those of `Host`.
    """

    def iterations(self, workers: Workers) -> AbstractContextManager[None]:
        return divided(workers)

    def array(self, rows: Array) -> Array:
        return real(rows)

    def rows(self, array: Array) -> Array:
        return array if type(array) is Rows else Rows(array)

    def oracle(self, ask: Callable[..., Array]) -> Callable[..., Array]:
        def asked(sample: Any, *rows: Array) -> Array:
            return Rows(ask(sample, *self.arrays(rows)))

        return asked

    def arrays(self, rows: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return the arrays behind rows, with one kernel for what is left to compute of them."""
        unknown = [part for part in rows if type(part) is Rows and part._array is None]
        if unknown:
            compute(unknown)
        return tuple([part._array if type(part) is Rows else real(part) for part in rows])

    def mix(self, W: csr_array, rows: Sequence[Rows], targets: Sequence[Array]) -> None:
        """Fill targets with W @ rows of one shape and type, by one kernel that computes the rows.

        What is left to compute of them is computed in blocks of columns, and not stored.
        """
        parts = [
            Rows.of_operation("same", (part,), part.shape, part.dtype) if part.known else part
            for part in rows
        ]
        compute_mixed(parts, W, targets)


class Overlapping(Fused):
    """Arrays as of `Fused`; oracles are called while a message that needs no answer is under way.

    A call is put off until an answer is needed, or a message has left. Calls are made in their
    order, so that the bits are those of `Host`.
    """

    @contextmanager
    def iterations(self, workers: Workers) -> Iterator[None]:
        self.overlaps = True
        try:
            with divided(workers):
                yield
                make_calls()
        finally:
            self.overlaps = False
            CALLS.clear()  # of iterations that an error has ended

    def catch_up(self) -> None:
        make_calls()


def why_not_fused() -> str:
    """Return why updates cannot be compiled here, or ""."""
    if util.find_spec("numba") is None:
        return "numba is not installed (pip install 'mpidbo[fast]')"
    return ""

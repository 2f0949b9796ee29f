"""Every MPI call that may wait for other ranks, marked while it does: the stall watch reads `MARK`.

No other module makes such a call; tests/test_collectives.py checks that.
"""

from collections.abc import Callable
from time import sleep
from typing import Any

POLL_INTERVAL_S = 0.005


class Mark:
    """`entered` counts the calls that this process has begun, `left` is that count when the last one returned."""

    __slots__ = ("entered", "left")

    def __init__(self) -> None:
        self.entered, self.left = 0, 0

    @property
    def waiting(self) -> bool:
        """Whether the process is in such a call."""
        return self.entered != self.left


MARK = Mark()


def _marked(name: str) -> Callable[..., Any]:
    """The method of that name of a communicator or request, as a function that marks its calls."""

    def call(of: Any, *arguments: Any, **options: Any) -> Any:
        MARK.entered += 1
        try:
            return getattr(of, name)(*arguments, **options)
        finally:
            MARK.left = MARK.entered

    return call


allgather = _marked("Allgather")
allgatherv = _marked("Allgatherv")
allreduce = _marked("Allreduce")
barrier = _marked("Barrier")
bcast = _marked("Bcast")
create_graph = _marked("Create_dist_graph_adjacent")
free = _marked("Free")
gatherv = _marked("Gatherv")
iallreduce = _marked("Iallreduce")
neighbor_alltoallv = _marked("Neighbor_alltoallv")
scatter = _marked("Scatter")
scatterv = _marked("Scatterv")
split = _marked("Split")
split_type = _marked("Split_type")
wait = _marked("Wait")


def patient_barrier(comm: Any) -> None:
    """A barrier in which ranks sleep; MPI libraries wait with a busy core."""
    MARK.entered += 1
    try:
        everyone = comm.Ibarrier()
        while not everyone.Test():
            sleep(POLL_INTERVAL_S)
    finally:
        MARK.left = MARK.entered


class Exchange:
    """One planned Neighbor_alltoallv between kept buffers: persistent where the MPI library has it."""

    def __init__(self, graph: Any, send: Any, receive: Any) -> None:
        self.graph, self.send, self.receive = graph, send, receive
        try:
            self.request = graph.Neighbor_alltoallv_init(send, receive)
        except NotImplementedError:
            self.request = None

    def __call__(self) -> None:
        # Once or more in every iteration, so without the function of `_marked`.
        MARK.entered += 1
        try:
            if self.request is None:
                self.graph.Neighbor_alltoallv(self.send, self.receive)
            else:
                self.request.Start()
                self.request.Wait()
        finally:
            MARK.left = MARK.entered

    def close(self) -> None:
        if self.request is not None:
            free(self.request)

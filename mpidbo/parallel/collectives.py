"""Every MPI call that may wait for other ranks.

A call is marked while it waits, and the stall watch reads `MARK`. No other module makes such a
call, which tests/parallel/test_collectives.py checks.
"""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from time import perf_counter_ns, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

POLL_INTERVAL_S = 0.005
"""Seconds between two looks of a patient barrier."""
PROGRESS_INTERVAL_S = 0.002
"""Seconds between two calls of MPI beside work; what arrives meanwhile waits in sockets."""


class Mark:
    """Counts of the calls of this process that may wait.

    Attributes
    ----------
    entered : int
        Calls begun.
    left : int
        `entered` when the last call returned.
    spans : deque or None
        Where the calls are noted as ("waiting", name, begin, end), in nanoseconds of
        `perf_counter_ns`, while a timeline is made of them.
    """

    __slots__ = ("entered", "left", "spans")

    def __init__(self) -> None:
        self.entered, self.left = 0, 0
        self.spans: deque[Any] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a call has not returned."""
        return self.entered != self.left


MARK = Mark()


def _marked(name: str) -> Callable[..., Any]:
    """Return a method of a communicator or request as a function that marks its calls."""

    def call(owner: Any, *arguments: Any, **options: Any) -> Any:
        MARK.entered += 1
        began = perf_counter_ns()
        try:
            return getattr(owner, name)(*arguments, **options)
        finally:
            MARK.left = MARK.entered
            if MARK.spans is not None:
                MARK.spans.append(("waiting", name, began, perf_counter_ns()))

    return call


class Derived:
    """The communicators made from others, which `survivors.revoke` revokes as well.

    Attributes
    ----------
    noted : list or None
        None where no run survives the death of a rank.
    settled : bool
        Whether all ranks are known to have made the newest.
    """

    noted: list[Any] | None = None
    settled: bool = True

    @classmethod
    def note(cls, made: Any, owner: Any) -> None:
        """Note a communicator that was made from another; collective."""
        if cls.noted is not None:
            # Some ranks may be in none; freed ones are null from then on.
            cls.noted[:] = filter(None, [*cls.noted, made])
            cls.settle(owner)

    @classmethod
    def settle(cls, comm: Any) -> None:
        """Wait until all ranks have made `comm`, or what was made from it; collective.

        Open MPI crashes where a communicator is revoked that another rank is still making.
        """
        cls.settled = False
        barrier(comm)
        cls.settled = True


def _making(name: str) -> Callable[..., Any]:
    """Return a method that makes a communicator as a function that also notes it."""
    make = _marked(name)

    def call(owner: Any, *arguments: Any, **options: Any) -> Any:
        made = make(owner, *arguments, **options)
        Derived.note(made, owner)
        return made

    return call


agree = _marked("Agree")
allgather = _marked("Allgather")
allgatherv = _marked("Allgatherv")
allreduce = _marked("Allreduce")
barrier = _marked("Barrier")
bcast = _marked("Bcast")
create_graph = _making("Create_dist_graph_adjacent")
free = _marked("Free")
gatherv = _marked("Gatherv")
iagree = _marked("Iagree")
iallreduce = _marked("Iallreduce")
ireceive = _marked("Irecv")
isend = _marked("Isend")
neighbor_alltoallv = _marked("Neighbor_alltoallv")
scatter = _marked("Scatter")
scatterv = _marked("Scatterv")
shrink = _marked("Shrink")
split = _making("Split")
split_type = _making("Split_type")
wait = _marked("Wait")


def patient_barrier(comm: "Comm") -> None:
    """Wait for all ranks asleep; MPI libraries keep a core busy while they wait."""
    MARK.entered += 1
    try:
        everyone = comm.Ibarrier()
        while not everyone.Test():
            sleep(POLL_INTERVAL_S)
    finally:
        MARK.left = MARK.entered


class Progress:
    """A thread that calls MPI while the main thread does other work.

    MPI libraries move long messages only within calls. The thread makes one now and then, and is
    asleep in between. The main thread calls MPI only outside of `beside`.
    """

    def __init__(self) -> None:
        self.thread = Thread()
        self.wanted, self.calling = Event(), Lock()
        self.graph: Any = None

    def beside(self, graph: Any, work: Callable[[], None]) -> None:
        """Do work while messages are under way, one of them over a communicator `graph`."""
        MPI: Any = sys.modules["mpi4py.MPI"]
        if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
            work()
            return
        if not self.thread.is_alive():  # one for all messages: a start may take milliseconds
            self.thread = Thread(target=self._run, name="progress", daemon=True)
            self.thread.start()
        self.graph = graph
        self.wanted.set()
        try:
            work()
        finally:
            self.wanted.clear()
            with self.calling:
                self.graph = None

    def _run(self) -> None:
        MPI: Any = sys.modules["mpi4py.MPI"]
        while self.wanted.wait():
            # An error, as of a rank that died, is also that of the main thread's next call.
            with self.calling, suppress(MPI.Exception):
                if self.graph is not None:
                    self.graph.Iprobe()
            sleep(PROGRESS_INTERVAL_S)


PROGRESS = Progress()


def neighbor_alltoallv_beside(
    graph: Any, send: Any, receive: Any, work: Callable[[], None]
) -> None:
    """Exchange as `neighbor_alltoallv`, and do work while the message is under way."""
    request = graph.Ineighbor_alltoallv(send, receive)
    PROGRESS.beside(graph, work)
    wait(request)


class Exchange:
    """A Neighbor_alltoallv between fixed buffers, persistent where the MPI library supports that.

    Parameters
    ----------
    graph : mpi4py communicator
        The graph of the ranks.
    send, receive : list
        Buffers with (counts, displacements), as mpi4py takes them.
    """

    def __init__(self, graph: Any, send: Any, receive: Any) -> None:
        self.graph, self.send, self.receive = graph, send, receive
        try:
            self.request = self.graph.Neighbor_alltoallv_init(send, receive)
        except NotImplementedError:  # mpi4py's, of a library older than MPI 4
            self.request = None

    def beside(self, work: Callable[[], None]) -> None:
        """Exchange, and do work while the message is under way; all ranks do so, or none."""
        if self.request is None:
            neighbor_alltoallv_beside(self.graph, self.send, self.receive, work)
            return
        self.request.Start()
        PROGRESS.beside(self.graph, work)
        wait(self.request)

    def __call__(self) -> None:
        # Not by a function of `_marked`, since this runs in every iteration.
        MARK.entered += 1
        began = perf_counter_ns() if MARK.spans is not None else 0
        try:
            if self.request is None:
                self.graph.Neighbor_alltoallv(self.send, self.receive)
            else:
                self.request.Start()
                self.request.Wait()
        finally:
            MARK.left = MARK.entered
            if MARK.spans is not None:
                MARK.spans.append(("waiting", "neighbors", began, perf_counter_ns()))

    def close(self) -> None:
        """Free the persistent request."""
        if self.request is not None:
            free(self.request)

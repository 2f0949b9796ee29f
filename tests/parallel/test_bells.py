"""Ranks that outnumber the cores sleep until their neighbours have sent."""

import os

import numpy as np
import pytest

from mpidbo.parallel.bells import Bell, are_crowded, cores_of_process

linux = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


@pytest.fixture
def pair():
    """The bells of two ranks that send to each other, in one process."""
    bells = [Bell(), Bell()]
    addresses = np.array([bell.address for bell in bells])
    for rank, bell in enumerate(bells):
        assert bell.connect(rank, [1 - rank], [1 - rank], addresses)
    yield bells
    for bell in bells:
        bell.close()


@linux
def test_a_rank_waits_until_its_neighbour_has_sent(pair):
    first, second = pair
    first.ring()
    assert not first.wait(0.01)
    second.ring()
    assert first.wait(0.01)
    assert second.wait(0.01)


@linux
def test_a_neighbour_may_be_a_message_ahead_or_late(pair):
    first, second = pair
    first.ring()
    second.ring()
    assert second.wait(0.01)
    second.ring()  # its second message, before the first rank has looked
    assert first.wait(0.01)
    first.ring()
    assert first.wait(0.01)
    first.ring()
    assert not first.wait(0.01)  # MPI had it all the same, say
    first.ring()
    second.ring()
    assert not first.wait(0.01)
    second.ring()
    assert first.wait(0.01)


@linux
def test_the_pipe_of_a_dead_neighbour_is_no_error(pair):
    first, second = pair
    second.close()
    first.ring()
    assert not first.wait(0.01)


@linux
def test_a_pipe_of_another_node_is_not_taken():
    first, second = Bell(), Bell()
    addresses = np.array([first.address, second.address])
    addresses[1, 1] += 1  # the descriptor is of something else here
    assert not first.connect(0, [1], [1], addresses)
    first.close()
    second.close()


def test_cores_are_those_of_all_ranks_together():
    def mask(*cores):
        bits = np.zeros(1024, np.uint8)
        bits[[*cores]] = 1
        return np.packbits(bits)

    addresses = np.full((3, 5), 64)
    assert not are_crowded(np.array([mask(0), mask(1), mask(2)]), addresses)  # each bound to one
    assert are_crowded(np.array([mask(0, 1)] * 3), addresses)
    addresses[2, 4] = 2  # the limit of a container
    assert are_crowded(np.array([mask(0, 1, 2, 3)] * 3), addresses)
    assert np.unpackbits(cores_of_process()).any()


RANKS = """
import os
import sys
import numpy as np
from mpi4py import MPI
from mpidbo.parallel.bells import bell_of
from mpidbo.parallel.collectives import Exchange, create_graph

own_core = sys.argv[1] == "own"
comm, n = MPI.COMM_WORLD, MPI.COMM_WORLD.size
os.sched_setaffinity(0, {comm.rank} if own_core else {0})
near = sorted({(comm.rank - 1) % n, (comm.rank + 1) % n})
graph = create_graph(comm, near, near, reorder=False)
sent, received = np.empty(len(near)), np.empty(len(near))
counts = [1] * len(near), [*range(len(near))]
exchange = Exchange(graph, [sent, counts], [received, counts], bell_of(graph))
assert (exchange.bell is None) == own_core
for i in range(300):
    sent[:] = 1000 * comm.rank + i
    exchange()
    assert received.tolist() == [1000 * rank + i for rank in near], (i, received)
exchange.close()
if comm.rank == 0:
    print("agrees")
"""


@linux
@pytest.mark.parametrize(("ranks", "cores"), [(3, "one"), (2, "own")])
def test_messages_of_ranks(mpi, ranks, cores, tmp_path):
    if cores == "own" and not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("needs the cores 0 and 1")
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    done = mpi(ranks, ["-m", "mpi4py", script, cores], cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "agrees\n"

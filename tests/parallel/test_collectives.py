"""Whatever waits for other ranks does so in mpidbo/parallel/collectives.py, where the stall
watch sees it."""

import ast
import linecache
import re
import threading
from pathlib import Path

import pytest

import mpidbo
from mpidbo.parallel import agents, collectives
from mpidbo.parallel.collectives import MARK
from mpidbo.solver.position import position

PACKAGE = Path(mpidbo.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "collectives.py")
# Methods of mpi4py's communicators, requests, windows and files that wait, or begin what waits.
WAITS = re.compile(
    r"I?(Bcast|Barrier|All(gather|reduce|toall)\w*|Gatherv?|Scatterv?|Reduce\w*|Exscan|Scan"
    r"|Neighbor_\w+)(_init)?"
    r"|I?[BSR]?Send(_init)?|I?M?Recv(_init)?|I?Sendrecv\w*|I?M?Probe|Wait(all|any|some)?"
    r"|Test(all|any|some)|Start(all)?|Free|Disconnect|Fence|Split(_type)?|I?dup|Dup\w*"
    r"|Create_(cart|graph|dist_graph|dist_graph_adjacent|group|intercomm|errhandler)|Spawn\w*"
    r"|Accept|Connect|I?agree|Agree|I?shrink|Shrink"
    r"|allgather|allreduce|alltoall|bcast|scatter|exscan|sendrecv|isend|irecv|recv"
)
ALLOWED_OF_A_COMMUNICATOR = {"rank", "size", "group", "Abort"}


def waiting_calls(text):
    """(line, what) of each use of what waits: by its name, or of anything that is called comm."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute):
            continue
        owner = ast.unparse(node.value).rpartition(".")[2]
        if owner in ("comm", "COMM_WORLD") and node.attr not in ALLOWED_OF_A_COMMUNICATOR:
            yield node.lineno, ast.unparse(node)
        elif WAITS.fullmatch(node.attr) and owner not in ("ax", "axes"):
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_waits(path):
    found = list(waiting_calls(path.read_text(encoding="utf-8")))
    assert not found, (
        f"{path.name}: {found}: call it through mpidbo.parallel.collectives, which marks it"
    )


def test_the_search_finds_them():
    text = (
        "comm.Bcast(a)\nself.agents.comm.Allreduce(a, b)\ngraph.Neighbor_alltoallv(a, "
        "b)\nrequest.Start()\npending.Wait()\n"
        "node.Free()\nMPI.COMM_WORLD.allgather(1)\nf = "
        "comm.Ibarrier\ncomm.rank\ncomm.Abort(1)\nself.agents.gather(rows)\nx.start()"
    )
    assert sorted(line for line, _ in waiting_calls(text)) == [1, 2, 3, 4, 5, 6, 7, 8]


class Blocked:
    """A communicator whose barrier ends when it is told to."""

    def __init__(self):
        self.entered, self.end = threading.Event(), threading.Event()
        self.rank, self.size = 0, 2

    def Barrier(self):
        self.entered.set()
        self.end.wait(30)


class W:
    """Levels to multiply by."""

    def __init__(self, comm):
        self.comm, self.y = comm, self

    def __matmul__(self, other):
        collectives.barrier(self.comm)


def moved(monkeypatch):
    """A step of a method, in a file that is wherever in the package."""
    source, names = (
        "def step(W):\n    return W.y @ 3\n",
        {"__name__": "mpidbo.elsewhere.sparkle"},
    )
    monkeypatch.setitem(
        linecache.cache, "moved.py", (len(source), None, source.splitlines(True), "moved.py")
    )
    exec(compile(source, "moved.py", "exec"), names)
    return names["step"]


def test_who_waits_is_marked_and_placed_by_its_caller(monkeypatch):
    comm, places, before = Blocked(), [], MARK.entered
    two = agents.Agents(2, comm)

    def wait():
        two.barrier()  # this line

    step = moved(monkeypatch)
    for work, expected in ((wait, "two.barrier()"), (lambda: step(W(comm)), "level y")):
        comm.entered.clear()
        comm.end.clear()
        thread = threading.Thread(target=work)
        thread.start()
        assert comm.entered.wait(30) and MARK.waiting
        places.append(position(thread.ident))
        comm.end.set()
        thread.join()
        assert not MARK.waiting and expected in places[-1], places
    assert MARK.entered == before + 2 and places[0].startswith("test_collectives.py, line")


def test_a_call_that_fails_waits_no_more():
    class Broken:
        def Bcast(self, buffer):
            raise RuntimeError("MPI_ERR_TRUNCATE")

    with pytest.raises(RuntimeError):
        collectives.bcast(Broken(), None)
    assert not MARK.waiting

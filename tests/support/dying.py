"""`mpidbo` on ranks of which some die: python dying.py ARGUMENTS.

`MPIDBO_TEST_DEATHS` is a list of RANK:PLACE:COUNT, such as "1:call:150 3:evaluation:2": a process
kills itself as it comes to that place of `PLACES` for that time, or makes that call among those
that may wait for other ranks. With "+" after the number, as in "3:begin:2+", it dies right after
it; with "!" it does not die, but the call fails.
"""

import faulthandler
import os
import signal
import sys
from importlib import import_module
from time import sleep

from mpidbo import cli
from mpidbo.parallel.collectives import MARK, Mark
from mpidbo.solver import copies

RANK = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0))
LIMIT = "MPIDBO_TEST_LIMIT"
"""Seconds after which a process prints where it is, and ends."""
PLACES = {
    "iteration": ("network.levels", "Levels.at"),
    "evaluation": ("solver.evaluation", "Evaluation.look"),
    "checkpoint": ("storage.checkpoint", "Checkpoints._write"),
    "manifest": ("storage.checkpoint", "Checkpoints._commit"),
    "observing": ("solver.copies", "Copies.observe"),
    "copy": ("solver.copies", "Copies._begin"),
    "copied": ("parallel.buddies", "Buddies.complete"),
    "recovery": ("solver.survive", "_left"),
    "shrinking": ("parallel.survivors", "shrink"),
    "settling": ("parallel.collectives", "Derived.settle"),
    "setup": ("solver.execute", "set_up"),
    "dealing": ("solver.copies", "Copies.newest"),
    "result": ("solver.recorder", "Recorder.finish"),
}
"""Where a rank may die: a module and a function of it, or a method."""


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Mark):
    """The mark of a process that dies at a call."""

    __slots__ = ()
    last = 0

    @property
    def entered(self):
        return Mark.entered.__get__(self)

    @entered.setter
    def entered(self, calls):
        Mark.entered.__set__(self, calls)
        if calls == Mortal.last:
            die()


def deadly(place, count, how):
    """Let the process die when it comes to a place for the `count`th time, or right after it."""
    module, name = PLACES[place]
    *owners, attribute = name.split(".")
    owner = import_module(f"mpidbo.{module}")
    for one in owners:
        owner = getattr(owner, one)
    usual, left = getattr(owner, attribute), [count]

    def function(*arguments, **options):
        left[0] -= 1
        if not left[0] and how == "!":
            sleep(1)  # the others come as far as they can without this one
            raise sys.modules["mpi4py.MPI"].Exception(1)
        if not left[0] and not how:
            die()
        try:
            return usual(*arguments, **options)
        finally:
            if not left[0]:
                die()

    setattr(owner, attribute, function)


for death in os.environ["MPIDBO_TEST_DEATHS"].split():
    rank, place, count = death.split(":")
    if int(rank) == RANK and place == "call":
        Mortal.last, MARK.__class__ = int(count), Mortal
    elif int(rank) == RANK:
        deadly(place, int(count.rstrip("+!")), count.lstrip("0123456789"))
copies.MAX_FAILURES = int(os.environ.get("MPIDBO_TEST_FAILURES", copies.MAX_FAILURES))
if LIMIT in os.environ:
    faulthandler.dump_traceback_later(float(os.environ[LIMIT]), exit=True)
sys.exit(cli.main())

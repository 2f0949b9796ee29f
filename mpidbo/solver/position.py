"""The place in the program at which a thread waits or computes, for messages of the stall watch."""

import re
import sys
import threading
from itertools import dropwhile
from linecache import getline
from pathlib import Path
from sysconfig import get_paths
from traceback import walk_stack
from typing import NamedTuple

from ..network import exchange
from ..parallel import MARK, WORKER, Workers, agents, agreement, background, collectives
from . import stopping

PACKAGE = __name__.partition(".")[0]
WAITING_MODULES = {
    module.__name__ for module in (agents, agreement, background, collectives, exchange, stopping)
}
"""Modules that wait for other ranks, or run a block and then wait; their caller is reported."""
LIBRARIES = tuple(get_paths()[key] for key in ("stdlib", "purelib", "platlib"))
LEVEL = re.compile(r"\bW(?:\.([xyz]))? @")


class Line(NamedTuple):
    """A line that a thread executes, of a frame of its stack."""

    file: str
    number: int
    text: str
    module: str

    @property
    def is_own(self) -> bool:
        """Whether it is of this package."""
        return self.module.partition(".")[0] == PACKAGE

    @property
    def is_waiting(self) -> bool:
        """Whether it is of `WAITING_MODULES`."""
        return self.module in WAITING_MODULES


def position(thread: int) -> str:
    """Return where a thread is: the level that it waits for in W @, or else a line of the program.

    Parameters
    ----------
    thread : int
        The identifier of the thread that makes the collective calls.
    """
    is_waiting = MARK.waiting
    stack = _lines(thread)
    if is_waiting:
        for line in stack:
            level = LEVEL.search(line.text)
            if line.is_own and not line.is_waiting and level:
                return f"level {level[1]}" if level[1] else "all levels"
    own = _own(stack)
    if is_waiting:  # the line that called the waiting module, not the call of MPI in it
        inside = dropwhile(lambda line: not line.is_waiting, own)
        own = list(dropwhile(lambda line: line.is_waiting, inside)) or own
    if own and own[0].module == Workers.__module__:
        own = _of_a_worker() or own
    last = own[0] if own else stack[0]
    return f"{Path(last.file).name}, line {last.number}: {last.text}"


def _lines(thread: int) -> list[Line]:
    """The stack of a thread, from its innermost frame outwards."""
    lines = []
    for frame, number in walk_stack(sys._current_frames()[thread]):
        module, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
        try:
            text = getline(file, number, frame.f_globals).strip()
        except (KeyError, TypeError):  # another thread is changing the cache of lines
            text = ""
        lines.append(Line(file, number, text, module))
    return lines


def _own(stack: list[Line]) -> list[Line]:
    """The lines of this package and of the user."""
    return [line for line in stack if line.is_own or not line.file.startswith(LIBRARIES)]


def _of_a_worker() -> list[Line]:
    """The lines of a thread that still computes agents, while the caller's waits for it."""
    for thread in threading.enumerate():
        own = _own(_lines(thread.ident)) if thread.ident and thread.name.startswith(WORKER) else []
        if own:
            return own
    return []

"""The place in the program at which a thread waits or computes, for messages of the stall watch."""

import re
import sys
from collections.abc import Iterator
from itertools import dropwhile
from linecache import getline
from pathlib import Path
from sysconfig import get_paths
from traceback import walk_stack
from types import FrameType
from typing import NamedTuple

from ..network import exchange
from ..parallel import MARK, agents, agreement, background, collectives
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
    is_own: bool
    """Whether it is of this package."""
    is_waiting: bool
    """Whether it is of `WAITING_MODULES`."""


def position(thread: int) -> str:
    """Return where a thread is: the level that it waits for in W @, or else a line of the program.

    Parameters
    ----------
    thread : int
        The identifier of the thread that makes the collective calls.
    """
    is_waiting = MARK.waiting
    stack = list(_lines(sys._current_frames()[thread]))
    if is_waiting:
        for line in stack:
            level = LEVEL.search(line.text)
            if line.is_own and not line.is_waiting and level:
                return f"level {level[1]}" if level[1] else "all levels"
    own = [line for line in stack if line.is_own or not line.file.startswith(LIBRARIES)]
    if is_waiting:  # the line that called the waiting module, not the call of MPI in it
        inside = dropwhile(lambda line: not line.is_waiting, own)
        own = list(dropwhile(lambda line: line.is_waiting, inside)) or own
    last = own[0] if own else stack[0]
    return f"{Path(last.file).name}, line {last.number}: {last.text}"


def _lines(top: FrameType) -> Iterator[Line]:
    """From the innermost frame of a thread outwards."""
    for frame, number in walk_stack(top):
        module, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
        text = getline(file, number, frame.f_globals).strip()
        is_own = module.partition(".")[0] == PACKAGE
        yield Line(file, number, text, is_own, module in WAITING_MODULES)

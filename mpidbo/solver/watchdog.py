"""No silent hang: a thread on each rank that ends the job when an exchange does not complete.

A collective cannot tell who is silent. So the watch of a rank that has waited too long leaves a note of where it stands in the run's
folder, the watches of the other ranks add theirs, and the ranks without a note are the silent ones.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import dropwhile
from linecache import getline
from pathlib import Path
from socket import gethostname
from sysconfig import get_paths
from threading import Event, Thread, get_ident
from time import sleep
from traceback import walk_stack
from typing import Any, NamedTuple

from ..errors import Stalled
from ..network import exchange
from ..parallel import agents, background, collectives
from ..parallel.collectives import MARK, barrier
from ..parallel.launcher import abort
from ..storage.checkpoint import newest_complete
from ..storage.files import whole
from . import stopping
from .loop import Loop

NOTES = "stall"
"""The folder of the notes, in the run's folder."""
PACKAGE = __name__.partition(".")[0]
BETWEEN_RANKS = {module.__name__ for module in (agents, background, collectives, exchange, stopping)}
"""The modules that wait for others, or run a block and then wait: the place to report is the caller's."""
LIBRARIES = tuple(get_paths()[key] for key in ("stdlib", "purelib", "platlib"))
LEVEL = re.compile(r"\bW(?:\.([xyz]))? @")
MAX_NAMED = 4
"""More ranks than these are counted rather than listed."""


class Frame(NamedTuple):
    """A frame of the main thread; `own` where it is of this package, `between` where of `BETWEEN_RANKS`."""

    file: str
    number: int
    line: str
    own: bool
    between: bool


class Watch:
    """Ends the job with exit code 4 once a rank has waited for the others for `timeout` seconds; 0: never. As a context.

    The time that a rank computes is not counted, nor is the time for which all of it was suspended. Inside a watch another may
    begin, which takes its place until it ends: one of `call`, from the first collective on, and in it one of the `loop`.

    Parameters
    ----------
    comm : the communicator, or None for one process.
    timeout : seconds of waiting.
    call : what every rank has to call, such as "solve"; the ranks may not yet have met.
    loop : the loop of a run. Entering is collective then.
    folder : the run's, or None: then each rank can tell only for whom it waits itself.
    """

    _inside: "list[Watch]" = []  # noqa: RUF012  # of this process, the one that counts last

    def __init__(self, comm: Any, timeout: float, call: str = "", *, loop: Loop | None = None, folder: Path | None = None) -> None:
        self.comm, self.timeout, self.call, self.loop = comm, timeout, call, loop
        self.folder, self.notes = folder, folder / NOTES if folder else None
        self.hosts: list[str] = []
        self.tick, self.grace = min(timeout / 20, 15.0), min(max(1.0, timeout / 5), 60.0)
        self._on = comm is not None and comm.size > 1 and timeout > 0
        self._over, self._main, self._first = Event(), get_ident(), 0
        self._told = False
        self._thread = Thread(target=self._watch, name="stall watch", daemon=True)

    def __enter__(self) -> "Watch":
        if self._on:
            if self.loop is not None:
                self.hosts = agents.texts(self.comm, gethostname())
                if self.comm.rank == 0 and self.notes:
                    shutil.rmtree(self.notes, ignore_errors=True)
                barrier(self.comm)
            self._first = MARK.entered
            Watch._inside.append(self)
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        if self._on:
            Watch._inside.remove(self)

    def _watch(self) -> None:
        waited, worked, seen = 0.0, 0.0, -1
        while not self._over.wait(self.tick):
            if Watch._inside[-1:] != [self]:
                waited, worked = 0.0, 0.0
                continue
            done, waiting, place = MARK.entered, MARK.waiting, self._place()
            waited, worked = ((waited + self.tick, 0.0) if waiting and done == seen else
                              (0.0, worked + self.tick) if done == seen else (0.0, 0.0))
            seen, stalled = done, waited >= self.timeout
            if stalled or (self.notes and self.notes.is_dir()):
                self._note({"waiting": waiting, "exchanges": done - self._first, "iteration": self.loop.k if self.loop else 0,
                            "place": place, "neighbours": self._neighbours()})
            if worked >= self.timeout and not self.notes and not self._told:
                self._tell_busy(place)
            if stalled and not self._over.wait(self.grace) and MARK.entered == done:
                self._end(place)

    def _neighbours(self) -> list[int]:
        """The ranks for which this one may wait."""
        if self.loop is None:
            return [rank for rank in range(self.comm.size) if rank != self.comm.rank]
        return sorted({rank for gossip in self.loop.W.distinct for rank in gossip.neighbours})

    def _place(self) -> str:
        """The level at which the main thread waits, or else the line of the program at which it is or waits."""
        stack, waiting = list(_frames(sys._current_frames()[self._main])), MARK.waiting
        for frame in stack if waiting else ():
            if frame.own and not frame.between and (found := LEVEL.search(frame.line)):
                return f"level {found[1]}" if found[1] else "all levels"
        ours = [frame for frame in stack if frame.own or not frame.file.startswith(LIBRARIES)]
        if waiting:                                      # its caller, not the call itself
            ours = [*dropwhile(lambda frame: frame.between, dropwhile(lambda frame: not frame.between, ours))] or ours
        last = ours[0] if ours else stack[0]
        return f"{Path(last.file).name}, line {last.number}: {last.line}"

    def _note(self, note: Mapping[str, Any]) -> None:
        if self.notes:
            with suppress(Exception):                    # a full disk must not keep the job from ending
                self.notes.mkdir(exist_ok=True)
                with whole(self.notes / f"rank-{self.comm.rank}.json") as path:
                    path.write_text(json.dumps({"rank": self.comm.rank, "host": gethostname(), **note}) + "\n")

    def _read(self) -> dict[int, Any]:
        """The note of each rank that left one."""
        found = {}
        for path in self.notes.glob("rank-*.json") if self.notes else ():
            with suppress(OSError, ValueError, KeyError):
                note = json.loads(path.read_text())
                found[int(note["rank"])] = note
        return found

    def _tell_busy(self, place: str) -> None:
        """Without a folder for notes, a rank that has computed so long says so itself: others may be about to end the job."""
        self._told = True
        with suppress(Exception):
            sys.stderr.write(f"rank {self.comm.rank}: mpidbo: busy for {self.timeout:g} s at {place}\n")
            sys.stderr.flush()

    def _end(self, place: str) -> None:
        """Say who is silent and end the job; one rank speaks, the first of those that wait."""
        notes, rank = self._read(), self.comm.rank
        speaker = min([other for other, note in notes.items() if note["waiting"]], default=rank)
        if speaker != rank:
            sleep(self.grace)                            # then the speaker cannot
        if rank in notes:
            about = self._diagnosis(notes)
        elif self.loop is not None:
            about = f"rank {rank} waits for {self._named(self._neighbours())} at iteration {self.loop.k}, {place}"
        else:
            sleep(self.grace * rank / (rank + 1))        # all wait for each other: the first of them speaks
            about = f"rank {rank} ({gethostname()}) waits for {self._others()} {self._at_the_start(place)}"
        said = f"mpidbo: stalled: no exchange completed for {self.timeout:g} s: {about}; {self._remedy()}"
        abort(self.comm, said, Stalled.exit_code)

    def _at_the_start(self, place: str) -> str:
        if MARK.entered - self._first > 1:               # all ranks have completed the first collective
            return f"at the start of {self.call}, {place}"
        return (f"to call {self.call}; call it on every rank, and start scripts with python -m mpi4py, which ends the job when a "
                "rank fails")

    def _diagnosis(self, notes: Mapping[int, Any]) -> str:
        silent = [rank for rank in range(self.comm.size) if rank not in notes]
        busy = [rank for rank, note in notes.items() if not note["waiting"]]
        waiting = {rank: note for rank, note in sorted(notes.items()) if note["waiting"]}
        first = min(waiting, key=lambda rank: waiting[rank]["exchanges"])
        if silent:
            said = f"{self._named(silent)} gave no sign"
            first = next((rank for rank in waiting if set(silent) & set(waiting[rank]["neighbours"])), first)
        elif busy:
            said = "; ".join(f"rank {rank} ({self.hosts[rank]}) is busy at {notes[rank]['place']}" for rank in busy)
        else:
            behind = [rank for rank, note in waiting.items() if note["exchanges"] == waiting[first]["exchanges"]]
            said = f"every rank waits, {self._named(behind)} the longest: look at the network there"
        note = waiting[first]
        return f"{said}; rank {first} ({note['host']}) waits at iteration {note['iteration']}, {note['place']}"

    def _remedy(self) -> str:
        newest = newest_complete(self.folder) if self.folder else None
        kept = "" if newest is None else (f"the newest complete checkpoint is of iteration {newest} (not verified), and the same "
                                          "command verifies it and goes on from there; ")
        return f"{kept}if a rank may take so long, raise run.stall_timeout"

    def _named(self, ranks: Iterable[int]) -> str:
        return " and ".join(f"rank {rank} ({self.hosts[rank]})" for rank in ranks)

    def _others(self) -> str:
        """All ranks but this one."""
        ranks = self._neighbours()
        return " and ".join(f"rank {rank}" for rank in ranks) if len(ranks) <= MAX_NAMED else f"the other {len(ranks)} ranks"


def _frames(top: Any) -> Iterator[Frame]:
    """From the innermost frame of a thread outwards."""
    for frame, number in walk_stack(top):
        module, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
        yield Frame(file, number, getline(file, number, frame.f_globals).strip(), module.partition(".")[0] == PACKAGE,
                    module in BETWEEN_RANKS)

"""No silent hang: a thread on each rank that ends the job when an exchange does not complete.

A collective cannot tell who is silent. So the watch of a rank that has waited too long leaves a note of where it stands in the run's
folder, the watches of the other ranks add theirs, and the ranks without a note are the silent ones.
"""

import json
import re
import shutil
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from sysconfig import get_paths
from threading import Event, Thread, get_ident
from time import sleep
from typing import Any

from .agents import Agents
from .checkpoint import newest_complete
from .errors import Stalled
from .files import whole
from .job import abort
from .runner import Loop

NOTES = "stall"
"""The folder of the notes, in the run's folder."""
WAITING = {"agents.py", "exchange.py", "stopping.py"}
"""The files of this package from which a rank waits for others."""
LIBRARIES = tuple(get_paths()[key] for key in ("stdlib", "purelib", "platlib"))
LEVEL = re.compile(r"\bW(?:\.([xyz]))? @")


class Watch:
    """Ends the job with exit code 4 once a rank has waited for the others for `timeout` seconds; 0: never. As a context.

    The time that a rank computes is not counted, nor is the time for which all of it was suspended. `folder` is the run's, or None:
    then each rank can tell only for whom it waits itself. Entering is collective.
    """

    def __init__(self, agents: Agents, loop: Loop, timeout: float, folder: Path | None = None) -> None:
        self.agents, self.loop, self.timeout = agents, loop, timeout
        self.folder, self.notes = folder, folder / NOTES if folder else None
        self.tick, self.grace = min(timeout / 20, 15.0), min(max(1.0, timeout / 5), 60.0)
        self._over, self._main = Event(), get_ident()
        self._thread = Thread(target=self._watch, name="stall watch", daemon=True)

    def __enter__(self) -> "Watch":
        if self.agents.comm is not None and self.timeout > 0:
            self.hosts = self.agents.texts(gethostname())
            if self.agents.rank == 0 and self.notes:
                shutil.rmtree(self.notes, ignore_errors=True)
            self.agents.barrier()
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()

    def _watch(self) -> None:
        waited, seen = 0.0, -1
        while not self._over.wait(self.tick):
            waiting, place = self._place()
            done = self._exchanges()
            waited, seen = (waited + self.tick if waiting and done == seen else 0.0), done
            stalled = waited >= self.timeout
            if stalled or (self.notes and self.notes.is_dir()):
                self._note({"waiting": waiting, "exchanges": done, "iteration": self.loop.k, "place": place,
                            "neighbours": self._neighbours()})
            if stalled and not self._over.wait(self.grace) and self._exchanges() == done:
                self._end(waiting_for=self._neighbours(), place=place)

    def _exchanges(self) -> int:
        """How many this rank has entered; while it waits in one, the number stays."""
        return self.loop.W.sent.rounds + self.agents.calls

    def _neighbours(self) -> list[int]:
        """The ranks for which this one may wait."""
        return sorted({rank for gossip in self.loop.W.distinct for rank in gossip.neighbours})

    def _place(self) -> tuple[bool, str]:
        """(whether the main thread waits for other ranks; the level, or else the line of the program, at which it is)."""
        stack = traceback.extract_stack(sys._current_frames()[self._main])
        here = Path(__file__).parent
        waiting = Path(stack[-1].filename).parent == here and Path(stack[-1].filename).name in WAITING
        for frame in reversed(stack):
            if Path(frame.filename).parent == here / "algorithms" and (found := LEVEL.search(frame.line or "")):
                return waiting, f"level {found[1]}" if found[1] else "all levels"
        own = [frame for frame in stack if Path(frame.filename).parent == here or not frame.filename.startswith(LIBRARIES)]
        last = next((frame for frame in reversed(own) if not waiting or Path(frame.filename).name not in WAITING), stack[-1])
        return waiting, f"{Path(last.filename).name}, line {last.lineno}: {last.line}"

    def _note(self, note: Mapping[str, Any]) -> None:
        if self.notes:
            with suppress(Exception):                    # a full disk must not keep the job from ending
                self.notes.mkdir(exist_ok=True)
                with whole(self.notes / f"rank-{self.agents.rank}.json") as path:
                    path.write_text(json.dumps({"rank": self.agents.rank, "host": gethostname(), **note}) + "\n")

    def _read(self) -> dict[int, Any]:
        """The note of each rank that left one."""
        found = {}
        for path in self.notes.glob("rank-*.json") if self.notes else ():
            with suppress(OSError, ValueError, KeyError):
                note = json.loads(path.read_text())
                found[int(note["rank"])] = note
        return found

    def _end(self, waiting_for: list[int], place: str) -> None:
        """Say who is silent and end the job; one rank speaks, the first of those that wait."""
        notes, rank = self._read(), self.agents.rank
        speaker = min([other for other, note in notes.items() if note["waiting"]], default=rank)
        if speaker != rank:
            sleep(self.grace)                            # then the speaker cannot
        about = (self._diagnosis(notes) if rank in notes else
                 f"rank {rank} waits for {self._named(waiting_for)} at iteration {self.loop.k}, {place}")
        said = f"mpidbo: stalled: no exchange completed for {self.timeout:g} s: {about}; {self._remedy()}"
        abort(self.agents.comm, said, Stalled.exit_code)

    def _diagnosis(self, notes: Mapping[int, Any]) -> str:
        silent = [rank for rank in range(self.agents.size) if rank not in notes]
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

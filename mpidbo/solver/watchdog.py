"""The stall watch: a thread on each rank that ends the job when an exchange does not complete.

A collective call cannot tell which rank is missing. So the watch of a rank that has waited too long
writes a note of where the rank is into the run's folder, the watches of the other ranks add theirs,
and the ranks without a note give no sign.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from threading import Event, Thread, get_ident
from time import sleep
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..errors import Stalled
from ..parallel import MARK, abort, allgather_text, barrier
from ..storage import atomic_write, newest_complete
from .loop import Loop
from .position import position

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

NOTES = "stall"
"""The folder of the notes, in the run's folder."""
MAX_NAMED = 4
"""More ranks than these are counted rather than listed."""


class StallWatch:
    """Context that ends the job with exit code 4 once a rank has waited too long for the others.

    The time that a rank computes is not counted, nor is the time for which all of the job was
    suspended. A watch inside another takes its place until it ends: the outer one covers a whole
    call from its first collective on, the inner one the loop in it, of which more is known. While
    it is paused, because the caller's own code runs, it ends nothing.

    Parameters
    ----------
    comm : Comm or None
        The communicator, None for one process, which is not watched.
    timeout : float
        Seconds of waiting; 0: no limit.
    call : str, optional
        What every rank has to call, such as "solve"; the ranks may not yet have met.
    loop : Loop, optional
        The loop of a run. Entering is collective then.
    folder : Path, optional
        The run's folder; without one each rank knows only for whom it waits itself.
    """

    _active: ClassVar[list["StallWatch"]] = []
    """The watches of this process; the last one counts."""

    def __init__(
        self,
        comm: "Comm | None",
        timeout: float,
        call: str = "",
        *,
        loop: Loop | None = None,
        folder: Path | None = None,
    ) -> None:
        self.comm: Any = comm
        self.timeout, self.call, self.loop = timeout, call, loop
        self.folder, self.notes = folder, folder / NOTES if folder else None
        self.hosts: list[str] = []
        self.tick = min(timeout / 20, 15.0)
        # Four ticks, in which the watches of the other ranks add their notes.
        self.grace = min(max(1.0, timeout / 5), 60.0)
        self._is_on = comm is not None and comm.size > 1 and timeout > 0
        self._over, self._main, self._first = Event(), get_ident(), 0
        self._has_reported = False
        self._thread = Thread(target=self._watch, name="stall watch", daemon=True)

    def __enter__(self) -> Self:
        if self._is_on:
            if self.loop is not None:
                self.hosts = allgather_text(self.comm, gethostname())
                # Notes of an earlier run, before any rank may write one.
                if self.comm.rank == 0 and self.notes:
                    shutil.rmtree(self.notes, ignore_errors=True)
                barrier(self.comm)
            self._first = MARK.entered
            self.resume()
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self.pause()

    def resume(self) -> None:
        """Watch again, in place of any other watch."""
        if self._is_on:
            StallWatch._active.append(self)

    def pause(self) -> None:
        """Leave the watching to the watch that was in place before, until `resume`."""
        if self in StallWatch._active:
            StallWatch._active.remove(self)

    def _watch(self) -> None:
        """Look every `tick` seconds; counted in ticks, time stops while the job is suspended."""
        waited, worked, seen = 0.0, 0.0, -1
        while not self._over.wait(self.tick):
            done, waiting, place = MARK.entered, MARK.waiting, position(self._main)
            if StallWatch._active[-1:] != [self]:  # paused, or another watch inside this one counts
                waited, worked = 0.0, 0.0
                if self not in StallWatch._active and self._is_asked_for_a_note():
                    self._write_note(waiting, place)
                continue
            if done != seen:
                waited, worked = 0.0, 0.0
            elif waiting:
                waited, worked = waited + self.tick, 0.0
            else:
                waited, worked = 0.0, worked + self.tick
            seen, stalled = done, waited >= self.timeout
            # The first rank that stalls makes the folder; with it all others write a note.
            if stalled or self._is_asked_for_a_note():
                self._write_note(waiting, place)
            if worked >= self.timeout and not self.notes and not self._has_reported:
                self._report_busy(place)
            # Unless the exchange completes after all.
            if stalled and not self._over.wait(self.grace) and MARK.entered == done:
                self._end(place)

    def _is_asked_for_a_note(self) -> bool:
        """Whether some rank has stalled, which makes the folder of the notes."""
        return self.notes is not None and self.notes.is_dir()

    def _neighbours(self) -> list[int]:
        """The ranks for which this one may wait."""
        if self.loop is None:
            return [rank for rank in range(self.comm.size) if rank != self.comm.rank]
        return sorted({rank for gossip in self.loop.W.distinct for rank in gossip.neighbours})

    def _write_note(self, waiting: bool, place: str) -> None:
        """Write where this rank is into the run's folder."""
        if not self.notes:
            return
        rank = self.comm.rank
        note = {
            "rank": rank,
            "host": gethostname(),
            "waiting": waiting,
            "exchanges": MARK.entered - self._first,
            "iteration": self.loop.k if self.loop else 0,
            "place": place,
            "neighbours": self._neighbours(),
        }
        with suppress(Exception):  # a full disk must not keep the job from ending
            self.notes.mkdir(exist_ok=True)
            with atomic_write(self.notes / f"rank-{rank}.json") as path:
                path.write_text(json.dumps(note) + "\n")

    def _read_notes(self) -> dict[int, Any]:
        """The note of each rank that left one."""
        found: dict[int, Any] = {}
        if not self.notes:
            return found
        for path in self.notes.glob("rank-*.json"):
            with suppress(OSError, ValueError, KeyError):
                note = json.loads(path.read_text())
                found[int(note["rank"])] = note
        return found

    def _report_busy(self, place: str) -> None:
        """Print that this rank has computed so long: others may be about to end the job.

        With a folder a note says so.
        """
        self._has_reported = True
        with suppress(Exception):
            sys.stderr.write(
                f"rank {self.comm.rank}: mpidbo: busy for {self.timeout:g} s at {place}\n"
            )
            sys.stderr.flush()

    def _end(self, place: str) -> None:
        """Print who gives no sign and end the job; the first of the ranks that wait does so."""
        notes, rank = self._read_notes(), self.comm.rank
        speaker = min([other for other, note in notes.items() if note["waiting"]], default=rank)
        if speaker != rank:
            sleep(self.grace)  # longer than this only where the speaker cannot
        if rank in notes:
            diagnosis = self._diagnosis(notes)
        elif self.loop is not None:
            others = self._named(self._neighbours())
            diagnosis = f"rank {rank} waits for {others} at iteration {self.loop.k}, {place}"
        else:
            # All may wait for each other: the first of them ends the job before the others wake up.
            sleep(self.grace * rank / (rank + 1))
            diagnosis = (
                f"rank {rank} ({gethostname()}) waits for {self._others()} {self._in_call(place)}"
            )
        message = (
            f"mpidbo: stalled: no exchange completed for {self.timeout:g} s: {diagnosis}; "
            f"{self._remedy()}"
        )
        abort(self.comm, message, Stalled.exit_code)

    def _in_call(self, place: str) -> str:
        """Where in `call` this rank waits."""
        if MARK.entered - self._first > 1:  # all ranks have completed the first collective
            return f"at the start of {self.call}, {place}"
        return (
            f"to call {self.call}; call it on every rank, and start scripts with python -m mpi4py, "
            "which ends the job when a rank fails"
        )

    def _diagnosis(self, notes: Mapping[int, Any]) -> str:
        """Describe who keeps the others waiting, from the notes of all ranks that left one."""
        silent = [rank for rank in range(self.comm.size) if rank not in notes]
        busy = [rank for rank, note in notes.items() if not note["waiting"]]
        waiting = {rank: note for rank, note in sorted(notes.items()) if note["waiting"]}
        fewest = min(note["exchanges"] for note in waiting.values())
        last = [rank for rank, note in waiting.items() if note["exchanges"] == fewest]
        first = last[0]
        if silent:
            cause = f"{self._named(silent)} gave no sign"
            of_silent = [
                rank for rank, note in waiting.items() if set(silent) & set(note["neighbours"])
            ]
            first = of_silent[0] if of_silent else first
        elif busy:
            cause = "; ".join(
                f"rank {rank} ({self.hosts[rank]}) is busy at {notes[rank]['place']}"
                for rank in busy
            )
        else:
            cause = f"every rank waits, {self._named(last)} the longest: look at the network there"
        note = waiting[first]
        where = f"at iteration {note['iteration']}, {note['place']}"
        return f"{cause}; rank {first} ({note['host']}) waits {where}"

    def _remedy(self) -> str:
        newest = newest_complete(self.folder) if self.folder else None
        checkpoint = ""
        if newest is not None:
            checkpoint = (
                f"the newest complete checkpoint is of iteration {newest} (not verified), and the "
                "same command verifies it and resumes from it; "
            )
        return f"{checkpoint}if a rank may take so long, raise run.stall_timeout"

    def _named(self, ranks: Iterable[int]) -> str:
        return " and ".join(f"rank {rank} ({self.hosts[rank]})" for rank in ranks)

    def _others(self) -> str:
        """All ranks but this one."""
        ranks = self._neighbours()
        if len(ranks) > MAX_NAMED:
            return f"the other {len(ranks)} ranks"
        return " and ".join(f"rank {rank}" for rank in ranks)

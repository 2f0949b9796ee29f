"""One run at a time in a folder: a lock with host, process and heartbeat, which a crash cannot leave behind for long.

The lock is the file `.lock` in the run's folder, held by rank 0. A thread touches it every `BEAT` seconds. Whether its
holder is alive is decided by

- the process number and its start time, on the same machine;
- `flock`, in another container of the same machine;
- the heartbeat, on another machine: `flock` may not reach that far. After `DEAD` seconds without one it is dead.
"""

import fcntl
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

from ..errors import UserError

LOCK = ".lock"
BEAT = 15.0
"""Seconds between two heartbeats."""
DEAD = 180.0
"""Seconds without a heartbeat after which a process on another machine is taken for dead."""
EMPTY = 10.0
"""The same for a lock whose holder has not written its name yet."""
GRACE = 5.0
"""Seconds that a run waits for a process to end that is alive: launchers take a while to end theirs."""


class Place:
    """A folder and, on rank 0, its lock: `verify` raises UserError once another folder or lock is at its path."""

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self._folder: int | None = None
        self._lock = lock
        self.lost = False
        """Whether a heartbeat has found what `verify` raises."""
        self._open()
        self._over = Event()
        if lock is not None:
            Thread(target=self._beat, args=(lock,), name="heartbeat", daemon=True).start()

    def _open(self) -> None:
        """Remember which folder it is; on a network file system other nodes may see a new one a little later."""
        with suppress(FileNotFoundError):
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def _beat(self, lock: int) -> None:
        while not self._over.wait(BEAT):
            with suppress(OSError):
                os.utime(lock)
            try:
                self.verify()
            except UserError:
                self.lost = True

    def verify(self) -> None:
        """UserError where the folder was moved, removed or replaced, or where another run has taken it."""
        if self._folder is None:
            self._open()
        elif _same(self.path, self._folder) is False:
            raise UserError(f"{self.path}: was moved, removed or replaced while this run wrote to it; nothing more is written "
                            "there, start again with another run.out")
        if self._lock is not None and _same(self.path / LOCK, self._lock, missing=None) is False:
            raise UserError(f"{self.path}: was taken by another run, since this one gave no sign of life for "
                            f"{DEAD:g} s; nothing more is written there, start again with another run.out")

    def release(self, now: Path | None = None) -> None:
        """Give the lock back; `now` is where the folder is, if it was renamed."""
        if self._over.is_set():
            return
        self._over.set()
        if self._lock is not None:
            path = (now or self.path) / LOCK
            with suppress(OSError):
                if _same(path, self._lock):
                    path.unlink()
            os.close(self._lock)
        if self._folder is not None:
            os.close(self._folder)


class Claim:
    """Takes the lock of a folder once no living process has it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LOCK
        self.seconds = 0.0
        """How much longer to wait at most, after an `attempt` without an answer."""
        self.waiting = ""
        """For whom, in a sentence, where that may take long."""
        self._seen: tuple[int, int] | None = None
        self._since = monotonic()

    def attempt(self) -> Place | None:
        """The locked folder; None while only time can tell whether its holder is alive. UserError where it is."""
        while True:
            try:
                lock = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                if self._removed():
                    continue
                return None
            try:
                if _written(lock) and _same(self.path, lock):
                    return Place(self.folder, lock)
            except OSError:                     # the disk is full
                self.path.unlink(missing_ok=True)
                os.close(lock)
                raise
            os.close(lock)                      # writing took so long that another process took this one for dead

    def _removed(self) -> bool:
        """Whether the lock that was there is gone; UserError where its holder is alive."""
        try:
            lock = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            holder, free = Holder.read(lock), _flock(lock)
            alive = self._alive(holder, free, lock)
            if alive:
                raise UserError(f"run.out: {self.folder} is in use by {holder}; wait for its end, or choose another run.out")
            if alive is None:
                return False
            if _same(self.path, lock):          # unless another process was faster
                with suppress(FileNotFoundError):
                    self.path.unlink()
            return True
        finally:
            os.close(lock)

    def _alive(self, holder: "Holder", free: bool | None, lock: int) -> bool | None:
        """Whether the holder is alive; None: not known yet."""
        me = Holder.of_this_process()
        if (holder.machine, holder.namespace) == (me.machine, me.namespace):
            return self._ends_soon(holder) if _started(holder.pid) == holder.started else False
        if holder.machine == me.machine and holder.flock and free is not None:
            return False if free else self._ends_soon(holder)
        file = os.fstat(lock)
        if self._seen is None:
            self._seen, self._since = (file.st_ino, file.st_mtime_ns), monotonic()
        if self._seen != (file.st_ino, file.st_mtime_ns):
            return True                         # it has given a sign of life meanwhile
        silent = max(_now(self.folder) - file.st_mtime, monotonic() - self._since)
        self.seconds = (DEAD if holder.pid else EMPTY) - silent
        if holder.pid:
            self.waiting = (f"{self.folder}: {holder} gave its last sign of life {silent:.0f} s ago; unless it gives another, this "
                            f"run starts in {self.seconds:.0f} s")
        return None if self.seconds > 0 else False

    def _ends_soon(self, holder: "Holder") -> bool | None:
        """For a living process: None while it may be about to end."""
        self.seconds = GRACE - (monotonic() - self._since) if holder.pid != os.getpid() else 0
        return None if self.seconds > 0 else True


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; `pid` is 0 while that is not written yet."""

    host: str = ""
    pid: int = 0
    started: str = ""
    machine: str = ""
    namespace: str = ""
    flock: bool = False

    @classmethod
    def of_this_process(cls, flock: bool = False) -> "Holder":
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()), _machine(), _namespace(), flock)

    @classmethod
    def read(cls, lock: int) -> "Holder":
        try:
            found: Any = json.loads(os.pread(lock, 4096, 0))
            return cls(**{key: type(getattr(cls, key))(found[key]) for key in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            return cls()

    def __str__(self) -> str:
        return f"another run, process {self.pid} on {self.host}" if self.pid else "another run"


def _written(lock: int) -> bool:
    """Write who this is into a new lock; False where another process has got hold of it."""
    flock = _flock(lock)
    os.write(lock, json.dumps(vars(Holder.of_this_process(flock is True))).encode())
    return flock is not False


def _flock(lock: int) -> bool | None:
    """Whether nobody else has a lock on the file, which this process then has; None where the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


def _same(path: Path, number: int, missing: bool | None = False) -> bool | None:
    """Whether what is at `path` is the open file `number`; `missing` where nothing is; None where that cannot be read now."""
    try:
        there = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return missing
    except OSError:
        return None
    try:
        return os.path.samestat(there, os.fstat(number))
    except OSError:                             # a stale handle: the file was removed on its server
        return False


def _now(folder: Path) -> float:
    """The time by the clock of the folder's file system, which may differ from this machine's."""
    path = folder / f".now-{os.getpid()}.part"
    try:
        path.touch()
        return path.stat().st_mtime
    finally:
        path.unlink(missing_ok=True)


def _started(pid: int) -> str:
    """When a process was started, in the kernel's count; "" where there is none, or only its exit code."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "running"


def _machine() -> str:
    """This machine since it was started; containers on it have the same."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


def _namespace() -> str:
    """In which process numbers mean what they mean here."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""

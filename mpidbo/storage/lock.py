"""One run at a time in a folder: a lock that a crash cannot leave behind for long.

The lock is the file `.lock` in the run's folder, held by rank 0, with host and process as JSON. A
thread touches it every `BEAT_S` seconds. Whether its holder is alive is decided by

- the process number and its start time, on the same machine;
- `flock`, in another container of the same machine;
- the heartbeat, on another machine, as `flock` may not reach that far: after `DEAD_S` seconds
  without one the holder is dead.
"""

import fcntl
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic, time
from typing import Any

from ..errors import UserError

LOCK = ".lock"
BEAT_S = 15.0
"""Between two heartbeats."""
DEAD_S = 180.0
"""Without a heartbeat, after which a process on another machine counts as dead."""
DEAD_UNNAMED_S = 10.0
"""The same for a lock whose holder has not written its name yet."""
GRACE_S = 5.0
"""For which a run waits for a living process to end: launchers take a while to end theirs."""


def in_use(folder: Path) -> bool:
    """Return whether a living process has locked a folder, as far as a look can tell.

    Parameters
    ----------
    folder : Path
        The folder of a run. Nothing in it is changed, and nothing is waited for.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        holder, me = Holder.read(lock), Holder.of_this_process()
        if (holder.machine, holder.namespace) == (me.machine, me.namespace):
            return bool(holder.started) and _started(holder.pid) == holder.started
        return time() - os.fstat(lock).st_mtime < DEAD_S
    finally:
        os.close(lock)


def release_lock_of(folder: Path, host: str, pid: int) -> None:
    """Remove the lock that a process has left in a folder; it is known to be dead."""
    with suppress(OSError):
        lock = os.open(folder / LOCK, os.O_RDONLY)
        try:
            holder = Holder.read(lock)
            if (holder.host, holder.pid) == (host, pid) and _same(folder / LOCK, lock):
                (folder / LOCK).unlink()
        finally:
            os.close(lock)


class Place:
    """A run's folder and, on rank 0, its lock, which a thread keeps fresh.

    Parameters
    ----------
    path : Path
        The folder.
    lock : int or None
        The descriptor of the open lock; None on other ranks.
    """

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self._folder: int | None = None
        self._lock = lock
        self.lost = False
        """Whether the thread has found that `verify` raises."""
        self._open()
        self._over = Event()
        if lock is not None:
            Thread(target=self._beat, args=(lock,), name="heartbeat", daemon=True).start()

    def _open(self) -> None:
        """Remember which folder it is; on a network file system a new one may be seen later."""
        with suppress(FileNotFoundError):
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def _beat(self, lock: int) -> None:
        """Touch the lock, until the place is released."""
        while not self._over.wait(BEAT_S):
            with suppress(OSError):
                os.utime(lock)
            try:
                self.verify()
            except UserError:
                self.lost = True

    def verify(self) -> None:
        """Raise UserError where the folder was moved, removed, replaced or taken by another run."""
        if self._folder is None:
            self._open()
        elif _same(self.path, self._folder) is False:
            raise UserError(
                f"{self.path}: was moved, removed or replaced while this run wrote to it; nothing "
                "more is written there, start again with another run.out"
            )
        # A lock that is missing proves nothing; another one in its place does.
        if self._lock is not None and _same(self.path / LOCK, self._lock, missing=None) is False:
            raise UserError(
                f"{self.path}: was taken by another run, since this one gave no sign of life for "
                f"{DEAD_S:g} s; nothing more is written there, start again with another run.out"
            )

    def release(self, now: Path | None = None) -> None:
        """Remove the lock; `now` is where the folder is, if it was renamed."""
        if self._over.is_set():
            return
        self._over.set()
        if self._lock is not None:
            path = (now or self.path) / LOCK
            # Removed before closing unlocks it: unlocked it could count as that of a dead process.
            with suppress(OSError):
                if _same(path, self._lock):
                    path.unlink()
            os.close(self._lock)
        if self._folder is not None:
            os.close(self._folder)


class Claim:
    """An attempt to lock a folder, which succeeds once no living process has it locked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LOCK
        self.seconds = 0.0
        """How much longer to wait at most, after an `attempt` that returned None."""
        self.waiting = ""
        """For whom, as a message, where that may take long."""
        self._seen: tuple[int, int] | None = None
        self._since = monotonic()

    def attempt(self) -> Place | None:
        """Return the locked folder, or None where to try again later.

        That is while only time can show whether the holder of its lock is alive.

        Raises
        ------
        UserError
            Where the holder is alive.
        """
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
            except OSError:  # such as a full disk
                self.path.unlink(missing_ok=True)
                os.close(lock)
                raise
            # writing took so long that another process counted this one as dead
            os.close(lock)

    def _removed(self) -> bool:
        """Whether the lock that was there is removed; UserError where its holder is alive."""
        try:
            lock = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            holder, free = Holder.read(lock), _flock(lock)
            alive = self._alive(holder, free, lock)
            if alive:
                raise UserError(
                    f"run.out: {self.folder} is in use by {holder}; wait for its end, or choose "
                    "another run.out"
                )
            if alive is None:
                return False
            # unless another process was faster
            if _same(self.path, lock):
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
            return True  # there was a heartbeat meanwhile
        # Since the last heartbeat, or for as long as this process has watched.
        silent = max(_now(self.folder) - file.st_mtime, monotonic() - self._since)
        self.seconds = (DEAD_S if holder.pid else DEAD_UNNAMED_S) - silent
        if holder.pid:
            self.waiting = (
                f"{self.folder}: {holder} gave its last sign of life {silent:.0f} s ago; unless it "
                f"gives another, this run starts in {self.seconds:.0f} s"
            )
        return None if self.seconds > 0 else False

    def _ends_soon(self, holder: "Holder") -> bool | None:
        """For a living process: None while it may be about to end."""
        self.seconds = 0
        if holder.pid != os.getpid():  # this process does not end while it waits
            self.seconds = GRACE_S - (monotonic() - self._since)
        return None if self.seconds > 0 else True


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock; `pid` is 0 while it has not written its name."""

    host: str = ""
    pid: int = 0
    started: str = ""
    machine: str = ""
    namespace: str = ""
    flock: bool = False

    @classmethod
    def of_this_process(cls, flock: bool = False) -> "Holder":
        return cls(
            socket.gethostname(),
            os.getpid(),
            _started(os.getpid()),
            _machine(),
            _namespace(),
            flock,
        )

    @classmethod
    def read(cls, lock: int) -> "Holder":
        try:
            found: Any = json.loads(os.pread(lock, 4096, 0))
            # Each value in the type of its field's default.
            return cls(
                **{key: type(getattr(cls, key))(found[key]) for key in cls.__dataclass_fields__}
            )
        except (ValueError, KeyError, TypeError):
            return cls()

    def __str__(self) -> str:
        return f"another run, process {self.pid} on {self.host}" if self.pid else "another run"


def _written(lock: int) -> bool:
    """Write this process into a new lock; False where another process has locked it meanwhile."""
    flock = _flock(lock)
    os.write(lock, json.dumps(vars(Holder.of_this_process(flock is True))).encode())
    return flock is not False


def _flock(lock: int) -> bool | None:
    """Lock the file; False where another process has it locked, None without locks of files."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


def _same(path: Path, number: int, missing: bool | None = False) -> bool | None:
    """Whether `path` is the open file `number`.

    `missing` where it does not exist, None where the operating system does not answer now.
    """
    try:
        there = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return missing
    except OSError:
        return None
    try:
        return os.path.samestat(there, os.fstat(number))
    except OSError:  # a stale handle: the file was removed on its server
        return False


def _now(folder: Path) -> float:
    """The time by the clock of the folder's file system, which may not be this machine's."""
    path = folder / f".now-{os.getpid()}.part"
    try:
        path.touch()
        return path.stat().st_mtime
    finally:
        path.unlink(missing_ok=True)


def _started(pid: int) -> str:
    """When a process was started, by the kernel's clock; "" where it does not run any more."""
    try:
        # Fields 3 and 22 of proc(5), state and starttime; the name in field 2 may have brackets.
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
    """Return an identifier of this machine since it was started; the same in its containers."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


def _namespace() -> str:
    """The namespace of process numbers; other containers may have another."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""

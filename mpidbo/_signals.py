"""Signals that ask a program to stop, noted until a checkpoint is written.

They are SIGTERM and SIGUSR1, and in a run from Python also Ctrl-C and the interrupt of a notebook.

This module is light to import, because a command notes signals from its first line on, before it
loads numpy and MPI.
"""

import os
import signal
from contextlib import suppress
from time import monotonic, sleep
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
INTERRUPT_INTERVAL_S = 0.5
"""Interrupts that are closer are one: launchers forward what their ranks get from the terminal."""
TOGETHER_S = 0.1
"""Signals that are closer to an interrupt than this, in either order, arrive together."""


class Held:
    """Context that notes the first signal that asks the program to stop.

    An interrupt (SIGINT) is noted like the others; a second one raises KeyboardInterrupt at once.
    Within another context it uses that one's note.

    Attributes
    ----------
    reason : str
        Why the work in this context stops, for a message, once it does.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._noted, self._process = "", os.getpid()
        self._interrupted_at: float | None = None
        self._outer: Held | None = None
        self._kept: dict[int, Any] = {}

    @property
    def asked(self) -> str:
        """Name of the signal that was noted, or ""."""
        return self._outer.asked if self._outer else self._noted

    def __enter__(self) -> Self:
        self._outer = _active()
        if self._outer is None:
            # Not where it is ignored, as in a background job of a shell, or where others handle it.
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._catch(signal.SIGINT, self._interrupt)
            for number in SIGNALS:
                self._catch(number, self.ask)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        self._kept = {}

    def _catch(self, number: int, handler: Any) -> None:
        with suppress(ValueError):  # only the main thread may set handlers
            self._kept[number] = signal.signal(number, handler)

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, as its handler."""
        if os.getpid() == self._process:
            self._noted = self._noted or signal.Signals(number).name
        else:  # a forked worker has nothing to save, so the signal ends it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Note the first interrupt, as its handler."""
        now, before = monotonic(), self._interrupted_at
        if before is not None and now > before + INTERRUPT_INTERVAL_S:
            raise KeyboardInterrupt
        if before is None:
            self._interrupted_at = now
            self.ask(number, frame)


class Command(Held):
    """Context of a whole command.

    Ctrl-C interrupts it once, and not at all after a signal that asks it to stop.

    Parameters
    ----------
    to_the_end : bool
        Whether the process ends after the command. These signals are then ignored from its end on,
        because Python removes its handlers before MPI is finalized.
    """

    def __init__(self, to_the_end: bool) -> None:
        super().__init__()
        self.to_the_end = to_the_end
        self._interrupted = False
        self._arrived: Arrived | None = None

    def __enter__(self) -> Self:
        try:
            super().__enter__()
            with suppress(ValueError):  # outside of the main thread
                self._arrived = Arrived()
        except KeyboardInterrupt as error:  # of a handler that was just set
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.to_the_end:
            self._kept = dict.fromkeys(self._kept, signal.SIG_IGN)
        super().__exit__(kind, error, trace)
        if self._arrived:
            self._arrived.close()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            return
        self._interrupted = True
        # Python calls the handler of SIGINT first, also if other signals arrived before it, and
        # the system may deliver them later, to another thread.
        self._note_arrived(frame)
        if not self.asked:
            sleep(TOGETHER_S)
            self._note_arrived(frame)
        if not self.asked:
            raise KeyboardInterrupt

    def _note_arrived(self, frame: FrameType | None) -> None:
        for number in self._arrived.numbers() if self._arrived else ():
            if number in SIGNALS:
                self.ask(number, frame)


class Arrived:
    """The signals that have arrived, in order, also where Python has not called the handler."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        try:
            self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        except ValueError:
            os.close(self._read)
            os.close(self._write)
            raise

    def numbers(self) -> bytes:
        """Return the numbers of the signals since the last call."""
        try:
            return os.read(self._read, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Restore what received the signals before."""
        signal.set_wakeup_fd(self._before)
        os.close(self._read)
        os.close(self._write)


def asked() -> str:
    """Return the name of the signal that asked this process to stop, or ""."""
    held = _active()
    return held.asked if held else ""


def _active() -> Held | None:
    """Return the context that notes the signals of this process."""
    holder = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return holder if isinstance(holder, Held) else None

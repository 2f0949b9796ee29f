"""Signals that ask a program to stop, SIGTERM and SIGUSR1: noted, so that a checkpoint is written before it ends.

This module is light to import: a command notes signals from its first line on, before numpy and MPI are loaded.
"""

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Held:
    """Notes in `asked` the first signal that asks for the end, while it is entered. Within another one it shares what that has noted.

    `reason` names the cause, in a sentence, once what it is held for is to stop.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._noted, self._process = "", os.getpid()
        self._outer: Held | None = None
        self._kept: dict[int, Any] = {}

    @property
    def asked(self) -> str:
        """The name of the signal; "" without one."""
        return self._outer.asked if self._outer else self._noted

    def __enter__(self) -> Any:
        self._outer = _active()
        if self._outer is None:
            for number in SIGNALS:
                self._catch(number, self.ask)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        self._kept = {}

    def _catch(self, number: int, handler: Any) -> None:
        with suppress(ValueError):                      # only the main thread may; elsewhere the clock alone counts
            self._kept[number] = signal.signal(number, handler)

    def ask(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._process:
            self._noted = self._noted or signal.Signals(number).name
        else:                                           # a forked worker has no run to stop: whoever made it may end it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


class Command(Held):
    """Of a whole command. Ctrl-C interrupts it once, and not at all when it has been asked to stop.

    With `to_the_end` the process ends after it: from then on these signals are ignored, since Python gives up its handlers before
    MPI is finalized.
    """

    def __init__(self, to_the_end: bool) -> None:
        super().__init__()
        self.to_the_end, self._interrupted = to_the_end, False
        self._arrived: Arrived | None = None

    def __enter__(self) -> Any:
        super().__enter__()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._catch(signal.SIGINT, self._interrupt)
        with suppress(ValueError):                      # in another thread than the main one
            self._arrived = Arrived()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.to_the_end:
            self._kept = dict.fromkeys(self._kept, signal.SIG_IGN)
        super().__exit__(kind, error, trace)
        if self._arrived:
            self._arrived.close()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # Of signals that arrive together Python calls the handler of SIGINT first, whatever came first.
        for other in self._arrived.numbers() if self._arrived else ():
            if other in SIGNALS:
                self.ask(other, frame)
        if not (self.asked or self._interrupted):
            self._interrupted = True
            raise KeyboardInterrupt


class Arrived:
    """The signals that have arrived, in their order, also those whose handlers Python has not called yet."""

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
        """Those since the last call."""
        try:
            return os.read(self._read, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._read)
        os.close(self._write)


def asked() -> str:
    """The name of the signal that asked this process to stop; "" without one, or where none is noted."""
    held = _active()
    return held.asked if held else ""


def _active() -> Held | None:
    """What notes the signals of this process."""
    holder = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return holder if isinstance(holder, Held) else None

"""The loggers of a run: each has a thread of its own on rank 0, so that none can stop the run."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Self

import numpy as np

from ..errors import Diverged, MpidboError, UserError, shown
from ..storage import About, Row, Status, column, files
from .evaluation import Evaluated
from .setup import Setup

CLOSING_S = 60.0
"""Seconds that loggers have, all together, to take their last rows once the run has ended."""


class Logs:
    """A watcher that passes each row of the history on to the loggers of `run.log`.

    Where a logger fails, there is one warning, and the run continues. At the end of its context the
    loggers are closed, unless `continues`; in its next context they get the rows that they lack.

    Parameters
    ----------
    setup : Setup
        The run, with its loggers on rank 0.
    folder : Path or None
        The run's folder.
    continues : callable, optional
        Whether the run continues after an error, with these loggers.

    Attributes
    ----------
    outcome : tuple of (Status, str)
        How the run has ended, unless an error leaves the context.
    """

    def __init__(
        self,
        setup: Setup,
        folder: Path | None,
        continues: Callable[[BaseException | None], bool] = lambda error: False,
    ) -> None:
        self.setup, self.folder, self.continues = setup, folder, continues
        self.outcome: tuple[Status, str] = ("stopped", "not finished")
        self._last = -1
        self._columns: dict[str, None] = {}
        self._feeds: list[_Feed] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.continues(error):
            return
        for feed in self._feeds:
            feed.put("close", *(self.outcome if error is None else _outcome(error)))
        # Shorter than other ranks wait for this one.
        timeout = self.setup.config.run.stall_timeout
        deadline = monotonic() + min(CLOSING_S, timeout / 2 or CLOSING_S)
        for feed in self._feeds:
            feed.join(max(0.0, deadline - monotonic()))
            feed.warn()

    @property
    def started(self) -> bool:
        """Whether there are loggers, on this rank, that have been started."""
        return bool(self._feeds)

    def begin(self, history: Mapping[str, Sequence[float]]) -> None:
        """Start the loggers, with the rows of the history so far, unless they have been started."""
        if self._feeds or not self.setup.loggers:
            return
        tables = self.setup.config.tables()
        name = f"{tables['problem']['name']} {tables['method']['name']}"
        about = About(
            folder=self.folder,
            name=self.folder.name if self.folder else name,
            config={key: _plain(value) for key, value in files.flat(tables).items()},
            rows=[
                self._row(dict(zip(history, values, strict=True)))
                for values in zip(*history.values(), strict=True)
            ],
        )
        self._feeds = [_Feed(name, cls, about) for name, cls in self.setup.loggers]

    def __call__(self, evaluated: Evaluated) -> None:
        if self._feeds and evaluated.iteration > self._last:
            self._last = evaluated.iteration
            row = self._row(evaluated.row)
            for feed in self._feeds:
                feed.put("log", row)
                feed.warn()

    def _row(self, values: Mapping[str, float]) -> Row:
        """A row for loggers; its columns have the order of the history."""
        self._columns |= dict.fromkeys(values)
        return {
            name: int(values[name]) if column(name).dtype is np.int64 else float(values[name])
            for name in self._columns
            if isfinite(values.get(name, np.nan))
        }


class _Feed:
    """A thread that makes a logger and calls it, and that keeps the first of its errors."""

    def __init__(self, name: str, cls: type[Any], about: About) -> None:
        self.name = name
        self._calls: SimpleQueue[tuple[str, tuple[Any, ...]]] = SimpleQueue()
        self._mistake, self._has_failed = "", False
        self._thread = Thread(target=self._work, args=(cls, about), name=f"logger {name}")
        self._thread.daemon = True  # a logger that hangs must not keep the program from its end
        self._thread.start()

    def put(self, method: str, *arguments: Any) -> None:
        """Let the logger's method be called, once those before it have been."""
        self._calls.put((method, arguments))

    def join(self, seconds: float) -> None:
        """Wait until the logger is closed."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._fail(f"has not finished in time, and is left alone; {files.HISTORY} has all rows")

    def warn(self) -> None:
        """Warn of the first error, unless that was done."""
        if self._mistake:
            message, self._mistake = self._mistake, ""
            warnings.warn(f"run.log: {self.name} {message}", stacklevel=3)

    def _work(self, cls: type[Any], about: About) -> None:
        try:
            logger = cls(about)
        except Exception as error:
            self._fail(f"cannot be started ({_described(error)}); the run continues without it")
            return
        method = ""
        while method != "close":
            method, arguments = self._calls.get()
            try:
                getattr(logger, method)(*arguments)
            except Exception as error:
                self._fail(f"failed ({_described(error)}); the run continues")

    def _fail(self, message: str) -> None:
        if not self._has_failed:
            self._mistake, self._has_failed = message, True


def _outcome(error: BaseException) -> tuple[Status, str]:
    """How a run ends with an error."""
    if isinstance(error, Diverged):
        return "diverged", str(error)
    if isinstance(error, Exception):
        return "failed", _described(error)
    return "stopped", "interrupted"


def _described(error: Exception) -> str:
    """An error on one line of bounded length."""
    text = str(error) if isinstance(error, MpidboError) else f"{type(error).__name__}: {error}"
    return str(UserError(text))


def _plain(value: Any) -> bool | int | float | str:
    """A value of the configuration as loggers take it."""
    return value if isinstance(value, bool | int | float | str) else shown(value)

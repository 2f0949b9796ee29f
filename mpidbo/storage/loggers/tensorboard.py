"""`run.log = ["tensorboard"]`: event files that TensorBoard shows."""

from pathlib import Path
from time import sleep, time
from typing import Any

from .base import About, Logger, Row, Status

FOLDER = "tensorboard"


class TensorBoard(Logger):
    """Scalars with the iteration as their step, the configuration as HPARAMS, and how it ended.

    They are written by TensorBoard's own writer, which needs no TensorFlow. A run that is resumed
    begins a new event file, which first tells TensorBoard to forget the rows that are made again.
    """

    package = "tensorboard"
    files = (FOLDER,)
    needs_folder = True

    def __init__(self, about: About) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        assert about.folder is not None
        self.Event, self.Summary = event_pb2.Event, summary_pb2.Summary
        folder = about.folder / FOLDER
        is_there = _wait_for_a_new_name(folder)
        self.writer = EventFileWriter(str(folder))
        if is_there:
            first = 1 + int(about.rows[-1]["iteration"]) if about.rows else 0
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(first, session_log=start)
        else:
            self._add(0, summary=hparams_pb(dict(about.config)))
            for row in about.rows:
                self._add_row(row)
        self.writer.flush()

    def log(self, row: Row) -> None:
        self._add_row(row)
        self.writer.flush()

    def close(self, status: Status, reason: str) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(0, summary=text_pb("ended", f"{status}: {reason}"))
        self.writer.close()

    def _add_row(self, row: Row) -> None:
        scalars = [
            self.Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "iteration"
        ]
        self._add(int(row["iteration"]), summary=self.Summary(value=scalars))

    def _add(self, step: int, **content: Any) -> None:
        self.writer.add_event(self.Event(wall_time=time(), step=step, **content))


def _wait_for_a_new_name(folder: Path) -> bool:
    """Whether there are event files, of which a new one will then be the last.

    TensorBoard reads them in the order of their names, which begin with the second of their start.
    """
    starts = [int(file.name.split(".")[3]) for file in folder.glob("events.out.tfevents.*")]
    if starts:
        sleep(min(1.0, max(0.0, max(starts) + 1 - time())))
    return bool(starts)

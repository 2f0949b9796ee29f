"""`run.log = ["jsonl"]`: the history as a file of JSON lines, which any program can follow."""

import json

from .base import About, Logger, Row

FILE = "history.jsonl"


class Jsonl(Logger):
    """A line for each row in history.jsonl.

    A run that is resumed writes the file again from its history, so that it is as if the run had
    never been interrupted.
    """

    files = (FILE,)
    needs_folder = True

    def __init__(self, about: About) -> None:
        assert about.folder is not None
        self.path = about.folder / FILE
        self.path.write_text("".join(map(_line, about.rows)))

    def log(self, row: Row) -> None:
        with open(self.path, "a") as file:
            file.write(_line(row))


def _line(row: Row) -> str:
    return f"{json.dumps(dict(row), allow_nan=False)}\n"

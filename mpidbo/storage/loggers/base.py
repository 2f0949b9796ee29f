"""What a logger is: it is given the rows of a run's history, and takes them to a tool."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

Row = Mapping[str, int | float]
"""A row of the history: its columns with finite numbers, "iteration" first."""
Status = Literal["finished", "stopped", "diverged", "failed"]
"""How a run ended: by itself; on request, to be resumed; with an iterate that is not finite; or
with another error."""


@dataclass(frozen=True)
class About:
    """What a logger knows about its run.

    Parameters
    ----------
    folder : Path or None
        The run's folder; None for a run without files.
    name : str
        A name of the run: that of its folder, or else its method.
    config : mapping
        The configuration as hyper-parameters, such as {"steps.alpha": 0.1}: numbers, strings, true
        and false.
    rows : sequence of mapping, optional
        The rows of the history so far, where the run is resumed.
    """

    folder: Path | None
    name: str
    config: Mapping[str, bool | int | float | str]
    rows: Sequence[Row] = ()

    def stored(self, file: str) -> str:
        """Return what `store` has written into a file of the run's folder; "" for nothing."""
        path = self.folder / file if self.folder else None
        return path.read_text().strip() if path and path.is_file() else ""

    def store(self, file: str, text: str) -> None:
        """Keep a short text, such as the tool's name for this run, for a logger that resumes."""
        if self.folder:
            (self.folder / file).write_text(f"{text}\n")


class Logger(ABC):
    """Base class of loggers.

    A logger is made when the iterations begin, on rank 0, in a thread that it has for itself. If
    one of its methods raises an exception, the run continues, and the user sees a warning.

    Parameters
    ----------
    about : About
        The run.

    Attributes
    ----------
    package : str
        The module that has to be installed, "" for none; also the extra of mpidbo that installs it.
    files : tuple of str
        What it writes into the run's folder.
    needs_folder : bool
        Whether it can only write into the run's folder.
    """

    package: ClassVar[str] = ""
    files: ClassVar[tuple[str, ...]] = ()
    needs_folder: ClassVar[bool] = False

    def __init__(self, about: About) -> None:
        self.about = about

    @abstractmethod
    def log(self, row: Row) -> None:
        """Take a new row of the history.

        Parameters
        ----------
        row : mapping of str to number
            Its columns, with `row["iteration"]`. Columns whose value is not finite are left out.
        """

    def close(self, status: Status, reason: str) -> None:
        """Finish, as the run has ended.

        Parameters
        ----------
        status : {"finished", "stopped", "diverged", "failed"}
            How it ended.
        reason : str
            The same as a sentence.
        """
        return

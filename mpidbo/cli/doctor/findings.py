"""A finding of `mpidbo doctor`: a verdict, its subject and a text."""

from typing import NamedTuple

OK, WARNING, WRONG, ABSENT = "ok", "warning", "wrong", "-"


class Finding(NamedTuple):
    """A line of the report.

    Parameters
    ----------
    verdict : str
        `OK`, `WARNING`, `WRONG`, or `ABSENT` for what is missing and optional.
    subject : str
        What was checked, such as "mpi".
    text : str
        What was found, with the remedy unless the verdict is `OK`.
    """

    verdict: str
    subject: str
    text: str

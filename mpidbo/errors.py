"""Exceptions and exit codes.

The command `mpidbo` ends with one of these codes:

====  ===================  ======================================================================
code  exception            meaning
====  ===================  ======================================================================
0                          finished, now or before
1     any other            unforeseen; standard error has a traceback with the number of the rank
2     `UserError`          a mistake of the user
3     `Diverged`           an iterate is no longer finite
4     `Stalled`            the ranks waited for one of them for longer than `run.stall_timeout`
85    `Stopped`            stopped by a signal, a time limit or dead ranks; the same command resumes
130   `KeyboardInterrupt`  interrupted by Ctrl-C
====  ===================  ======================================================================
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date, time
from difflib import get_close_matches
from numbers import Number
from pathlib import PurePath
from types import MappingProxyType, NoneType
from typing import Any, ClassVar

from ._text import alternatives

STOPPED = 85
"""Exit code of a run that was asked to stop."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
MAX_VALUE, MAX_WORD, MAX_MESSAGE = 80, 240, 600
"""Characters of a value, a word (such as a path) and a message; longer ones are shortened."""
MAX_NAMES = 450
"""Characters of the names in a message that proposes all of them."""
MAX_SUGGESTIONS = 4
"""Names that a message proposes for a part of them."""
MIN_PART = 4
"""Letters of a part that makes two names similar."""


class MpidboError(Exception):
    """Base class of the errors of this package.

    Attributes
    ----------
    exit_code : int
        The exit code of the command that ends with this error.
    agreed : bool
        Whether every rank raises the error at the same point, so that no rank waits for another.
        The job is then not aborted.
    """

    exit_code: ClassVar[int] = 1
    agreed: bool = False

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the message, which says where and what to do."""
        return [f"{type(self).__name__}: {self}"]


class UserError(MpidboError):
    """A mistake of the user; the exit code is 2.

    The message is one printable line of at most 600 characters that says what is wrong, where, and
    how to fix it.

    Parameters
    ----------
    message : object, default ""
        Line breaks become spaces, unprintable characters become escapes, and long words are
        shortened.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: object = "") -> None:
        line = _printable(str(message).replace("\n", " "))
        long_word = rf"\S{{{MAX_WORD},}}"
        short = re.sub(long_word, lambda found: _shortened(found.group(), MAX_WORD), line)
        super().__init__(_shortened(short, MAX_MESSAGE))


class Diverged(MpidboError):
    """An iterate is no longer finite; the exit code is 3.

    The message names the iteration, the level and, where it is known, the oracle and the agent.

    Attributes
    ----------
    iteration : int or None
        The first iteration after which an iterate is not finite, or at which that was found where a
        state takes more than 256 MiB of a rank. None, as all that follows, where a run is not
        repeated that had diverged in its folder.
    level : str
        The level that blew up: "x", or "y and z".
    last_finite : int or None
        Iterations done at the newest iterate that is known to be finite.
    x, y : array (n, p) and (n, q), or None
        That iterate, a row for each agent; with ``gather=False`` this rank's rows.
    history : mapping of str to array
        The columns of the history so far.
    best : Best or None
        The best iterate by the metric of `run.best`, as a result has it.
    """

    exit_code: ClassVar[int] = 3
    agreed: bool = True
    # In the instance's dictionary where they are known, so that the error can be pickled.
    iteration: int | None = None
    level: str = ""
    last_finite: int | None = None
    x: Any = None
    y: Any = None
    history: Mapping[str, Any] = MappingProxyType({})
    best: Any = None


class Stopped(MpidboError):
    """The program has to stop where there is nothing to save; the exit code is 85.

    The message names the signal that asked for it, or what was lost with ranks that died.
    """

    exit_code: ClassVar[int] = STOPPED
    agreed: bool = True


class Stalled(MpidboError):
    """An exchange between ranks did not complete in time; the exit code is 4.

    The message names the ranks that the others wait for.
    """

    exit_code: ClassVar[int] = 4


def known_as(value: Any, known: Iterable[str]) -> str | None:
    """The known name that a value means, whatever its case, dashes and underscores; None for none.

    "D_SOBA" means d-soba, and "erdos renyi" means erdos-renyi.
    """
    if not isinstance(value, str):
        return None
    known = list(known)
    if value in known:
        return value
    return next((name for name in known if folded(name) == folded(value)), None)


def folded(name: str) -> str:
    """A name without what `known_as` ignores."""
    return re.sub(r"[-_ ]", "", name).casefold()


class Synonyms(dict[str, str]):
    """What others call known names, also as part of an annotation: name -> words with spaces."""

    def meant(self, word: str) -> list[str]:
        """Return the names that others call by a word."""
        wanted = folded(word)
        return [name for name, words in self.items() if wanted in map(folded, words.split())]


def did_you_mean(word: Any, known: Iterable[str], synonyms: Synonyms | None = None) -> str:
    """Return the remedy for an unknown word.

    It has the names that others call so, else those it is a part of or close to, or else all.
    """
    known = list(known)
    if isinstance(word, str):
        found = (synonyms or Synonyms()).meant(word) or _resembling(word[:MAX_WORD], known)
        if found:
            return f"did you mean {alternatives(found)}?"
    names = ", ".join(known) or "none"
    if len(names) > MAX_NAMES:
        names = f"{names[:MAX_NAMES].rpartition(', ')[0]}, ... ({len(known)} in all)"
    return f"known: {names}"


def _resembling(word: str, known: list[str]) -> list[str]:
    """The known names that have a word as a part; else the closest; else those that share one."""
    parts = set(_parts(word))
    holding = [name for name in known if parts and parts < set(_parts(name))]
    if 0 < len(holding) <= MAX_SUGGESTIONS:
        return holding
    by_form = {folded(name): name for name in reversed(known)}
    close = get_close_matches(folded(word), by_form, n=1, cutoff=0.6)
    if close:
        return [by_form[close[0]]]
    long_parts = {part for part in parts if len(part) >= MIN_PART}
    sharing = [name for name in known if long_parts & set(_parts(name))]
    return sharing if len(sharing) <= MAX_SUGGESTIONS else []


def _parts(name: str) -> list[str]:
    """The parts of a name between dashes, underscores and spaces."""
    return re.sub(r"[-_ ]", " ", name).casefold().split()


def shown(value: Any) -> str:
    """Return a value for a message, in the notation of a configuration, shortened if it is long."""
    try:
        text = json.dumps(value, default=_described, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        # keys that are not strings, a list that contains itself, a number of 10,000 digits
        text = _with_article(value)
    else:
        if not isinstance(value, (str, int, float, list, tuple, dict, NoneType, PurePath)):
            text = json.loads(text)  # a description: without quotes
    return _shortened(_printable(text), MAX_VALUE)


def _described(value: Any) -> str:
    """Describe a value of a type that JSON does not have."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if not value.shape:
            return str(value)
        return f"an array of shape {tuple(value.shape)} and type {value.dtype}"
    if isinstance(value, (Number, date, time, PurePath)):
        return str(value)
    return _with_article(value)


def _with_article(value: Any) -> str:
    """Name the type of a value: "a dict", "an array"."""
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _shortened(text: str, max_length: int) -> str:
    """Replace the middle of a longer string by dots."""
    if len(text) <= max_length:
        return text
    end = max_length // 3
    return f"{text[: max_length - end - 3]}...{text[-end:]}"


def _printable(text: str) -> str:
    """Replace characters that no terminal shows, and lone surrogates, by escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def out_of_memory(error: MemoryError) -> UserError:
    """Return the UserError for a lack of memory of the host or of a GPU."""
    reason = " ".join(str(error).split()) or "no more to be had"
    return UserError(
        f"out of memory ({reason}); spread the agents over more ranks, draw smaller batches, "
        'or set run.dtype = "float32"'
    )

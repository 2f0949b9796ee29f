"""What can go wrong, each with the exit code of the program."""

import json
import re
from collections.abc import Iterable
from datetime import date, time
from difflib import get_close_matches
from numbers import Number
from pathlib import PurePath
from types import NoneType
from typing import Any

VALUE, WORD, MESSAGE = 80, 240, 600
"""Characters of a value, a word (a path, a name) and a message as a whole; what is longer is cut in its middle."""


class MpidboError(Exception):
    """Base of this package's errors; `exit_code` is the program's. `agreed`: every rank raises it, and none waits for another."""

    exit_code = 1
    agreed = False


class UserError(MpidboError):
    """A mistake of the user: the message is one sentence that names what, where and the remedy.

    Whatever it quotes, the message is one line, can be printed, and is of bounded length.
    """

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        line = _printable(str(message).replace("\n", " "))
        words = re.sub(rf"\S{{{WORD},}}", lambda found: _cut(found.group(), WORD), line)
        super().__init__(_cut(words, MESSAGE))


class Diverged(MpidboError):
    """An iterate is no longer finite; the message names the iteration and the level."""

    exit_code = 3
    agreed = True


class Stopped(MpidboError):
    """A signal asked for the end before there was anything to keep; the message names it."""

    exit_code = 85
    agreed = True


class Stalled(MpidboError):
    """An exchange between ranks did not complete in time; the message names who is silent."""

    exit_code = 4


def is_one_of(value: Any, known: Iterable[str]) -> bool:
    """Whether a value, which may be anything, is one of these strings."""
    return isinstance(value, str) and value in list(known)


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown `word`: the likely spelling, or else all that is known."""
    known = list(known)
    close = get_close_matches(word[:WORD], known, n=1, cutoff=0.6) if isinstance(word, str) else []
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"


def shown(value: Any) -> str:
    """A value in a sentence, as a configuration writes it; a long one is cut."""
    try:
        text = json.dumps(value, default=_in_words, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):             # keys that are no strings, a list in itself, a number of 10,000 digits
        text = _of_type(value)
    else:
        if not isinstance(value, (str, int, float, list, tuple, dict, NoneType, PurePath)):
            text = json.loads(text)                             # in words: without quotes
    return _cut(_printable(text), VALUE)


def _in_words(value: Any) -> str:
    """A value that is not of a configuration's types."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and type {value.dtype}" if value.shape else str(value)
    return str(value) if isinstance(value, (Number, date, time, PurePath)) else _of_type(value)


def _of_type(value: Any) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _cut(text: str, most: int) -> str:
    """The beginning and the end of a text that is longer."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[:most - end - 3]}...{text[-end:]}"


def _printable(text: str) -> str:
    """The text with what no terminal shows, and half characters, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def out_of_memory(error: MemoryError) -> UserError:
    """Of the host or of a GPU, as a sentence."""
    return UserError(f"out of memory ({' '.join(str(error).split()) or 'no more to be had'}); spread the agents over more ranks, draw "
                     'smaller batches, or set run.dtype = "float32"')

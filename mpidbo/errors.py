"""What can go wrong, each with the exit code of the program."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class MpidboError(Exception):
    """Base of this package's errors; `exit_code` is the program's. `agreed`: every rank raises it, and none waits for another."""

    exit_code = 1
    agreed = False


class UserError(MpidboError):
    """A mistake of the user: the message is one sentence that names what, where and the remedy."""

    exit_code = 2


class Diverged(MpidboError):
    """An iterate is no longer finite; the message names the iteration and the level."""

    exit_code = 3
    agreed = True


class Stalled(MpidboError):
    """An exchange between ranks did not complete in time; the message names who is silent."""

    exit_code = 4


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown `word`: the likely spelling, or else all that is known."""
    known = list(known)
    close = get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"


def shown(value: Any) -> str:
    """A value in a sentence, as a configuration writes it."""
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def out_of_memory(error: MemoryError) -> UserError:
    """Of the host or of a GPU, as a sentence."""
    return UserError(f"out of memory ({' '.join(str(error).split()) or 'no more to be had'}); spread the agents over more ranks, draw "
                     'smaller batches, or set run.dtype = "float32"')

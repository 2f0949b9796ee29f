"""Contents of users' files: unpacked, as text in UTF-8, or as arrays of numpy."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""Exceptions of reading and unpacking a file."""
FAULTS = (*DAMAGE, ValueError)
"""The same, and that of unexpected content; `why` describes them."""
ENDINGS = ("", ".gz", ".bz2", ".xz")
"""Endings of a file's name, without and with compression."""
MAX_EXCERPT = 60
"""Characters of a user's text that a message repeats."""
MAX_REASON = 240
"""Characters of the reason of a fault."""
MAX_NAMES = 5
"""Names of arrays that a message lists."""
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def unpacked(content: bytes) -> bytes:
    """Return the content of a file unpacked, where it is of gzip, bzip2 or xz.

    Raises one of DAMAGE.
    """
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"BZh"):
        try:
            return bz2.decompress(content)
        except ValueError as error:
            raise EOFError(str(error)) from None
    return lzma.decompress(content) if content.startswith(b"\xfd7zXZ\0") else content


def begin(path: Path, length: int) -> bytes:
    """Return the first bytes of a file, unpacked."""
    with path.open("rb") as file:
        mark = file.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    opener = openers.get(mark[:2], open)
    with opener(path, "rb") as stream:
        return bytes(stream.read(length))


def read(path: Path) -> str:
    """Return the text of a file, packed or not. Raises one of FAULTS."""
    return decoded(unpacked(path.read_bytes()))


def decoded(content: bytes) -> str:
    r"""Return text without a byte-order mark, with lines that end in \\n.

    Raises ValueError where it is not UTF-8.
    """
    name = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    if not name and b"\0\0\0\0" in (content[:8:2], content[1:8:2]) and any(content[:8]):
        name = "UTF-16"
    if name:
        raise ValueError(f"it is text in {name}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"it is not text in UTF-8, see line {line}") from None
    if "\0" in text:
        raise ValueError("it is not text, but holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(text: str, comments: str = "#") -> Iterator[tuple[int, str]]:
    """Iterate over (number, line) of the lines that are not empty without their comments."""
    for number, line in enumerate(text.split("\n"), 1):
        for mark in comments:
            line = line.partition(mark)[0]
        if line.strip():
            yield number, line.strip()


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npy or .npz file by name ("" in a .npy), without unpickling.

    Raises one of FAULTS.
    """
    with path.open("rb") as stream:
        begin = stream.read(6)
        stream.seek(0)
        if begin != b"\x93NUMPY" and not begin.startswith(b"PK"):
            raise ValueError("it is not a file of numpy.save or numpy.savez")
        try:
            found = np.load(stream, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"": found}
            return {name: found[name] for name in found.files}
        except FAULTS:
            raise
        except Exception as error:  # a damaged header may raise anything
            raise ValueError(f"it is damaged: {error}") from None


def array(path: Path) -> NDArray[Any]:
    """Return the only array of a .npy or .npz file. Raises one of FAULTS."""
    found = arrays(path)
    if len(found) != 1:
        names = f": {', '.join(list(found)[:MAX_NAMES])}" if found else ""
        raise ValueError(f"it holds {len(found)} arrays{names}; save one alone")
    return next(iter(found.values()))


def excerpt(text: str) -> str:
    """Return the beginning of a user's text, quoted."""
    return repr(text if len(text) <= MAX_EXCERPT else f"{text[:MAX_EXCERPT]}...")


def why(error: Exception) -> str:
    """Return the reason of one of FAULTS in a line of bounded length."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if "allow_pickle" in str(error):
        return "it holds Python objects; save numbers"
    reason = " ".join(str(error).split()) or "it ends too early"
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}..."

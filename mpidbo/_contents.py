"""What users' files hold: unpacked, as text in UTF-8 with or without a byte-order mark, as an array of numpy."""

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
"""What reading and unpacking a file may raise."""
FAULTS = (*DAMAGE, ValueError)
"""The same, and where it does not hold what it should; `why` has the words."""
ENDINGS = ("", ".gz", ".bz2", ".xz")
"""Of a file's name: as it is, or packed."""
LENGTH = 60
"""Letters of a user's text that a sentence repeats."""
_MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def unpacked(content: bytes) -> bytes:
    """The content of a file of gzip, bzip2 or xz, which its first bytes tell; of another file its own. Raises one of DAMAGE."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"BZh"):
        try:
            return bz2.decompress(content)
        except ValueError as error:
            raise EOFError(str(error)) from None
    return lzma.decompress(content) if content.startswith(b"\xfd7zXZ\0") else content


def begin(path: Path, length: int) -> bytes:
    """The first bytes of a file, unpacked."""
    with path.open("rb") as file:
        mark = file.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    opener = openers.get(mark[:2], open)
    with opener(path, "rb") as stream:
        return bytes(stream.read(length))


def read(path: Path) -> str:
    """The text of a file, packed or not. Raises one of FAULTS."""
    return decoded(unpacked(path.read_bytes()))


def decoded(content: bytes) -> str:
    """Text without a byte-order mark, its lines ended by \\n. ValueError: it is not in UTF-8."""
    name = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    if not name and b"\0\0\0\0" in (content[:8:2], content[1:8:2]) and any(content[:8]):
        name = "UTF-16"
    if name:
        raise ValueError(f"it is text in {name}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[:error.start].count(b"\n") + 1
        raise ValueError(f"it is no text in UTF-8, see line {line}") from None
    if "\0" in text:
        raise ValueError("it is no text, but holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(text: str, comments: str = "#") -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that hold something but white space and a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        for mark in comments:
            line = line.partition(mark)[0]
        if line.strip():
            yield number, line.strip()


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npy or .npz file by name ("" in a .npy); nothing is unpickled. Raises one of FAULTS."""
    with path.open("rb") as stream:
        begin = stream.read(6)
        stream.seek(0)
        if begin != b"\x93NUMPY" and not begin.startswith(b"PK"):
            raise ValueError("it is no file of numpy.save or numpy.savez")
        try:
            found = np.load(stream, allow_pickle=False)
            return {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
        except FAULTS:
            raise
        except Exception as error:                          # of a damaged header: whatever its parts raise
            raise ValueError(f"it is damaged: {error}") from None


def array(path: Path) -> NDArray[Any]:
    """The one array of a .npy or .npz file. Raises one of FAULTS."""
    found = arrays(path)
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} arrays{': ' * bool(found)}{', '.join(list(found)[:5])}; save one alone")
    return next(iter(found.values()))


def excerpt(text: str) -> str:
    """The beginning of a user's text, quoted."""
    return repr(text if len(text) <= LENGTH else f"{text[:LENGTH]}...")


def why(error: Exception) -> str:
    """The reason of one of FAULTS, in a line of bounded length."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if "allow_pickle" in str(error):
        return "it holds Python objects; save numbers"
    said = " ".join(str(error).split()) or "it ends too early"
    return said if len(said) <= 4 * LENGTH else f"{said[:4 * LENGTH]}..."

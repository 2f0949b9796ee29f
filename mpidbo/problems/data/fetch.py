"""Data sets by name: the registry, their folders, and fetching them from the network."""

import hashlib
import os
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..._contents import DAMAGE, ENDINGS, unpacked
from ..._text import aligned
from ...errors import UserError, did_you_mean, known_as, shown

SUMS = "SHA256SUMS"
"""The file beside the data with the checksums of contents that the registry does not know, as of
their first fetch."""
BUILT_IN = ("digits", "synthetic")
"""Names of samples that need no file."""
TIMEOUT_S = 30
"""Seconds to wait for an answer of a server."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a data set: see the head of registry.toml."""

    name: str
    source: str
    sha256: str = ""
    md5: str = ""
    lines: bool = False
    samples: int = 0


@dataclass(frozen=True)
class DataSet:
    """A data set of the registry.

    `format` is "idx" (four files of MNIST's names) or "libsvm" (training samples, and test samples
    in a second file).
    """

    name: str
    about: str
    format: str
    origin: str
    licence: str
    urls: tuple[str, ...]
    files: tuple[File, ...]


@cache
def datasets() -> dict[str, DataSet]:
    """Return the data sets by their names."""
    tables = tomllib.loads(Path(__file__).with_name("registry.toml").read_text(encoding="utf-8"))
    return {
        name: DataSet(
            **{
                **table,
                "name": name,
                "urls": tuple(table["urls"]),
                "files": tuple(
                    File(**{"name": file, "source": file, **keys})
                    for file, keys in table["files"].items()
                ),
            }
        )
        for name, table in tables.items()
    }


def data_set_named(text: str) -> str | None:
    """The data set that a string names in the option `data`, in whatever case; None for none."""
    return known_as(text, [*BUILT_IN, *datasets()])


def dataset(name: str) -> DataSet:
    """Return the data set of that name. Raises UserError."""
    known = known_as(name, datasets())
    if known is None:
        raise UserError(f"no data set is called {shown(name)}; {did_you_mean(name, datasets())}")
    return datasets()[known]


def home() -> Path:
    """Return the folder of all data sets.

    The environment variable MPIDBO_DATA, else the user's cache folder.
    """
    named = os.environ.get("MPIDBO_DATA")
    return Path(named).expanduser().resolve() if named else Path(_pooch().os_cache("mpidbo"))


def located(name: str) -> Path:
    """Return the folder of a data set.

    Raises UserError, with the command that fetches it, if it is missing.
    """
    data = dataset(name)
    folder = home() / data.name
    missing = [file.name for file in data.files if present(folder / file.name) is None]
    if missing:
        raise UserError(
            f"data set {data.name}: {folder} holds no {missing[0]}; fetch it first: mpidbo data "
            f"fetch {data.name}"
        )
    return folder


def present(path: Path) -> Path | None:
    """Return a file, packed or not, None where there is none.

    An IDX file may also have a dot in its name: train-images.idx3-ubyte.
    """
    for name in (path.name, path.name.replace("-idx", ".idx")):
        for ending in ENDINGS:
            file = path.with_name(name + ending)
            if file.is_file():
                return file
    return None


def datasets_listing() -> str:
    """Return a table of all data sets: what they are, and whether they are here."""
    rows = [("name", "here", "what")]
    for name, data in datasets().items():
        here = all(present(home() / name / file.name) for file in data.files)
        rows.append((name, "yes" if here else "no", data.about))
    return f"{aligned(rows)}\n\n{home()} (MPIDBO_DATA names another folder); mpidbo data fetch NAME"


def fetch_dataset(name: str, url: str = "", log: Callable[[str], None] = print) -> Path:
    """Download a data set, unless it is here.

    Parameters
    ----------
    name : str
        A data set of the registry.
    url : str, optional
        A server in place of the registry's.
    log : callable, default print
        Is called with a line for each file. Files that are here are compared with their checksums
        and kept.

    Returns
    -------
    Path
        Its folder.

    Raises
    ------
    UserError
        No data set of that name, no connection, a content with another checksum, or a folder that
        cannot be written.
    """
    data = dataset(name)
    folder = home() / data.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in data.files:
            here = present(folder / file.name)
            if here:
                content = here.read_bytes()
                fault = _fault(file, unpacked(content), folder)
                if fault:
                    raise UserError(f"{here}: {fault}; remove it and fetch again")
                log(
                    f"{here}: here already"
                    + (_record(file, unpacked(content), folder) or ", and intact")
                )
                continue
            content = _download(data, file, (url,) if url else data.urls, folder)
            _write(folder / file.name, content)
            log(f"{folder / file.name}: fetched" + _record(file, content, folder))
    except DAMAGE as error:
        raise UserError(
            f"data set {name}: {error}; look at the folder {folder}, or set MPIDBO_DATA to another "
            "one"
        ) from None
    return folder


def _download(data: DataSet, file: File, urls: tuple[str, ...], folder: Path) -> bytes:
    """The uncompressed content of a file, from the first server with the right checksum."""
    pooch, faults = _pooch(), []
    pooch.get_logger().setLevel("ERROR")  # it would log each download with its own SHA-256
    for url in urls:
        address = f"{url.rstrip('/')}/{file.source}"
        try:
            downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT_S)
            with tempfile.TemporaryDirectory(dir=folder) as there:
                fetched = pooch.retrieve(
                    address, None, path=there, fname="file", downloader=downloader
                )
                wire = Path(fetched).read_bytes()
            md5 = hashlib.md5(wire, usedforsecurity=False).hexdigest()
            if file.md5 and md5 != file.md5:
                faults.append(f"{address}: md5 {md5} where {file.md5} is published")
                continue
            content = unpacked(wire)
        except DAMAGE as error:
            faults.append(f"{address}: {type(error).__name__}")
            continue
        fault = _fault(file, content, folder)
        if not fault:
            return content
        faults.append(f"{address}: {fault}")
    raise UserError(
        f"data set {data.name}: {file.name} cannot be fetched ({'; '.join(faults)}); try where "
        f"there is a network, name a server that has the files by --url, or put them into {folder} "
        "yourself"
    )


def _sum(file: File, content: bytes) -> str:
    """The sha256 of a content; of a file of lines without regard to white space at their ends."""
    if file.lines:
        content = b"".join(line.rstrip() + b"\n" for line in content.splitlines() if line.strip())
    return hashlib.sha256(content).hexdigest()


def _fault(file: File, content: bytes, folder: Path) -> str:
    """What is wrong with a content.

    "" where its checksum is the registry's, that of the first fetch, or the first one.
    """
    expected = file.sha256 or dict(_recorded(folder)).get(file.name)
    found = _sum(file, content)
    if expected and found != expected:
        return f"its content has the sha256 {found[:16]}... where {expected[:16]}... is expected"
    return ""


def _recorded(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (file, sha256) of the contents fetched before."""
    if (folder / SUMS).is_file():
        for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
            checksum, _, name = line.partition("  ")
            yield name, checksum


def _record(file: File, content: bytes, folder: Path) -> str:
    """Record the checksum of a content that the registry does not know.

    Return the end of the file's line in the log.
    """
    if file.sha256 or file.name in dict(_recorded(folder)):
        return ""
    checksum = _sum(file, content)
    with open(folder / SUMS, "a", encoding="utf-8") as sums:
        sums.write(f"{checksum}  {file.name}\n")
    trust = "its md5 is the published one" if file.md5 else "nobody has verified it"
    return f"; {trust}, its sha256 {checksum[:16]}... is now in {SUMS}"


def _write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def _pooch() -> Any:
    """The package that fetches. Raises UserError."""
    try:
        import pooch
    except ImportError:
        raise UserError(
            "pooch, which fetches data sets, is missing: pip install 'mpidbo[data]', or give the "
            "path of the files"
        ) from None
    return pooch

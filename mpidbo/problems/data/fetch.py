"""Data sets by name: what they are, where they lie, and how they come from the network."""

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
from ...errors import UserError, did_you_mean, shown

SUMS = "SHA256SUMS"
"""Beside the data: the sums of contents that the registry does not know, as of their first fetch."""
BUILT_IN = ("digits", "synthetic")
"""Samples that no file of the user holds."""
TIMEOUT = 30
"""Seconds without an answer of a server."""


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
    """A data set; `format` is "idx" (four files of MNIST's names) or "libsvm" (training samples, and test samples in a second file)."""

    name: str
    about: str
    format: str
    origin: str
    licence: str
    urls: tuple[str, ...]
    files: tuple[File, ...]


@cache
def registry() -> dict[str, DataSet]:
    """The data sets by their names."""
    tables = tomllib.loads(Path(__file__).with_name("registry.toml").read_text(encoding="utf-8"))
    return {name: DataSet(**{**table, "name": name, "urls": tuple(table["urls"]), "files": tuple(
        File(**{"name": file, "source": file, **keys}) for file, keys in table["files"].items())}) for name, table in tables.items()}


def is_name(text: str) -> bool:
    """Whether a problem's option `data` means a data set by this text, whatever files there are."""
    return text in BUILT_IN or text in registry()


def known(name: str) -> DataSet:
    """The data set of that name. Raises UserError."""
    if name not in registry():
        raise UserError(f"no data set is called {shown(name)}; {did_you_mean(name, registry())}")
    return registry()[name]


def home() -> Path:
    """Where data sets lie, a folder each: the environment variable MPIDBO_DATA, else the user's cache folder. Raises UserError."""
    named = os.environ.get("MPIDBO_DATA")
    return Path(named).expanduser().resolve() if named else Path(_pooch().os_cache("mpidbo"))


def located(name: str) -> Path:
    """The folder of a data set that is here. UserError: not, with the command that fetches it."""
    data, folder = known(name), home() / name
    missing = [file.name for file in data.files if present(folder / file.name) is None]
    if missing:
        raise UserError(f"data set {name}: {folder} holds no {missing[0]}; fetch it first: mpidbo data fetch {name}")
    return folder


def present(path: Path) -> Path | None:
    """That file, packed or not, where there is one; an IDX file also with a dot in its name: train-images.idx3-ubyte."""
    names = (path.name, path.name.replace("-idx", ".idx"))
    return next((file for name in names for ending in ENDINGS if (file := path.with_name(name + ending)).is_file()), None)


def listing() -> str:
    """All data sets, what they are and whether they are here."""
    rows = [("name", "here", "what")]
    for name, data in registry().items():
        here = all(present(home() / name / file.name) for file in data.files)
        rows.append((name, "yes" if here else "no", data.about))
    return f"{aligned(rows)}\n\n{home()} (MPIDBO_DATA names another folder); mpidbo data fetch NAME"


def fetch(name: str, url: str = "", told: Callable[[str], None] = print) -> Path:
    """Bring a data set here, from `url` in place of the registry's servers if that is given; its folder.

    Files that are here are compared with their sums and kept. UserError: no data set of that name, no connection, a content
    that is not what it should be, a folder that cannot be written.
    """
    data, folder = known(name), home() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in data.files:
            here = present(folder / file.name)
            if here:
                content = here.read_bytes()
                fault = _fault(file, unpacked(content), folder)
                if fault:
                    raise UserError(f"{here}: {fault}; remove it and fetch again")
                told(f"{here}: here already" + (_record(file, unpacked(content), folder) or ", and sound"))
                continue
            content = _download(data, file, (url,) if url else data.urls, folder)
            _write(folder / file.name, content)
            told(f"{folder / file.name}: fetched" + _record(file, content, folder))
    except DAMAGE as error:
        raise UserError(f"data set {name}: {error}; look at the folder {folder}, or set MPIDBO_DATA to another one") from None
    return folder


def _download(data: DataSet, file: File, urls: tuple[str, ...], folder: Path) -> bytes:
    """The uncompressed content of a file, from the first server that has it as it should be."""
    pooch, faults = _pooch(), []
    pooch.get_logger().setLevel("ERROR")
    for url in urls:
        address = f"{url.rstrip('/')}/{file.source}"
        try:
            with tempfile.TemporaryDirectory(dir=folder) as there:
                wire = Path(pooch.retrieve(address, None, path=there, fname="file", downloader=pooch.HTTPDownloader(
                    progressbar=sys.stderr.isatty(), timeout=TIMEOUT))).read_bytes()
            if file.md5 and (md5 := hashlib.md5(wire, usedforsecurity=False).hexdigest()) != file.md5:
                faults.append(f"{address}: md5 {md5} where {file.md5} is published")
                continue
            content = unpacked(wire)
        except DAMAGE as error:
            faults.append(f"{address}: {type(error).__name__}")
            continue
        if not (fault := _fault(file, content, folder)):
            return content
        faults.append(f"{address}: {fault}")
    raise UserError(f"data set {data.name}: {file.name} cannot be fetched ({'; '.join(faults)}); try where there is a network, name "
                    f"a server that has the files by --url, or put them into {folder} yourself")


def _sum(file: File, content: bytes) -> str:
    if file.lines:
        content = b"".join(line.rstrip() + b"\n" for line in content.splitlines() if line.strip())
    return hashlib.sha256(content).hexdigest()


def _fault(file: File, content: bytes, folder: Path) -> str:
    """What is wrong with a content; "" where its sum is the registry's, that of the first fetch, or the first one seen."""
    expected = file.sha256 or dict(_recorded(folder)).get(file.name)
    if expected and (found := _sum(file, content)) != expected:
        return f"its content has the sha256 {found[:16]}... where {expected[:16]}... is expected"
    return ""


def _recorded(folder: Path) -> Iterator[tuple[str, str]]:
    """(file, sha256) of the contents fetched before."""
    if (folder / SUMS).is_file():
        for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
            checksum, _, name = line.partition("  ")
            yield name, checksum


def _record(file: File, content: bytes, folder: Path) -> str:
    """Note the sum of a content that the registry does not know; what to say of it."""
    if file.sha256 or file.name in dict(_recorded(folder)):
        return ""
    checksum = _sum(file, content)
    with open(folder / SUMS, "a", encoding="utf-8") as sums:
        sums.write(f"{checksum}  {file.name}\n")
    trust = "its md5 is the published one" if file.md5 else "nobody has vouched for it"
    return f"; {trust}, its sha256 {checksum[:16]}... is now in {SUMS}"


def _write(path: Path, content: bytes) -> None:
    """Under a temporary name first."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def _pooch() -> Any:
    try:
        import pooch
    except ImportError:
        raise UserError("pooch, which fetches data sets, is missing: pip install 'mpidbo[data]', or give the path of the files") from None
    return pooch

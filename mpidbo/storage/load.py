"""Runs of the past: what their folders hold."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import h5py
import numpy as np

from ..errors import UserError
from . import files

REMEDY = f"take the run's configuration from its {files.RESULT}"


@dataclass(frozen=True)
class Archive:
    """A run as its files tell it; a part whose file does not exist is empty.

    `shapes` are those of x, y, z or t in result.h5, `iteration` is how far that got (-1 without a result), `finished` whether
    the run reached its end.
    """

    path: Path
    method: str
    config: Mapping[str, Any]
    history: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, ...]]
    provenance: Mapping[str, Any]
    iteration: int
    finished: bool
    diverged: str = ""
    """Why the run ended, if it diverged."""
    stopped: str = ""
    """Why it was stopped before its end, if it was, and has not been resumed since."""


def read(path: Path) -> Archive:
    """The run in a folder, or of its result.h5 or history.h5. Raises UserError when there is none or a file is damaged."""
    try:
        is_folder = S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file or folder; give the folder of a run, or its {files.RESULT}") from None
    except OSError as error:
        raise files.unreadable(path, error) from None
    folder = path if is_folder else path.parent
    parts = {name: folder / name for name in (files.CONFIG, files.RESULT, files.HISTORY)}
    if not is_folder and path.name not in parts:
        return _alone(path)
    there = {name for name, part in parts.items() if files.is_there(part)}
    if not there:
        raise UserError(f"{path}: holds no run, neither {' nor '.join(parts)}; give the folder of a run")
    attributes, shapes, provenance = _result(parts[files.RESULT]) if files.RESULT in there else ({}, {}, {})
    history, about = files.read_arrays(parts[files.HISTORY]) if files.HISTORY in there else ({}, {})
    config = files.read_text(parts[files.CONFIG], REMEDY) if files.CONFIG in there else str(attributes.get("config", ""))
    tables = _tables(config, parts[files.CONFIG])
    method = attributes.get("method") or about.get("method") or tables.get("method", {}).get("name", "")
    return Archive(folder, str(method), tables, history, shapes, provenance, int(attributes.get("iteration", -1)),
                   files.is_there(folder / files.DONE), _marked(folder / files.DIVERGED, "diverged"), _marked(folder / files.STOPPED, ""))


def _marked(marker: Path, otherwise: str) -> str:
    """The sentence in a marker; "" without one."""
    return (files.read_text(marker).strip() or otherwise) if files.is_there(marker) else ""


def _alone(path: Path) -> Archive:
    """A result or history that was renamed: told by its datasets."""
    with files.stored_hdf5(path) as file:
        is_history = "iteration" in file
    if is_history:
        history, about = files.read_arrays(path)
        return Archive(path, str(about.get("method", "")), {}, history, {}, {}, -1, False)
    attributes, shapes, provenance = _result(path)
    return Archive(path, str(attributes.get("method", "")), _tables(str(attributes.get("config", "")), path), {}, shapes, provenance,
                   int(attributes.get("iteration", -1)), True)


def _result(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]], dict[str, Any]]:
    """(attributes, shapes, provenance); every dataset is read once, in pieces, so that damage shows."""
    with files.stored_hdf5(path) as file:
        shapes = {}
        for name, item in file.items():
            if isinstance(item, h5py.Dataset):
                shapes[name] = item.shape
                for piece in item.iter_chunks() if item.chunks else ():
                    item[piece]
        return dict(file.attrs), shapes, dict(file["provenance"].attrs) if "provenance" in file else {}


def _tables(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}; {REMEDY}") from None

"""Runs of the past: what their folders hold."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from . import files
from .errors import UserError


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


def read(path: Path) -> Archive:
    """The run in a folder, or of its result.h5 or history.h5. Raises UserError when there is none or a file is damaged."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give the folder of a run, or its {files.RESULT}")
    folder = path if path.is_dir() else path.parent
    parts = {name: folder / name for name in (files.CONFIG, files.RESULT, files.HISTORY)}
    if path.is_file() and path.name not in parts:
        return _alone(path)
    if not any(part.is_file() for part in parts.values()):
        raise UserError(f"{path}: holds no run, neither {' nor '.join(parts)}; give the folder of a run")
    attributes, shapes, provenance = _result(parts[files.RESULT]) if parts[files.RESULT].is_file() else ({}, {}, {})
    history, about = files.read_arrays(parts[files.HISTORY]) if parts[files.HISTORY].is_file() else ({}, {})
    config = parts[files.CONFIG].read_text() if parts[files.CONFIG].is_file() else str(attributes.get("config", ""))
    tables = _tables(config, parts[files.CONFIG])
    method = attributes.get("method") or about.get("method") or tables.get("method", {}).get("name", "")
    return Archive(folder, str(method), tables, history, shapes, provenance, int(attributes.get("iteration", -1)),
                   (folder / files.DONE).is_file())


def _alone(path: Path) -> Archive:
    """A result or history that was renamed: told by its datasets."""
    try:
        with h5py.File(path, "r") as file:
            is_history = "iteration" in file
    except (OSError, RuntimeError) as error:
        raise _damaged(path, error) from None
    if is_history:
        history, about = files.read_arrays(path)
        return Archive(path, str(about.get("method", "")), {}, history, {}, {}, -1, False)
    attributes, shapes, provenance = _result(path)
    return Archive(path, str(attributes.get("method", "")), _tables(str(attributes.get("config", "")), path), {}, shapes, provenance,
                   int(attributes.get("iteration", -1)), True)


def _result(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]], dict[str, Any]]:
    """(attributes, shapes, provenance); every dataset is read once, in pieces, so that damage shows."""
    try:
        with h5py.File(path, "r") as file:
            shapes = {}
            for name, item in file.items():
                if isinstance(item, h5py.Dataset):
                    shapes[name] = item.shape
                    for piece in item.iter_chunks() if item.chunks else ():
                        item[piece]
            return dict(file.attrs), shapes, dict(file["provenance"].attrs) if "provenance" in file else {}
    except (OSError, RuntimeError, KeyError) as error:
        raise _damaged(path, error) from None


def _tables(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}; take the run's configuration from its {files.RESULT}") from None


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: cannot be read ({files.why(error)})")

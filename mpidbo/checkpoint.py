"""Checkpoints: a file per rank with the rows of its agents, a history, and last of all a manifest that vouches for them.

    checkpoints/ITERATION/agents-FIRST-LAST.h5    the state's arrays under their own paths, rows FIRST to LAST
    checkpoints/ITERATION/history.h5              what was evaluated until then
    checkpoints/ITERATION/manifest.json           iteration, version, config, W, counts, SHA-256 of each file and of itself

A folder without a manifest is a checkpoint that was not finished. Rows belong to agents, not to ranks, so any number of
ranks can go on from them. docs/checkpoint.md has the format.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from . import files
from ._version import __version__
from .agents import Agents, agreed
from .background import Background, Stages
from .errors import UserError
from .state import leaves, rebuilt

FOLDER, MANIFEST = "checkpoints", "manifest.json"
FORMAT = 1


class Foreign(UserError):
    """A checkpoint that is whole, but of another run or version: no damage to be passed over."""


class Damaged(UserError):
    """A checkpoint that is not whole: the one before it is used."""


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands: iterations done, the state, what was counted until then and the history."""

    iteration: int
    state: Any
    counts: Mapping[str, float]
    history: Mapping[str, list[float]]


class Checkpoints:
    """The checkpoints of a run in its folder, the `keep` newest of them; every method is collective.

    `topologies` are the fingerprints of W by level. Raises UserError when the disk refuses; older ones are then still there.
    """

    def __init__(self, folder: Path, agents: Agents, *, keep: int, topologies: Mapping[str, str], tables: Mapping[str, Any]) -> None:
        self.folder, self.agents, self.keep = folder / FOLDER, agents, keep
        self.topologies, self.tables = dict(topologies), tables
        self.writing = Background(agents)

    def begin(self, snapshot: Snapshot) -> None:
        """Begin to write a checkpoint, once the one before is written; `writing` goes on with it beside the loop.

        The snapshot is no copy: nobody may change its rows, and a method's step does not.
        """
        self.writing.begin(self._stages(snapshot))

    def _stages(self, snapshot: Snapshot) -> Stages:
        agents, place = self.agents, self.folder / str(snapshot.iteration)
        name = f"agents-{agents.first}-{agents.last - 1}.h5"
        with agreed(agents.comm):
            try:
                if agents.rank == 0:
                    self._clear(place)
            except OSError as error:
                raise UserError(f"{place}: cannot be made ({error.strerror}); make room or choose another run.out") from None
        try:
            digest = yield partial(self._write, place / name, snapshot)
            lines = agents.texts(f"{name} {agents.first} {agents.last - 1} {digest}")
            yield partial(self._vouch, place, snapshot, lines)
        except UserError:
            if agents.rank == 0 and not (place / MANIFEST).exists():    # the disk is full: leave what room there was
                shutil.rmtree(place, ignore_errors=True)
            raise

    def _write(self, path: Path, snapshot: Snapshot) -> str:
        """The digest of the file of this rank's rows, written."""
        with files.whole_hdf5(path) as file:
            file.attrs.update(iteration=snapshot.iteration, first=self.agents.first, last=self.agents.last - 1)
            for field, rows in leaves(snapshot.state):
                file.create_dataset(field, data=rows, fletcher32=True, chunks=_chunks(rows.shape, rows.itemsize))
        return _digest(path)

    def _clear(self, place: Path) -> None:
        """An empty folder for a new checkpoint; what is left of unfinished ones goes."""
        if place.exists():
            _remove(place)
        place.mkdir(parents=True)
        for left in self.folder.iterdir():
            if left != place and left.is_dir() and not (left / MANIFEST).exists():
                _remove(left)

    def _vouch(self, place: Path, snapshot: Snapshot, lines: list[str]) -> None:
        """History and manifest, by rank 0; then the oldest checkpoints go."""
        if self.agents.rank > 0:
            return
        files.write_arrays(place / files.HISTORY, snapshot.history, {}, checksums=False)
        parts = [{"name": name, "first": int(first), "last": int(last), "sha256": digest}
                 for name, first, last, digest in (line.split() for line in lines)]
        manifest = {"format": FORMAT, "iteration": snapshot.iteration, "version": __version__, "config": self.tables,
                    "W": self.topologies, "counts": dict(snapshot.counts), "agents": parts,
                    "history": {"name": files.HISTORY, "sha256": _digest(place / files.HISTORY), "columns": [*snapshot.history]}}
        files.synced(place, self.folder)
        files.write_text(place / MANIFEST, json.dumps({**manifest, "sha256": _seal(manifest)}, indent=1, default=str))
        files.synced(place)
        found = _vouched_for(self.folder)
        here = found.index(place)
        for old in found[:here] + found[here + self.keep:]:    # what is newer was damaged, or the run would not be here
            _remove(old)

    def newest(self, like: Any) -> tuple[Snapshot | None, list[str]]:
        """(the newest checkpoint that is whole, for a state of the form of `like`; what is wrong with newer ones)."""
        agents, wrong = self.agents, list[str]()
        found = [path.name for path in _vouched_for(self.folder)] if agents.rank == 0 else []
        for name in agents.told(" ".join(found)).split():
            try:
                return self._read(self.folder / name, like), wrong
            except Damaged as damage:
                wrong.append(str(damage))
        return None, wrong

    def _read(self, place: Path, like: Any) -> Snapshot:
        """Rank 0 alone reads manifest and history; each rank file is verified by one rank, and read by those that host its agents."""
        agents, text = self.agents, ""
        with self._sound(place):
            if agents.rank == 0:
                text = json.dumps(self._vouched(place))
        vouched = json.loads(agents.told(text))
        with self._sound(place):
            for part in vouched["agents"]:
                if agents.first <= part["first"] < agents.last:
                    _verify(place / part["name"], part["sha256"])
        with self._sound(place):
            state = self._state(place, vouched["agents"], like)
        return Snapshot(vouched["iteration"], state, vouched["counts"], vouched["history"])

    @contextmanager
    def _sound(self, place: Path) -> Iterator[None]:
        """What any rank finds wrong in the block is raised on all: UserError for another run's checkpoint, else Damaged."""
        foreign = damage = ""
        try:
            yield
        except Foreign as error:
            foreign = f"{place}: {error}; choose another run.out, or --resume never to set it aside"
        except UserError as error:
            damage = f"{place}: {error}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            damage = f"{place}: damaged ({error})"
        with agreed(self.agents.comm):
            if foreign:
                raise UserError(foreign)
        if first := next(filter(None, self.agents.texts(damage)), ""):
            raise Damaged(first)

    def _vouched(self, place: Path) -> dict[str, Any]:
        """What all ranks need of a manifest that is whole, and the history that it vouches for."""
        manifest = _manifest(place)
        if manifest["W"] != self.topologies:
            raise Foreign("written with other mixing matrices")
        told = manifest["history"]
        _verify(place / told["name"], told["sha256"])
        history, _ = files.read_arrays(place / told["name"])
        return {**{key: manifest[key] for key in ("iteration", "counts", "agents")},
                "history": {name: history[name].tolist() for name in told["columns"]}}

    def _state(self, place: Path, parts: Iterable[Mapping[str, Any]], like: Any) -> Any:
        """This rank's rows of a state of the form of `like`."""
        agents = self.agents
        rows = {path: np.empty(array.shape, array.dtype) for path, array in leaves(like)}
        seen = np.zeros(agents.m, bool)
        for part in parts:
            a, b = max(part["first"], agents.first), min(part["last"] + 1, agents.last)
            if a >= b:
                continue
            here, there = slice(a - agents.first, b - agents.first), slice(a - part["first"], b - part["first"])
            with h5py.File(place / part["name"], "r") as stored:
                for path, target in rows.items():
                    if path not in stored or stored[path].dtype != target.dtype or stored[path].shape[1:] != target.shape[1:]:
                        raise Foreign(f"{part['name']} holds no {path} of this run's shape and type")
                    target[here] = stored[path][there]
            seen[here] = True
        if not seen.all():
            raise UserError(f"agent {agents.first + int((~seen).argmax())} is in no file")
        return rebuilt(like, rows)


def newest_rows(run: Path, names: Iterable[str]) -> tuple[int, dict[str, np.ndarray]]:
    """(iteration, {name: all agents' rows}) of the newest checkpoint of a run's folder that is whole; (-1, {}) where it has none.

    Raises UserError, in the words of the newest, where all are damaged.
    """
    wrong = ""
    for place in _vouched_for(run / FOLDER):
        try:
            manifest, rows = _manifest(place), dict[str, list[np.ndarray]]()
            for part in manifest["agents"]:
                _verify(place / part["name"], part["sha256"])
                for name, found in files.read_arrays(place / part["name"])[0].items():
                    rows.setdefault(name, []).append(found)
            return manifest["iteration"], {name: np.concatenate(parts) for name, parts in rows.items() if name in names}
        except UserError as error:
            wrong = wrong or f"{place}: {error}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            wrong = wrong or f"{place}: damaged ({error})"
    if wrong:
        raise UserError(f"{wrong}; no checkpoint of this run is whole, mpidbo show {run} --history prints what was evaluated")
    return -1, {}


def _vouched_for(folder: Path) -> list[Path]:
    """The folders with a manifest, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit() and (path / MANIFEST).is_file()),
                  key=lambda path: -int(path.name))


def _manifest(place: Path) -> dict[str, Any]:
    """The entries of a manifest that is whole, and of this version's format. Raises UserError."""
    manifest = json.loads((place / MANIFEST).read_text())
    if manifest.pop("sha256") != _seal(manifest) or manifest["iteration"] != int(place.name):
        raise UserError(f"{MANIFEST} is damaged")
    if manifest["format"] != FORMAT:
        raise Foreign(f"format {manifest['format']} is not this version's, {FORMAT}")
    return dict(manifest)


def _verify(file: Path, digest: str) -> None:
    if not file.is_file():
        raise UserError(f"{file.name} is missing")
    if _digest(file) != digest:
        raise UserError(f"{file.name} is damaged")


def _remove(place: Path) -> None:
    """Its manifest first: from then on it is no checkpoint, however far the rest gets."""
    with suppress(OSError):
        (place / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)


def _seal(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of a manifest's other entries, as compact JSON with sorted keys."""
    return sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def _digest(file: Path) -> str:
    state = sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def _chunks(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """One row, up to 1 MiB of it: a restart on other ranks reads single rows, and larger ones leave HDF5's cache and cost more."""
    return (1, min(shape[1], (1 << 20) // size))

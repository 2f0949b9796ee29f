"""Checkpoints: a file per rank with the rows of its agents, a history, and last of all a manifest with their digests.

    checkpoints/ITERATION/agents-FIRST-LAST.h5    the state's arrays under their own paths, rows FIRST to LAST
    checkpoints/ITERATION/history.h5              what was evaluated until then
    checkpoints/ITERATION/manifest.json           iteration, version, config, W, counts, SHA-256 of each file and of itself

A checkpoint is complete once it has a manifest, and verified once all digests are those of its files. Only content can be
damaged: what the operating system refuses to read ends the run, and nothing is removed. Rows belong to agents, not to ranks,
so any number of ranks can go on from them. docs/checkpoint.md has the format.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .._pytree import leaves, rebuilt
from .._version import __version__
from ..errors import UserError
from ..parallel.agents import Agents, agreed
from ..parallel.background import Background, Stages
from . import files
from .files import Damaged

FOLDER, MANIFEST = "checkpoints", "manifest.json"
FORMAT = 1


class Foreign(UserError):
    """A checkpoint of another run or version: no damage to be passed over."""


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands: iterations done, the state, what was counted until then and the history."""

    iteration: int
    state: Any
    counts: Mapping[str, float]
    history: Mapping[str, list[float]]


class Checkpoints:
    """The checkpoints of a run in its folder, the `keep` newest of them; every method is collective.

    `topologies` are the fingerprints of W by level, `contents` the digests of the files that `tables` name. `verify` raises
    UserError where the folder is no longer this run's; `differs` says in what a checkpoint's tables and contents are another run's,
    "": in nothing. Raises UserError when the disk refuses; older ones are then still there. None is removed before a newer one is
    committed, and a verified one is not written again.
    """

    def __init__(self, folder: Path, agents: Agents, *, keep: int, topologies: Mapping[str, str],
                 tables: Mapping[str, Any], contents: Mapping[str, str] = {}, verify: Callable[[], None] = lambda: None,
                 differs: Callable[[Mapping[str, Any], Mapping[str, str]], str] = lambda tables, contents: "") -> None:
        self.folder, self.agents, self.keep = folder / FOLDER, agents, keep
        self.topologies, self.tables, self.contents = dict(topologies), tables, dict(contents)
        self.verify, self.differs = verify, differs
        self.writing = Background(agents)
        self.verified, self.damaged = set[str](), set[str]()

    def begin(self, snapshot: Snapshot) -> None:
        """Begin to write a checkpoint, once the one before is written; `writing` goes on with it beside the loop.

        The snapshot is no copy: nobody may change its rows, and a method's step does not.
        """
        self.writing.begin(self._stages(snapshot))

    def _stages(self, snapshot: Snapshot) -> Stages:
        agents, place = self.agents, self.folder / str(snapshot.iteration)
        if self._is_there(place):
            return
        name = f"agents-{agents.first}-{agents.last - 1}.h5"
        with agreed(agents.comm):
            if agents.rank == 0:
                self._in_own_folder(self._clear, place)
        try:
            digest = yield partial(self._in_own_folder, self._write, place / name, snapshot)
            lines = agents.texts(f"{name} {agents.first} {agents.last - 1} {digest}")
            yield partial(self._in_own_folder, self._commit, place, snapshot, lines)
        except UserError:
            if agents.rank == 0:                        # the disk is full: leave what room there was
                with suppress(UserError):
                    self._in_own_folder(_remove, place)
            raise
        self.verified.add(place.name)
        self.damaged.discard(place.name)

    def _in_own_folder(self, stage: Callable[..., Any], *given: Any) -> Any:
        """What a stage returns, if the folder is this run's; where it fails since that has gone meanwhile, the error says so."""
        self.verify()
        try:
            return stage(*given)
        except (UserError, OSError):
            self.verify()
            raise

    def _is_there(self, place: Path) -> bool:
        """Whether this checkpoint has been written and verified before."""
        if place.name in self.verified | self.damaged:
            return place.name in self.verified
        with agreed(self.agents.comm):
            there = self.agents.rank == 0 and files.is_there(place / MANIFEST)
        if not self.agents.told(place.name if there else ""):
            return False
        try:
            self._verify(place)
        except Damaged:
            self.damaged.add(place.name)
            return False
        self.verified.add(place.name)
        return True

    def _write(self, path: Path, snapshot: Snapshot) -> str:
        """The digest of the file of this rank's rows, written."""
        with files.whole_hdf5(path) as file:
            file.attrs.update(iteration=snapshot.iteration, first=self.agents.first, last=self.agents.last - 1)
            for field, rows in leaves(snapshot.state):
                file.create_dataset(field, data=rows, fletcher32=True, chunks=_chunks(rows.shape, rows.itemsize))
        return _digest(path)

    def _clear(self, place: Path) -> None:
        """An empty folder for a new checkpoint; unfinished ones are removed."""
        for left in (place, *_listed(self.folder)[1]):
            _remove(left)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{place}: cannot be made ({error.strerror}); make room or choose another run.out") from None

    def _commit(self, place: Path, snapshot: Snapshot, lines: list[str]) -> None:
        """History and manifest, by rank 0; then what the new checkpoint replaces is removed."""
        if self.agents.rank > 0:
            return
        files.write_arrays(place / files.HISTORY, snapshot.history, {}, checksums=False)
        parts = [{"name": name, "first": int(first), "last": int(last), "sha256": digest}
                 for name, first, last, digest in (line.split() for line in lines)]
        manifest = {"format": FORMAT, "iteration": snapshot.iteration, "version": __version__, "config": self.tables,
                    "W": self.topologies, "contents": self.contents, "counts": dict(snapshot.counts), "agents": parts,
                    "history": {"name": files.HISTORY, "sha256": _digest(place / files.HISTORY), "columns": [*snapshot.history]}}
        files.synced(place, self.folder, self.folder.parent)
        files.write_text(place / MANIFEST, json.dumps({**manifest, "sha256": _seal(manifest)}, indent=1, default=str))
        files.synced(place)
        with suppress(UserError):                       # what cannot be listed now stays
            self._prune(place)

    def _prune(self, place: Path) -> None:
        """Remove damaged checkpoints, and older ones than this, which is committed, beyond the number to keep."""
        others = [path for path in complete(self.folder) if path != place]
        older = [path for path in others if int(path.name) < int(place.name) and path.name not in self.damaged]
        for path in [path for path in others if path.name in self.damaged] + older[self.keep - 1:]:
            _remove(path)

    def newest(self, like: Any) -> tuple[Snapshot | None, list[str]]:
        """(the newest checkpoint that is verified, for a state of the form of `like`; what is wrong with newer ones).

        Raises UserError where one cannot be read, or is another run's.
        """
        agents, wrong, found, unfinished = self.agents, list[str](), list[Path](), list[Path]()
        with agreed(agents.comm):
            if agents.rank == 0:
                found, unfinished = _listed(self.folder)
        for name in agents.told(" ".join(path.name for path in found)).split():
            try:
                snapshot = self._read(self.folder / name, like)
            except Damaged as damage:
                self.damaged.add(name)
                wrong.append(str(damage))
            else:
                self.verified.add(name)
                return snapshot, wrong
        return None, wrong + [f"{path}: not complete, it has no {MANIFEST}" for path in unfinished]

    def _read(self, place: Path, like: Any) -> Snapshot:
        """A checkpoint, verified; each rank reads the rows of its agents."""
        manifest = self._verify(place)
        with self._together(place):
            state = self._state(place, manifest["agents"], like)
        return Snapshot(manifest["iteration"], state, manifest["counts"], manifest["history"])

    def _verify(self, place: Path) -> dict[str, Any]:
        """What all ranks need of a manifest, once every file is verified: each rank file by one rank, the rest by rank 0."""
        agents, text = self.agents, ""
        with self._together(place):
            if agents.rank == 0:
                text = json.dumps(self._checked(place))
        manifest: dict[str, Any] = json.loads(agents.told(text))
        with self._together(place):
            for part in manifest["agents"]:
                if agents.first <= part["first"] < agents.last:
                    _verify(place / part["name"], part["sha256"])
        return manifest

    @contextmanager
    def _together(self, place: Path) -> Iterator[None]:
        """What any rank finds wrong in the block is raised on all: Damaged if that is the worst, else another UserError."""
        damage = ""
        with agreed(self.agents.comm):
            try:
                with _reading(place):
                    yield
            except Damaged as error:
                damage = str(error)
            except Foreign as error:
                raise UserError(f"{place}: {error}; choose another run.out, or --resume never to set it aside") from None
        if first := next(filter(None, self.agents.texts(damage)), ""):
            raise Damaged(first)

    def _checked(self, place: Path) -> dict[str, Any]:
        """What all ranks need of a manifest of this run, with the history."""
        manifest = _manifest(place)
        if words := self.differs(manifest["config"], manifest.get("contents", {})):
            raise Foreign(f"of another run, {words}")
        if manifest["W"] != self.topologies:
            raise Foreign("written with other mixing matrices")
        about = manifest["history"]
        _verify(place / about["name"], about["sha256"])
        history, _ = files.read_arrays(place / about["name"])
        return {**{key: manifest[key] for key in ("iteration", "counts", "agents")},
                "history": {name: history[name].tolist() for name in about["columns"]}}

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
            with files.stored_hdf5(place / part["name"]) as stored:
                for path, target in rows.items():
                    if path not in stored or stored[path].dtype != target.dtype or stored[path].shape[1:] != target.shape[1:]:
                        raise Foreign(f"{part['name']} holds no {path} of this run's shape and type")
                    target[here] = stored[path][there]
            seen[here] = True
        if not seen.all():
            raise Damaged(f"agent {agents.first + int((~seen).argmax())} is in no file")
        return rebuilt(like, rows)


def newest_rows(run: Path, names: Iterable[str]) -> tuple[int, dict[str, np.ndarray]]:
    """(iteration, {name: all agents' rows}) of the newest checkpoint of a run's folder that is verified; (-1, {}) where it has none.

    Raises UserError where one cannot be read, or, in the words of the newest, where all are damaged.
    """
    wrong, seen = "", set[Path]()
    while places := [path for path in complete(run / FOLDER) if path not in seen]:    # it may be running, and remove some meanwhile
        seen.add(place := places[0])
        try:
            with _reading(place):
                manifest, rows = _manifest(place), dict[str, list[np.ndarray]]()
                for part in manifest["agents"]:
                    _verify(place / part["name"], part["sha256"])
                    for name, found in files.read_arrays(place / part["name"])[0].items():
                        rows.setdefault(name, []).append(found)
                return manifest["iteration"], {name: np.concatenate(parts) for name, parts in rows.items() if name in names}
        except Damaged as error:
            wrong = wrong or str(error)
        except Foreign as error:
            wrong = wrong or f"{place}: {error}"
    if wrong:
        raise UserError(f"{wrong}; no checkpoint of this run is whole, mpidbo show {run} --history prints what was evaluated")
    return -1, {}


def complete(folder: Path) -> list[Path]:
    """The checkpoints that have a manifest, newest first; their content is not verified. Raises UserError."""
    return _listed(folder)[0]


def newest_complete(run: Path) -> int | None:
    """The iteration of the newest checkpoint of a run's folder that has a manifest; None too where it cannot be read."""
    with suppress(UserError):
        return next((int(path.name) for path in complete(run / FOLDER)), None)
    return None


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """(the checkpoints that have a manifest, newest first; the unfinished ones). Raises UserError."""
    try:
        places = [path for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
    except FileNotFoundError as error:
        if folder.is_symlink():
            raise files.unreadable(folder, error, "it is a link that leads nowhere") from None
        return [], []
    except OSError as error:
        raise files.unreadable(folder, error, "it must be a folder, move it away") from None
    found = {path: files.is_there(path / MANIFEST) for path in sorted(places, key=lambda path: -int(path.name))}
    return [path for path in found if found[path]], [path for path in found if not found[path]]


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    """Damaged, in a sentence that begins with the checkpoint's folder, where its content is at fault."""
    try:
        yield
    except Damaged as error:
        raise Damaged(f"{place}: {error}") from None
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{place}: damaged ({error})") from None


def _manifest(place: Path) -> dict[str, Any]:
    """The entries of a manifest that is whole, and of this version's format. Raises UserError."""
    manifest = json.loads(files.read_text(place / MANIFEST))
    if manifest.pop("sha256") != _seal(manifest) or manifest["iteration"] != int(place.name):
        raise Damaged(f"{MANIFEST} is damaged")
    if manifest["format"] != FORMAT:
        raise Foreign(f"format {manifest['format']} is not this version's, {FORMAT}")
    return dict(manifest)


def _verify(file: Path, digest: str) -> None:
    if _digest(file) != digest:
        raise Damaged(f"{file.name} is damaged")


def _remove(place: Path) -> None:
    """Its manifest first: from then on it is no checkpoint, however far the rest gets."""
    with suppress(OSError):
        (place / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)


def _seal(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of a manifest's other entries, as compact JSON with sorted keys."""
    return sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def _digest(file: Path) -> str:
    """The SHA-256 of a file. Raises Damaged where it is missing, Unreadable where the operating system refuses."""
    state = sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                state.update(block)
    except FileNotFoundError:
        raise Damaged(f"{file.name} is missing") from None
    except OSError as error:
        raise files.unreadable(file, error) from None
    return state.hexdigest()


def _chunks(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """One row, up to 1 MiB of it: a restart on other ranks reads single rows, and larger ones leave HDF5's cache and cost more."""
    return (1, min(shape[1], (1 << 20) // size))

"""Checkpoints: a file per rank with the rows of its agents, the history, and last the manifest.

    checkpoints/ITERATION/agents-FIRST-LAST.h5    the state's arrays, rows of agents FIRST to LAST
    checkpoints/ITERATION/history.h5              the history so far
    checkpoints/ITERATION/manifest.json           configuration, W, counts, SHA-256 of all files

Rows belong to agents, not to ranks, so that any number of ranks can resume from them. Only content
can be damaged: what the operating system refuses to read ends the run, and nothing is removed.
docs/checkpoint.md has the format.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._text import first_nonempty
from .._types import Array
from .._version import __version__
from ..errors import UserError
from ..parallel import Agents, Background, Stages, agreed
from . import files
from .atomic import fsync_folders, write_text
from .files import Damaged
from .hdf5 import atomic_hdf5, open_hdf5, read_arrays, write_arrays
from .manifest import (
    FOLDER,
    FORMAT,
    MANIFEST,
    Foreign,
    file_digest,
    listed,
    read_manifest,
    reading,
    remove,
    sealed,
    verify_file,
)
from .snapshot import Snapshot

CHUNK_BYTES = 1 << 20
"""Of a dataset's chunk at most: larger ones leave HDF5's cache and cost more."""


class Checkpoints:
    """The checkpoints in a run's folder; every method is collective.

    None is removed before a newer one is complete, and a verified one is not written again. Where
    the operating system refuses to write, the older ones are still there.

    Parameters
    ----------
    folder : Path
        The run's folder.
    agents : Agents
    keep : int
        How many of the newest are kept.
    topologies : mapping
        Level -> fingerprint of its W; on rank 0.
    tables : mapping
        The run's configuration.
    contents : mapping
        Key -> digest of the file that it names.
    verify : callable
        Raises UserError where the folder is no longer this run's.
    differs : callable
        `differs(tables, contents)` returns in what a checkpoint is another run's; "" in nothing.

    Raises
    ------
    UserError
        From all methods, on all ranks: where the operating system refuses to read or write, or the
        folder is no longer this run's.
    """

    def __init__(
        self,
        folder: Path,
        agents: Agents,
        *,
        keep: int,
        topologies: Mapping[str, str],
        tables: Mapping[str, Any],
        contents: Mapping[str, str] = {},
        verify: Callable[[], None] = lambda: None,
        differs: Callable[[Mapping[str, Any], Mapping[str, str]], str] = lambda tables, contents: (
            ""
        ),
    ) -> None:
        self.folder, self.agents, self.keep = folder / FOLDER, agents, keep
        self.topologies, self.tables, self.contents = dict(topologies), tables, dict(contents)
        self.verify, self.differs = verify, differs
        self.writing = Background(agents)
        self.verified, self.damaged = set[str](), set[str]()

    def begin(self, snapshot: Snapshot) -> None:
        """Begin to write a checkpoint, once the one before is written; `writing` continues it."""
        self.writing.begin(self._stages(snapshot))

    def _stages(self, snapshot: Snapshot) -> Stages:
        """The stages of writing: what is yielded runs beside the loop, the rest in its thread."""
        agents, place = self.agents, self.folder / str(snapshot.iteration)
        if self._is_there(place):
            return
        name = f"agents-{agents.first}-{agents.last - 1}.h5"
        with agreed(agents.comm):
            if agents.rank == 0:
                self._in_own_folder(self._clear, place)
        try:
            digest = yield partial(self._in_own_folder, self._write, place / name, snapshot)
            lines = agents.allgather_text(f"{name} {agents.first} {agents.last - 1} {digest}")
            yield partial(self._in_own_folder, self._commit, place, snapshot, lines)
        except UserError:
            if agents.rank == 0:  # the disk is full: leave what room there was
                with suppress(UserError):
                    self._in_own_folder(remove, place)
            raise
        self.verified.add(place.name)
        self.damaged.discard(place.name)

    def _in_own_folder(self, stage: Callable[..., Any], *given: Any) -> Any:
        """What a stage returns, if the folder is this run's.

        Where the stage fails because the folder is gone meanwhile, the error is that of `verify`.
        """
        self.verify()
        try:
            return stage(*given)
        except (UserError, OSError):
            self.verify()
            raise

    def _is_there(self, place: Path) -> bool:
        """Whether this checkpoint is there and verified."""
        if place.name in self.verified | self.damaged:
            return place.name in self.verified
        with agreed(self.agents.comm):
            there = self.agents.rank == 0 and files.is_there(place / MANIFEST)
        if not self.agents.bcast_text(place.name if there else ""):
            return False
        try:
            self._verify(place)
        except Damaged:
            self.damaged.add(place.name)
            return False
        self.verified.add(place.name)
        return True

    def _write(self, path: Path, snapshot: Snapshot) -> str:
        """Write the file of this rank's rows, and return its digest."""
        with atomic_hdf5(path) as file:
            first, last = self.agents.first, self.agents.last - 1
            file.attrs.update(iteration=snapshot.iteration, first=first, last=last)
            for field, rows in snapshot.arrays().items():
                chunks = _chunks(rows.shape, rows.itemsize)
                file.create_dataset(field, data=rows, fletcher32=True, chunks=chunks)
        return file_digest(path)

    def _clear(self, place: Path) -> None:
        """Make an empty folder for a new checkpoint; unfinished ones are removed."""
        _, unfinished = listed(self.folder)
        for left in (place, *unfinished):
            remove(left)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{place}: cannot be made ({error.strerror}); make room or choose another run.out"
            ) from None

    def _commit(self, place: Path, snapshot: Snapshot, lines: list[str]) -> None:
        """Write history and manifest, on rank 0; then remove what the new checkpoint replaces."""
        if self.agents.rank > 0:
            return
        # Without checksums, since the manifest has the digest of the file.
        write_arrays(place / files.HISTORY, snapshot.history, {}, checksums=False)
        parts = [
            {"name": name, "first": int(first), "last": int(last), "sha256": digest}
            for name, first, last, digest in (line.split() for line in lines)
        ]
        manifest = {
            "format": FORMAT,
            "iteration": snapshot.iteration,
            "version": __version__,
            "config": self.tables,
            "W": self.topologies,
            "contents": self.contents,
            "counts": dict(snapshot.counts),
            "best": snapshot.about_best(),
            "agents": parts,
            "history": {
                "name": files.HISTORY,
                "sha256": file_digest(place / files.HISTORY),
                "columns": [*snapshot.history],
            },
        }
        # The names of all files are on the disk before the manifest makes them a checkpoint, and
        # its own name before an older checkpoint is removed.
        fsync_folders(place, self.folder, self.folder.parent)
        write_text(place / MANIFEST, sealed(manifest))
        fsync_folders(place)
        with suppress(UserError):  # what cannot be listed now stays
            self._prune(place)

    def _prune(self, place: Path) -> None:
        """Remove damaged checkpoints, and those beyond the number to keep before this one."""
        complete, _ = listed(self.folder)
        others = [path for path in complete if path != place]
        damaged = [path for path in others if path.name in self.damaged]
        intact = [path for path in others if path.name not in self.damaged]
        # Newest first, as `listed` has them; the new one is the first of those that are kept.
        older = [path for path in intact if int(path.name) < int(place.name)]
        for path in damaged + older[self.keep - 1 :]:
            remove(path)

    def newest(self, like: Any) -> tuple[Snapshot | None, list[str]]:
        """Read the newest checkpoint that can be verified.

        Parameters
        ----------
        like : NamedTuple
            A state of the form to read, such as the method's at the start.

        Returns
        -------
        snapshot : Snapshot or None
        wrong : list of str
            What is wrong with newer checkpoints, a message for each.

        Raises
        ------
        UserError
            Where one cannot be read, or is another run's.
        """
        agents, wrong, found, unfinished = self.agents, list[str](), list[Path](), list[Path]()
        with agreed(agents.comm):
            if agents.rank == 0:
                found, unfinished = listed(self.folder)
        for name in agents.bcast_text(" ".join(path.name for path in found)).split():
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
        """Verify and read a checkpoint; each rank reads the rows of its agents."""
        manifest = self._verify(place)
        with self._together(place):
            rows = self._rows(place, manifest["agents"], Snapshot.like(like, manifest))
        return Snapshot.of(manifest, like, rows)

    def _verify(self, place: Path) -> dict[str, Any]:
        """Verify every file, each rank file on one rank, and return the manifest to all ranks."""
        agents, text = self.agents, ""
        with self._together(place):
            if agents.rank == 0:
                text = json.dumps(self._checked(place))
        manifest: dict[str, Any] = json.loads(agents.bcast_text(text))
        with self._together(place):
            for part in manifest["agents"]:
                # On the rank that hosts the first agent of the file, whichever rank has written it.
                if agents.first <= part["first"] < agents.last:
                    verify_file(place / part["name"], part["sha256"])
        return manifest

    @contextmanager
    def _together(self, place: Path) -> Iterator[None]:
        """Raise on all ranks what any finds wrong in the block; Damaged if nothing is worse."""
        damage = ""
        with agreed(self.agents.comm):
            try:
                with reading(place):
                    yield
            except Damaged as error:
                damage = str(error)
            except Foreign as error:
                raise UserError(
                    f"{place}: {error}; choose another run.out, or --resume never to move it aside"
                ) from None
        first = first_nonempty(self.agents.allgather_text(damage))
        if first:
            raise Damaged(first)

    def _checked(self, place: Path) -> dict[str, Any]:
        """What all ranks need of the manifest, with the history; Foreign if it is another run's."""
        manifest = read_manifest(place)
        difference = self.differs(manifest["config"], manifest.get("contents", {}))
        if difference:
            raise Foreign(f"of another run, {difference}")
        if manifest["W"] != self.topologies:
            raise Foreign("written with other mixing matrices")
        about = manifest["history"]
        verify_file(place / about["name"], about["sha256"])
        history, _ = read_arrays(place / about["name"])
        return {
            **{key: manifest.get(key) for key in ("iteration", "counts", "agents", "best")},
            "history": {name: history[name].tolist() for name in about["columns"]},
        }

    def _rows(
        self, place: Path, parts: Iterable[Mapping[str, Any]], like: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Return this rank's rows from the files that have them: arrays as in `like`, by path."""
        agents = self.agents
        rows = {path: np.empty(array.shape, array.dtype) for path, array in like.items()}
        seen = np.zeros(agents.m, bool)
        for part in parts:
            first = max(part["first"], agents.first)
            end = min(part["last"] + 1, agents.last)
            if first >= end:
                continue
            here = slice(first - agents.first, end - agents.first)
            there = slice(first - part["first"], end - part["first"])
            with open_hdf5(place / part["name"]) as stored:
                for path, target in rows.items():
                    if not _fits(stored, path, target):
                        raise Foreign(
                            f"{part['name']} holds no {path} of this run's shape and type"
                        )
                    target[here] = stored[path][there]
            seen[here] = True
        if not seen.all():
            raise Damaged(f"agent {agents.first + int((~seen).argmax())} is in no file")
        return rows


def _fits(stored: Any, path: str, target: Any) -> bool:
    """Whether a file has an array of that type, with rows of that shape."""
    if path not in stored:
        return False
    found = stored[path]
    return bool(found.dtype == target.dtype and found.shape[1:] == target.shape[1:])


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """One row or a part of it: a restart on another number of ranks reads single rows."""
    return (1, min(shape[1], CHUNK_BYTES // itemsize))

"""The archive of a claim: one small file with all that its verdict and its figures are made of.

    /                               attributes: claim, size, command, version, commit, date ...
    /STUDY/METHOD/TOPOLOGY/COLUMN   the columns of the history that were used, (seeds, evaluations)
    /STUDY                      attributes: the tables of the study, and all tuning trials, as JSON

What a claim measures without a study is stored as it is: mappings as groups, tuples of arrays as
groups with numbers for names.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ..._types import Array, Float
from ...config import plain
from ...storage import atomic_hdf5, open_hdf5, provenance_of
from ..study import study_of
from ..tuning import stored_tuning
from .base import Claim, Size
from .outcome import Outcome

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

SMALL = 2048
"""Bytes of an array up to which compression, which has an index of that size, is no gain."""
UNPUBLISHED = ("hosts", "job")
"""What is known of a run and of no interest to others."""


class Archived(Outcome):
    """A study's runs as they are in an archive.

    Parameters
    ----------
    tables : Mapping
        The tables of the study.
    name : str
        Name of the study.
    columns : Mapping
        (method, topology, column) -> array of shape (seeds, evaluations).
    trials : Mapping
        Label of a group -> the trials of its tuning.
    """

    def __init__(
        self,
        tables: Mapping[str, Any],
        name: str,
        columns: Mapping[tuple[str, str, str], Array],
        trials: Mapping[str, Any],
    ) -> None:
        super().__init__(study_of(tables, name))
        self.columns.update(columns)
        self.tables, self.trials = tables, trials

    def read(self, method: str, topology: str, name: str) -> Float[Array, "seeds evaluations"]:
        raise KeyError(f"{self.study.name}: the archive has no {name} of {method} on {topology}")


def about_runs(name: str, size: Size, seconds: float, comm: "Comm | None") -> dict[str, Any]:
    """Where an archive comes from: its attributes."""
    found = provenance_of(comm, [], 1)
    ranks = f"mpiexec -n {comm.size} " if comm else ""
    return {
        "claim": name,
        "size": size,
        "command": f"{ranks}mpidbo reproduce {name} --size {size}",
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": seconds,
        "machine": f"{cpu_count()} cores",
        **{key: value for key, value in found.items() if key not in UNPUBLISHED},
    }


def write_archive(
    path: Path, claim: Claim, found: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Write what `judge` and `draw` have used.

    Parameters
    ----------
    path : Path
        The file.
    claim : Claim
        The claim.
    found : Mapping
        What `claim.run` returned, after `judge` and `draw`.
    about : Mapping
        Attributes of the file.
    """
    studies = claim.studies(about["size"])
    with atomic_hdf5(path) as file:
        file.attrs.update(about)
        file.attrs["parts"] = list(found)
        for key, value in found.items():
            group = file.create_group(key, track_order=True)
            if isinstance(value, Outcome):
                group.attrs["tables"] = json.dumps(plain(studies[key]))
                group.attrs["trials"] = json.dumps(_trials(value))
                for names, column in value.columns.items():
                    _store(group, "/".join(names), column)
            else:
                _pack(group, value)


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read an archive.

    Returns
    -------
    found, about : dict
        As `write_archive` takes them.
    """
    with open_hdf5(path) as file:
        about = dict(file.attrs)
        found = {}
        for key in about.pop("parts"):
            found[key] = _outcome(key, file[key]) or _unpack(file[key])
        return found, about


def _trials(outcome: Outcome) -> dict[str, Any]:
    """Label of a group -> all that its tuning tried, with the scores."""
    found = {group.label: stored_tuning(group) for group in outcome.study.groups}
    return {label: tuning["trials"] for label, tuning in found.items() if tuning}


def _outcome(name: str, group: h5py.Group) -> Archived | None:
    if "tables" not in group.attrs:
        return None
    columns: dict[tuple[str, str, str], Array] = {}
    for method, of_method in group.items():
        for topology, of_topology in of_method.items():
            for column, values in of_topology.items():
                columns[method, topology, column] = values[()]
    tables, trials = (json.loads(group.attrs[key]) for key in ("tables", "trials"))
    return Archived(tables, name, columns, trials)


def _pack(group: h5py.Group, value: Any) -> None:
    """Store nested mappings and tuples of arrays."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, item in items:
        if isinstance(item, Mapping | tuple):
            _pack(group.create_group(str(key), track_order=True), item)
        else:
            _store(group, str(key), item)


def _unpack(group: h5py.Group) -> Any:
    """What `_pack` has stored."""
    items = {
        key: item[()] if isinstance(item, h5py.Dataset) else _unpack(item)
        for key, item in group.items()
    }
    if all(key.isdecimal() for key in items):
        return tuple(items[str(i)] for i in range(len(items)))
    return items


def _store(group: h5py.Group, name: str, values: Any) -> None:
    array = np.asarray(values)
    packed = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    group.create_dataset(name, data=array, **(packed if array.nbytes > SMALL else {}))

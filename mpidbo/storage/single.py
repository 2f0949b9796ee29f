"""A result in one file: what the files of a run's folder hold, in groups of one HDF5 file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import trees
from .hdf5 import atomic_hdf5
from .history import history_arrays

HISTORY, AVERAGE, PROVENANCE = "history", "average", "provenance"
"""The groups: columns of the history, x and y in the problem's own form, attributes."""


def write_single(
    path: Path,
    rows: Mapping[str, Any],
    attributes: Mapping[str, Any],
    history: Mapping[str, Any],
    average: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write a result with its history to one file, which `load` reads.

    Parameters
    ----------
    path : Path
    rows : mapping
        The variables of all agents.
    attributes, history, provenance : mapping
        As in result.h5 and history.h5.
    average : mapping
        The averages in the problem's own form, as in trees.h5.

    Raises
    ------
    UserError
        Where the operating system refuses to write.
    """
    with atomic_hdf5(path) as file:
        for name, values in rows.items():
            file.create_dataset(name, data=np.asarray(values), fletcher32=True, chunks=True)
        file.attrs.update(attributes)
        columns = file.create_group(HISTORY)
        for name, values in history_arrays(history).items():
            columns.create_dataset(name, data=values)
        trees.write_to(file.create_group(AVERAGE), average)
        file.create_group(PROVENANCE).attrs.update(provenance)

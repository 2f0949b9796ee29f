"""A snapshot of a run, and its arrays by the paths that they have in the files of a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .._pytree import leaves, rebuilt
from .._types import Array
from .best import Best

BEST = "run.best"
"""The group of the best iterate in a rank file; no field of a state has such a name."""


@dataclass(frozen=True)
class Snapshot:
    """Where a run is.

    Parameters
    ----------
    iteration : int
        Iterations done.
    state : NamedTuple
        The method's state, with a row for each agent of this rank. It is not a copy: nobody may
        change its arrays, and a method's step does not.
    counts : mapping
        Floats, messages, rounds, calls and seconds so far.
    history : mapping
        Column -> values so far.
    best : Best, optional
        The best iterate so far, with the rows of this rank's agents.
    """

    iteration: int
    state: Any
    counts: Mapping[str, float]
    history: Mapping[str, list[float]]
    best: Best | None = None

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of a rank file, by path."""
        arrays = dict(leaves(self.state))
        if self.best:
            arrays |= {f"{BEST}/{name}": rows for name, rows in self.best.rows.items()}
        return arrays

    def about_best(self) -> dict[str, Any] | None:
        """Return what the manifest has of the best iterate."""
        if self.best is None:
            return None
        about = {key: getattr(self.best, key) for key in ("metric", "mode", "iteration", "value")}
        return {**about, "variables": [*self.best.rows]}

    @staticmethod
    def like(state: Any, manifest: Mapping[str, Any]) -> dict[str, Array]:
        """Return arrays of the shapes and types that a checkpoint has, by path.

        Parameters
        ----------
        state : NamedTuple
            A state of the form to read.
        manifest : mapping
            Of the checkpoint.
        """
        arrays = dict(leaves(state))
        variables = manifest["best"]["variables"] if manifest["best"] else []
        return arrays | {f"{BEST}/{name}": arrays[name] for name in variables}

    @classmethod
    def of(cls, manifest: Mapping[str, Any], state: Any, arrays: Mapping[str, Array]) -> Self:
        """Return the snapshot of a manifest and of the arrays that `like` describes."""
        best, about = None, dict(manifest["best"] or {})
        if about:
            rows = {name: arrays[f"{BEST}/{name}"] for name in about.pop("variables")}
            best = Best(**about, rows=rows)
        return cls(
            manifest["iteration"],
            rebuilt(state, arrays),
            manifest["counts"],
            manifest["history"],
            best,
        )

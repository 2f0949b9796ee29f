"""One agent's data: a batch used whole, arrays of samples, or a map-style data set."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .arrays import has_rows, is_array, length, refuse_streams, whole
from .mistakes import mistake
from .nested import kind, leaves, mapped, mapped_at

SHARED_OUT = "mpidbo.subsets(data, mpidbo.split(samples, agents))"


class Framework(Protocol):
    """What PyTorch and JAX do differently with data."""

    def opened(self, entry: Any) -> Any:
        """A data set as the arrays that it holds, where it is no more than that; else the entry."""

    def array(self, leaf: Any, where: str) -> Any:
        """Any array as the framework's own, on the device; floats in the run's dtype. UserError."""

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        """Some rows of what `array` returned."""

    def collate(self, samples: Sequence[Any], where: str) -> Any:
        """Samples of a data set as one batch, a tree of arrays."""

    def batch(self, tree: Any) -> Any:
        """A batch as it goes to the losses."""


def accept_entries(data: Any, name: str) -> None:
    """UserError for one data set in place of entries; a warning where a list looks like one."""
    refuse_streams(data, name)
    if not (isinstance(data, (list, tuple)) and len(data) > 1 and all(map(has_rows, data))):
        return
    if isinstance(data, tuple):
        raise UserError(
            f"{name}: a tuple of arrays, {kind(data)}, is one data set, not the entries of "
            f"{len(data)} agents; share it out "
            f"by {SHARED_OUT}, or give the arrays of the agents as a list"
        )
    if len({length(part) for part in data}) == 1 and len({_form(part) for part in data}) > 1:
        warnings.warn(
            f"{name}: the entries of {len(data)} agents, {kind(data)}, look like the features and "
            "labels of one data set; if "
            f"they are, share it out by {SHARED_OUT}",
            stacklevel=4,
        )


def _form(array: Any) -> Any:
    """What the arrays of all agents have in common."""
    return tuple(getattr(array, "shape", (0,)))[1:]


def entry_of(data: Any, agent: int, n_agents: int, name: str) -> Any:
    """One agent's entry of `data`. UserError: not one for each agent, nor a function."""
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes, memoryview)):
        if len(data) != n_agents:
            raise UserError(
                f"{name}: {len(data)} entries for {n_agents} agents; give one for each agent, or "
                f"set agents = {len(data)}"
            )
        return data[agent]
    if callable(data):
        try:
            return data(agent)
        except Exception as error:
            raise mistake(
                error, f"{name} of agent {agent}", data, "fix the function agent -> entry"
            ) from error
    raise UserError(
        f"{name}: {kind(data)} is neither a list with an entry for each agent nor a function "
        "agent -> entry; give one, "
        "for example by mpidbo.subsets"
    )


class Source:
    """What one agent's batches come from: `batch` samples a draw, all different, or everything
    (batch = 0, or as many as there are).

    UserError: a negative batch or more than the agent's samples, arrays of different length, what
    is no array of numbers.
    """

    def __init__(
        self, entry: Any, framework: Framework, *, agent: int, name: str, batch: Any, key: str
    ) -> None:
        self.batch = whole(
            batch,
            f"problem.{key}",
            "is no number of samples; give a whole number, 0 is the whole data of an agent",
        )
        self.framework, self.where = framework, f"{name} of agent {agent}"
        refuse_streams(entry, self.where)
        self.entry = framework.opened(entry)
        self.is_dataset = (
            hasattr(self.entry, "__getitem__")
            and hasattr(self.entry, "__len__")
            and not (
                is_array(self.entry) or isinstance(self.entry, (list, tuple, Mapping, str, bytes))
            )
        )
        if not self.is_dataset:
            self.entry = mapped_at(self._own, self.entry, self.where)
        if self.is_dataset or self.batch:
            self.size = self._size()
            if self.batch > self.size:
                raise UserError(
                    f"problem.{key}: {self.batch} samples in a draw, but {self.where} has "
                    f"{self.size}; "
                    f"lower it, or set {key} = 0 for the whole data of each agent"
                )
            if self.batch == self.size:
                self.batch = 0
        lengths = [length(leaf) for leaf in leaves(self.entry) if has_rows(leaf)]
        if (self.is_dataset and not self.size) or (lengths and not any(lengths)):
            raise UserError(
                f"{self.where}: no samples, {kind(self.entry)}; give every agent at least one"
            )

    def _own(self, leaf: Any, where: str) -> Any:
        if is_array(leaf):
            return self.framework.array(leaf, where)
        if hasattr(leaf, "__iter__"):
            refuse_streams(leaf, where)
        return leaf

    def _size(self) -> int:
        if self.is_dataset:
            try:
                return len(self.entry)
            except Exception as error:
                raise mistake(
                    error,
                    self.where,
                    type(self.entry).__len__,
                    "give a data set with a length and items",
                ) from error
        sampled = [leaf for leaf in leaves(self.entry) if has_rows(leaf)]
        sizes = sorted({length(leaf) for leaf in sampled})
        if not sizes:
            lists = (
                "; lists of numbers become one by np.asarray"
                if isinstance(self.entry, (list, tuple))
                else ""
            )
            raise UserError(
                f"{self.where}: {kind(self.entry)} holds no samples to draw; give arrays of "
                "samples, or set the batch to 0"
                f"{lists}"
            )
        if len(sizes) > 1:
            raise UserError(
                f"{self.where}: arrays of different length, {kind(sampled)}; give as many of each "
                "(features and labels, say)"
            )
        return sizes[0]

    def draw(self, rng: np.random.Generator) -> NDArray[Any] | None:
        """Indices of `batch` samples, all different, shape (batch,); None for all."""
        return (
            rng.choice(self.size, self.batch, replace=False, shuffle=False) if self.batch else None
        )

    def take(self, indices: NDArray[Any] | None) -> Any:
        """The batch of these samples, as it goes to the losses."""
        return self.whole if indices is None else self.framework.batch(self._taken(indices))

    @cached_property
    def whole(self) -> Any:
        """Everything, as it goes to the losses."""
        return self.framework.batch(
            self._taken(np.arange(self.size)) if self.is_dataset else self.entry
        )

    def _taken(self, indices: NDArray[Any]) -> Any:
        try:
            if not self.is_dataset:
                return mapped(
                    lambda leaf: self.framework.rows(leaf, indices) if has_rows(leaf) else leaf,
                    self.entry,
                )
            samples = _several(self.entry)([int(i) for i in indices])
            tree = self.framework.collate(samples, self.where)
        except Exception as error:
            raise mistake(
                error,
                self.where,
                type(self.entry).__getitem__,
                "give dense arrays, or a data set whose samples are arrays, numbers and texts of "
                "one shape",
            ) from error
        return mapped(lambda leaf: self._own(leaf, self.where), tree)


def _several(dataset: Any) -> Callable[[list[int]], Sequence[Any]]:
    """How a data set gives several samples: at once where it can, as PyTorch's own may."""
    return getattr(dataset, "__getitems__", None) or (lambda indices: [dataset[i] for i in indices])

"""The data of one agent: a constant batch, arrays of samples, or a map-style data set."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..._warning import warn
from ...errors import UserError
from ..data.holdout import parted
from ..data.subsets import Subset
from .arrays import has_rows, is_array, length, refuse_streams, whole_number
from .mistakes import mistake
from .nested import kind, leaves, mapped, mapped_at

SPLIT_HINT = "mpidbo.subsets(data, mpidbo.split(samples, agents))"


@runtime_checkable
class Framework(Protocol):
    """The part of handling data in which PyTorch and JAX differ."""

    def opened(self, entry: Any) -> Any:
        """Return the arrays of a data set that is no more than arrays, else the entry as it is."""

    def array(self, leaf: Any, where: str) -> Any:
        """Return any array as the framework's own, on the device; floats in the run's dtype.

        Raises UserError.
        """

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        """Return some rows of what `array` returned."""

    def collate(self, samples: Sequence[Any], where: str) -> Any:
        """Return samples of a data set as one batch, a tree of arrays."""

    def batch(self, tree: Any) -> Any:
        """Return a batch in the form in which the losses receive it."""


def accept_entries(data: Any, name: str) -> None:
    """Raise UserError for one data set in place of entries; warn where a list looks like one."""
    refuse_streams(data, name)
    if not (isinstance(data, (list, tuple)) and len(data) > 1 and all(map(has_rows, data))):
        return
    if isinstance(data, tuple):
        raise UserError(
            f"{name}: a tuple of arrays, {kind(data)}, is one data set, not the entries of "
            f"{len(data)} agents; share it out by {SPLIT_HINT}, or give the arrays of the agents "
            "as a list"
        )
    lengths = {length(part) for part in data}
    shapes = {_shape_of_sample(part) for part in data}
    # As many rows in each, but of different shapes: agents would have samples of one shape.
    if len(lengths) == 1 and len(shapes) > 1:
        warn(
            f"{name}: the entries of {len(data)} agents, {kind(data)}, look like the features and "
            f"labels of one data set; if they are, share it out by {SPLIT_HINT}"
        )


def _shape_of_sample(array: Any) -> tuple[int, ...]:
    """The shape of a row, which the arrays of all agents have in common."""
    return tuple(getattr(array, "shape", (0,)))[1:]


def entry_of(data: Any, agent: int, n_agents: int, name: str) -> Any:
    """Return one agent's entry of `data`.

    Raises
    ------
    UserError
        `data` is neither a list with an entry for each agent nor a function, or the function
        raises.
    """
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
        f"{name}: {kind(data)} is neither a list with an entry for each agent nor a function agent "
        "-> entry; give one, for example by mpidbo.subsets"
    )


def _is_dataset(entry: Any) -> bool:
    """Whether that is a map-style data set: a length and items, but not an array nor a tree."""
    if is_array(entry) or isinstance(entry, (list, tuple, Mapping, str, bytes)):
        return False
    return hasattr(entry, "__getitem__") and hasattr(entry, "__len__")


class Source:
    """The samples of one agent, and the batches drawn from them.

    Parameters
    ----------
    entry : object
        The agent's entry of `data`.
    framework : Framework
        Makes its arrays.
    agent : int
        Number of the agent, for messages.
    name : {"data", "val_data", "test_data"}
        The argument, for messages.
    batch : int
        Samples in a draw, all different; 0: all.
    key : str
        The option that sets `batch`, for messages.
    holdout : float, default 0
        Share of the samples that are taken out, one at least, into a source of their own.
    seed : int, default 0
        Chooses these samples.

    Attributes
    ----------
    held_out : Source or None
        The samples that were taken out.

    Raises
    ------
    UserError
        A batch that is negative or larger than the agent's data, arrays of different length, or
        something that is not an array of numbers.
    """

    def __init__(
        self,
        entry: Any,
        framework: Framework,
        *,
        agent: int,
        name: str,
        batch: Any,
        key: str,
        holdout: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.batch = whole_number(
            batch,
            f"problem.{key}",
            "is not a number of samples; give a whole number, 0 is the whole data of an agent",
        )
        self.framework, self.where = framework, f"{name} of agent {agent}"
        refuse_streams(entry, self.where)
        self.entry = framework.opened(entry)
        self.is_dataset = _is_dataset(self.entry)
        if not self.is_dataset:
            self.entry = mapped_at(self._own, self.entry, self.where)
        self.held_out: Source | None = None
        if holdout:
            parts = parted(self._size(), holdout, seed=seed, agent=agent, where=self.where)
            self.entry, held_out = map(self._part, parts)
            self.held_out = Source(held_out, framework, agent=agent, name=name, batch=0, key=key)
        if self.is_dataset or self.batch:
            self.size = self._size()
            if self.batch > self.size:
                raise UserError(
                    f"problem.{key}: {self.batch} samples in a draw, but {self.where} has "
                    f"{self.size}; lower it, or set {key} = 0 for the whole data of each agent"
                )
            if self.batch == self.size:  # all samples, for which nothing has to be drawn
                self.batch = 0
        lengths = [length(leaf) for leaf in leaves(self.entry) if has_rows(leaf)]
        if (self.is_dataset and not self.size) or (lengths and not any(lengths)):
            raise UserError(
                f"{self.where}: no samples, {kind(self.entry)}; give every agent at least one"
            )

    def _own(self, leaf: Any, where: str) -> Any:
        """A leaf as the framework's array, if it is one."""
        if is_array(leaf):
            return self.framework.array(leaf, where)
        if hasattr(leaf, "__iter__"):
            refuse_streams(leaf, where)
        return leaf

    def _part(self, indices: NDArray[Any]) -> Any:
        """These samples as an entry of their own."""
        if self.is_dataset:
            return Subset(self.entry, indices)
        return mapped(
            lambda leaf: self.framework.rows(leaf, indices) if has_rows(leaf) else leaf, self.entry
        )

    def _size(self) -> int:
        """The number of samples. Raises UserError."""
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
            message = (
                f"{self.where}: {kind(self.entry)} holds no samples to draw; give arrays of "
                "samples, or set batch and holdout to 0"
            )
            if isinstance(self.entry, (list, tuple)):
                message += "; lists of numbers become one by np.asarray"
            raise UserError(message)
        if len(sizes) > 1:
            raise UserError(
                f"{self.where}: arrays of different length, {kind(sampled)}; give as many of each "
                "(features and labels, say)"
            )
        return sizes[0]

    def draw(self, rng: np.random.Generator) -> NDArray[Any] | None:
        """Return the indices of `batch` samples, all different, shape (batch,); None for all."""
        if not self.batch:
            return None
        return rng.choice(self.size, self.batch, replace=False, shuffle=False)

    def take(self, indices: NDArray[Any] | None) -> Any:
        """Return the batch of these samples, as the losses receive it."""
        if indices is None:
            return self.full_batch
        return self.framework.batch(self._taken(indices))

    @cached_property
    def full_batch(self) -> Any:
        """All samples, as the losses receive them."""
        everything = self._taken(np.arange(self.size)) if self.is_dataset else self.entry
        return self.framework.batch(everything)

    def _taken(self, indices: NDArray[Any]) -> Any:
        """These samples as a tree of the framework's arrays. Raises UserError."""
        try:
            if not self.is_dataset:
                return self._part(indices)
            samples = _several(self.entry)([int(i) for i in indices])
            tree = self.framework.collate(samples, self.where)
        except Exception as error:
            raise mistake(
                error,
                self.where,
                type(self.entry).__getitem__,
                "give dense arrays, or a data set whose samples are arrays, numbers and strings of "
                "one shape",
            ) from error
        return mapped(lambda leaf: self._own(leaf, self.where), tree)


def _several(dataset: Any) -> Callable[[list[int]], Sequence[Any]]:
    """The function that returns several samples of a data set, at once where PyTorch's own can."""
    at_once = getattr(dataset, "__getitems__", None)
    return at_once or (lambda indices: [dataset[i] for i in indices])

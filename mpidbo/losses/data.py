"""One agent's data: a batch used whole, arrays of samples, or a map-style data set."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .nested import is_array, kind, leaves, mapped


class Framework(Protocol):
    """What PyTorch and JAX do differently with data."""

    def opened(self, entry: Any) -> Any:
        """A data set as the arrays of samples that it holds, where it is no more than that; else the entry itself."""

    def array(self, leaf: Any) -> Any:
        """An array as the framework's own, on the device; floats in the run's dtype."""

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        """Some rows of what `array` returned."""

    def collate(self, samples: Sequence[Any]) -> Any:
        """Samples of a data set as one batch, a tree of arrays."""

    def batch(self, tree: Any) -> Any:
        """A batch as it goes to the losses."""


def entry_of(data: Any, agent: int, n_agents: int, name: str) -> Any:
    """One agent's entry of `data`. UserError: not as many entries as agents, or neither entries nor a function."""
    if isinstance(data, Sequence) and not isinstance(data, str):
        if len(data) != n_agents:
            raise UserError(f"{name}: {len(data)} entries for {n_agents} agents; give one for each agent, or set agents = {len(data)}")
        return data[agent]
    if callable(data):
        return data(agent)
    raise UserError(f"{name}: {kind(data)} is neither a list with an entry for each agent nor a function agent -> entry; give one, "
                    "for example by mpidbo.subsets")


class Source:
    """What one agent's batches come from: `batch` samples a draw, all different, or (batch = 0, or as many as there are) everything.

    UserError: a negative batch or more than the agent's samples, arrays of different length.
    """

    def __init__(self, entry: Any, framework: Framework, *, agent: int, name: str, batch: int, key: str) -> None:
        if type(batch) is not int or batch < 0:
            raise UserError(f"problem.{key}: {batch} is no number of samples; give a whole number, 0 is the whole data of an agent")
        self.framework, self.batch = framework, batch
        self.entry = framework.opened(entry)
        self.is_dataset = hasattr(entry, "__getitem__") and hasattr(entry, "__len__") and not (
            is_array(self.entry) or isinstance(self.entry, (list, tuple, Mapping, str)))
        if not self.is_dataset:
            self.entry = mapped(self._own, self.entry)
        if self.is_dataset or batch:
            size = self._size(f"{name} of agent {agent}")
            if batch > size:
                raise UserError(f"problem.{key}: {batch} samples in a draw, but {name} of agent {agent} has {size}; "
                                f"lower it, or set {key} = 0 for the whole data of each agent")
            if batch == size:
                self.batch = 0
            self.size = size

    def _own(self, leaf: Any) -> Any:
        return self.framework.array(leaf) if is_array(leaf) else leaf

    def _size(self, where: str) -> int:
        if self.is_dataset:
            return len(self.entry)
        sampled = [leaf for leaf in leaves(self.entry) if _has_rows(leaf)]
        sizes = sorted({leaf.shape[0] for leaf in sampled})
        if not sizes:
            raise UserError(f"{where}: {kind(self.entry)} holds no samples to draw; give arrays of samples, or set the batch to 0")
        if len(sizes) > 1:
            raise UserError(f"{where}: arrays of different length, {kind(sampled)}; give as many of each (features and labels, say)")
        return sizes[0]

    def draw(self, rng: np.random.Generator) -> NDArray[Any] | None:
        """Indices of `batch` samples, all different, shape (batch,); None for all."""
        return rng.choice(self.size, self.batch, replace=False, shuffle=False) if self.batch else None

    def take(self, indices: NDArray[Any] | None) -> Any:
        """The batch of these samples, as it goes to the losses."""
        return self.whole if indices is None else self.framework.batch(self._taken(indices))

    @cached_property
    def whole(self) -> Any:
        """Everything, as it goes to the losses."""
        return self.framework.batch(self._taken(np.arange(self.size)) if self.is_dataset else self.entry)

    def _taken(self, indices: NDArray[Any]) -> Any:
        if not self.is_dataset:
            return mapped(lambda leaf: self.framework.rows(leaf, indices) if _has_rows(leaf) else leaf, self.entry)
        samples = _several(self.entry)([int(i) for i in indices])
        return mapped(self._own, self.framework.collate(samples))


def _has_rows(leaf: Any) -> bool:
    return is_array(leaf) and len(leaf.shape) > 0


def _several(dataset: Any) -> Callable[[list[int]], Sequence[Any]]:
    """How a data set gives several samples: at once where it can, as PyTorch's own may."""
    return getattr(dataset, "__getitems__", None) or (lambda indices: [dataset[i] for i in indices])

"""Data sets split over the agents."""

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _contents as contents
from ...errors import UserError
from ..autodiff.arrays import has_rows, is_array, length, refuse_sparse, refuse_streams, rows, whole
from ..autodiff.labels import codes, indices
from ..autodiff.nested import kind, leaves, mapped
from .shares import Tag, generator
from .splits import split as split_by_rule

SUFFIX = ".npy"


def split(labels: Any, agents: int, rule: str = "iid", *, concentration: float = 1.0, seed: int = 0) -> list[NDArray[np.int64]]:
    """Who gets which sample: one array of ascending indices for each agent; each sample belongs to one of them.

    labels : of all samples, shape (N,), numbers or texts in an array, a column of a table, a tensor or a list; or N, where the rule
        does not ask for them.
    rule : "iid": at random, in parts of equal size up to one; "dirichlet": each class in proportions drawn from
        Dirichlet(concentration, ...), small ones being heterogeneous, inf being "iid"; "class": two shards of the sorted
        labels for each agent.
    seed : the same seed gives the same split. Two sets of labels that are split with one seed and rule have the same
        mixture of classes on each agent, which training and validation data should have.

    UserError: an unknown rule, a concentration that is not positive, fewer samples than agents, labels that are missing or cannot be
    put in order.
    """
    agents = whole(agents, "split: agents", "is no number of agents; give a whole number from 1 on", 1)
    seed = whole(seed, "split: seed", "is no seed; give a whole number from 0 on")
    if isinstance(labels, Real) and not hasattr(labels, "__len__"):
        number = whole(labels, "split: labels", "is neither labels nor their number; give one label for each sample")
        if rule in ("dirichlet", "class"):
            raise UserError(f"split: {rule} goes by the labels, not by their number {number}; give the labels")
        classes = np.zeros(number, np.int64)
    else:
        classes = codes(labels, "split")
    return split_by_rule(rule, classes, agents, generator(seed, Tag.SPLIT), concentration, where="")


def split_files(paths: Sequence[Any]) -> list[NDArray[np.int64]]:
    """The split that files give, one for each agent: indices in a .npy file, or as text.

    In text they are separated by white space or commas, # begins a comment.

    UserError: a file that cannot be read or holds no indices, a sample that is given twice.
    """
    parts = [_indices(Path(path)) for path in paths]
    everyone = np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))
    twice = everyone[1:][everyone[1:] == everyone[:-1]]
    if len(twice):
        raise UserError(f"split_files: sample {twice[0]} is given twice; give each sample to one agent")
    return parts


def _indices(path: Path) -> NDArray[np.int64]:
    remedy = "give whole numbers from 0 on"
    try:
        is_array_file = path.suffix in (SUFFIX, ".npz")
        found = contents.array(path) if is_array_file else _listed(contents.read(path))
    except contents.FAULTS as error:
        raise UserError(f"split_files: {path} cannot be read as indices ({contents.why(error)}); {remedy}") from None
    if found.dtype.kind not in "iu" or found.ndim != 1 or not len(found) or found.min() < 0:
        what = f"{found.dtype} of shape {found.shape}" if found.size else "nothing"
        raise UserError(f"split_files: {path} holds no indices, but {what}; {remedy}, at least one")
    if found.max() > np.iinfo(np.int64).max:
        raise UserError(f"split_files: {path} holds {found.max()}, which is no index; {remedy}")
    return found.astype(np.int64)


def _listed(text: str) -> NDArray[np.int64]:
    """The indices of a text. ValueError, with the line, for anything else."""
    found = []
    for number, line in contents.lines(text):
        for word in (line.split(",") if "," in line else line.split()):
            if not re.fullmatch(r"\d{1,18}", word.strip(), re.ASCII):
                raise ValueError(f"line {number}: {contents.excerpt(word.strip())} is no index")
            found.append(int(word))
    return np.array(found, np.int64)


class Subset:
    """The samples `indices` of a map-style data set, as one of its own."""

    def __init__(self, dataset: Any, indices: NDArray[Any]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Any:
        return self.dataset[int(self.indices[i])]


class Subsets(Sequence[Any]):
    """What `subsets` returns: one agent's samples at a time, made when they are asked for."""

    def __init__(self, dataset: Any, parts: Sequence[NDArray[Any]]) -> None:
        self.dataset, self.parts = dataset, list(parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, agent: Any) -> Any:
        if isinstance(agent, slice):
            return Subsets(self.dataset, self.parts[agent])
        part = self.parts[agent]
        if _is_tree(self.dataset):
            return mapped(lambda leaf: rows(leaf, part) if has_rows(leaf) else leaf, self.dataset)
        return Subset(self.dataset, part)


def _is_tree(dataset: Any) -> bool:
    return is_array(dataset) or isinstance(dataset, (tuple, list, Mapping))


def subsets(dataset: Any, parts: Sequence[NDArray[Any]]) -> Subsets:
    """Each agent's samples of a data set that all ranks can read: the entries for `data`.

    dataset : an array, table or tensor of samples, a tuple, list or dict of them, or a map-style data set (with a length and items).
    parts : one array of indices for each agent, such as `split` returns: positions from 0 on, whatever labels the rows of a
        table have; or a mask of booleans for each agent.

    UserError: an index beyond the samples, arrays of different length.
    """
    refuse_streams(dataset, "subsets")
    size = _size(dataset)
    if isinstance(parts, (Mapping, str)) or not hasattr(parts, "__iter__"):
        raise UserError(f"subsets: {kind(parts)} is not a list with the indices of each agent; give one, as mpidbo.split returns it")
    return Subsets(dataset, [indices(part, i, size) for i, part in enumerate(parts)])


def _size(dataset: Any) -> int:
    """How many samples. UserError where arrays do not agree, or hold none."""
    if not _is_tree(dataset):
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or isinstance(dataset, str):
            raise UserError(f"subsets: {kind(dataset)} holds no samples; give arrays of samples, or a data set with a length and items")
        return len(dataset)
    sampled = [leaf for leaf in leaves(dataset) if has_rows(leaf)]
    for leaf in sampled:
        refuse_sparse(leaf, "subsets")
    sizes = sorted({length(leaf) for leaf in sampled})
    if not sizes:
        raise UserError(f"subsets: {kind(dataset)} holds no arrays of samples; give some, such as np.asarray makes them of lists")
    if len(sizes) > 1:
        raise UserError(f"subsets: arrays of different length, {kind(dataset)}; give as many of each (features and labels, say)")
    return sizes[0]

"""Splits of a data set over the agents."""

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _contents as contents
from ...errors import UserError
from ..autodiff.arrays import (
    has_rows,
    is_array,
    length,
    refuse_sparse,
    refuse_streams,
    rows,
    whole_number,
)
from ..autodiff.labels import codes, indices
from ..autodiff.nested import kind, leaves, mapped
from .shares import Tag, generator
from .splits import split as split_by_rule

SUFFIX = ".npy"


def split(
    labels: Any, agents: int, rule: str = "iid", *, concentration: float = 1.0, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Split samples over agents: for each agent the indices of its samples.

    Parameters
    ----------
    labels : (N,) array, column of a table, tensor or list; or int
        The label of each sample, a number or a string; or their number N, where the rule does not
        use labels.
    agents : int
        Number of agents.
    rule : {"iid", "dirichlet", "class"}, default "iid"
        "iid": at random, in parts whose sizes differ by at most one. "dirichlet": each class in
        proportions drawn from Dirichlet(concentration, ..., concentration). "class": two shards of
        the samples sorted by label for each agent.
    concentration : float, default 1.0
        Of "dirichlet", positive. The smaller it is, the more the agents differ; infinite is "iid".
    seed : int, default 0
        The same seed gives the same split. Two sets of labels that are split with the same seed and
        rule have the same mixture of classes on each agent, as training and validation data should.

    Returns
    -------
    list of (n_i,) arrays of int
        Ascending indices for each agent; each sample belongs to one of them.

    Raises
    ------
    UserError
        An unknown rule, a concentration that is not positive, fewer samples than agents, or labels
        that are missing or cannot be sorted.

    Examples
    --------
    >>> import mpidbo
    >>> labels = ["cat", "cat", "dog", "dog", "cow", "cow"]
    >>> mpidbo.split(labels, 2)
    [array([0, 2, 3]), array([1, 4, 5])]
    >>> mpidbo.split(labels, 2, "class")
    [array([0, 1, 4]), array([2, 3, 5])]

    References
    ----------
    Yurochkin et al., Bayesian nonparametric federated learning of neural networks, ICML 2019
    (dirichlet).
    McMahan et al., Communication-efficient learning of deep networks from decentralized data,
    AISTATS 2017 (class).
    """
    agents = whole_number(
        agents, "split: agents", "is not a number of agents; give a whole number from 1 on", 1
    )
    seed = whole_number(seed, "split: seed", "is not a seed; give a whole number from 0 on")
    if isinstance(labels, Real) and not hasattr(labels, "__len__"):
        number = whole_number(
            labels,
            "split: labels",
            "is neither labels nor their number; give one label for each sample",
        )
        if rule in ("dirichlet", "class"):
            raise UserError(
                f"split: {rule} goes by the labels, not by their number {number}; give the labels"
            )
        classes = np.zeros(number, np.int64)
    else:
        classes = codes(labels, "split")
    return split_by_rule(rule, classes, agents, generator(seed, Tag.SPLIT), concentration, where="")


def split_files(paths: Sequence[Any]) -> list[NDArray[np.int64]]:
    """Read a split from files, one for each agent.

    Parameters
    ----------
    paths : sequence of path-like
        Files of indices: .npy, or text in which they are separated by white space or commas and #
        begins a comment.

    Returns
    -------
    list of (n_i,) arrays of int
        The indices of each agent.

    Raises
    ------
    UserError
        A file that cannot be read or holds no indices, or a sample that is given twice.

    Examples
    --------
    >>> from pathlib import Path
    >>> import mpidbo
    >>> for name, text in (("a.txt", "0 2 4"), ("b.txt", "1, 3  # the rest")):
    ...     written = Path(name).write_text(text)
    >>> mpidbo.split_files(["a.txt", "b.txt"])
    [array([0, 2, 4]), array([1, 3])]
    """
    parts = [_indices(Path(path)) for path in paths]
    everyone = np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))
    twice = everyone[1:][everyone[1:] == everyone[:-1]]
    if len(twice):
        raise UserError(
            f"split_files: sample {twice[0]} is given twice; give each sample to one agent"
        )
    return parts


def _indices(path: Path) -> NDArray[np.int64]:
    remedy = "give whole numbers from 0 on"
    try:
        is_array_file = path.suffix in (SUFFIX, ".npz")
        found = contents.array(path) if is_array_file else _listed(contents.read(path))
    except contents.FAULTS as error:
        raise UserError(
            f"split_files: {path} cannot be read as indices ({contents.why(error)}); {remedy}"
        ) from None
    if found.dtype.kind not in "iu" or found.ndim != 1 or not len(found) or found.min() < 0:
        what = f"{found.dtype} of shape {found.shape}" if found.size else "nothing"
        raise UserError(f"split_files: {path} holds no indices, but {what}; {remedy}, at least one")
    if found.max() > np.iinfo(np.int64).max:
        raise UserError(f"split_files: {path} holds {found.max()}, which is not an index; {remedy}")
    return found.astype(np.int64)


def _listed(text: str) -> NDArray[np.int64]:
    """Return the indices in a string. Raises ValueError, with the line, for anything else."""
    found = []
    for number, line in contents.lines(text):
        words = line.split(",") if "," in line else line.split()
        for word in words:
            if not re.fullmatch(r"\d{1,18}", word.strip(), re.ASCII):
                raise ValueError(f"line {number}: {contents.excerpt(word.strip())} is not an index")
            found.append(int(word))
    return np.array(found, np.int64)


class Subset:
    """The samples `indices` of a map-style data set, as a data set."""

    def __init__(self, dataset: Any, indices: NDArray[Any]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Any:
        return self.dataset[int(self.indices[i])]

    def __getitems__(self, positions: Sequence[int]) -> Sequence[Any]:
        """Return several samples, at once where the data set can."""
        chosen = [int(self.indices[i]) for i in positions]
        at_once = getattr(self.dataset, "__getitems__", None)
        return at_once(chosen) if at_once else [self.dataset[i] for i in chosen]


class Subsets(Sequence[Any]):
    """The samples of each agent, made when they are asked for; `subsets` returns it."""

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
    """Return each agent's samples of one data set: the entries for `data` of `from_torch`.

    Parameters
    ----------
    dataset : array, table or tensor; tuple, list or dict of them; or map-style data set
        Samples that all ranks can read.
    parts : sequence of arrays
        For each agent the indices of its samples, as `split` returns them: positions from 0 on,
        whatever labels the rows of a table have; or a boolean mask.

    Returns
    -------
    Subsets
        A sequence with the samples of one agent at each position, made when they are asked for.

    Raises
    ------
    UserError
        An index beyond the samples, or arrays of different length.

    Examples
    --------
    >>> import mpidbo, numpy
    >>> data = mpidbo.subsets(numpy.arange(10.0), [[0, 1, 2], [7, 8]])
    >>> len(data), data[1]
    (2, array([7., 8.]))
    """
    refuse_streams(dataset, "subsets")
    size = _size(dataset)
    if isinstance(parts, (Mapping, str)) or not hasattr(parts, "__iter__"):
        raise UserError(
            f"subsets: {kind(parts)} is not a list with the indices of each agent; give one, as "
            "mpidbo.split returns it"
        )
    return Subsets(dataset, [indices(part, i, size) for i, part in enumerate(parts)])


def _size(dataset: Any) -> int:
    """Return the number of samples.

    Raises UserError where arrays differ in length or there are none.
    """
    if not _is_tree(dataset):
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or isinstance(
            dataset, str
        ):
            raise UserError(
                f"subsets: {kind(dataset)} holds no samples; give arrays of samples, or a data set "
                "with a length and items"
            )
        return len(dataset)
    sampled = [leaf for leaf in leaves(dataset) if has_rows(leaf)]
    for leaf in sampled:
        refuse_sparse(leaf, "subsets")
    sizes = sorted({length(leaf) for leaf in sampled})
    if not sizes:
        raise UserError(
            f"subsets: {kind(dataset)} holds no arrays of samples; give some, such as np.asarray "
            "makes them of lists"
        )
    if len(sizes) > 1:
        raise UserError(
            f"subsets: arrays of different length, {kind(dataset)}; give as many of each (features "
            "and labels, say)"
        )
    return sizes[0]

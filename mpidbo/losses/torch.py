"""Losses in PyTorch: derivatives by reverse mode, second ones by a second backward pass."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call
from torch.utils.data import Subset, TensorDataset, default_collate

from ..errors import UserError
from .base import LEVELS, Given, Losses
from .nested import is_array, leaves, mapped

FEW = 32


class Network:
    """An nn.Module with the parameters of the moment, as a loss receives it: call it like the module.

    `parameters()` and `named_parameters()` are those that are trained, `net["0.weight"]` is one of them. Buffers (and
    parameters that require no grad) are the module's own, at every call as they were at the start.
    """

    def __init__(self, module: Any, trained: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
        self._module, self._trained, self._kept = module, trained, kept

    def __call__(self, *inputs: Any, **more: Any) -> Any:
        state = {name: part.clone() for name, part in self._kept.items()}       # a batch norm writes into its buffers
        return functional_call(self._module, {**state, **self._trained}, inputs, more)

    def parameters(self) -> Iterator[Any]:
        return iter(self._trained.values())

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        return iter(self._trained.items())

    def __getitem__(self, name: str) -> Any:
        return self._trained[name]


class Form:
    """How a vector is the user's tree: tensors, and modules with their parameters, one after the other.

    UserError: a leaf that is no tensor of floats, a module without a parameter to train.
    """

    def __init__(self, tree: Any, name: str, place: "Place") -> None:
        self.tree = tree
        self._kept: dict[int, dict[str, Any]] = {}
        parts: list[Any] = []
        for leaf in leaves(tree):
            if isinstance(leaf, torch.nn.Module):
                trained = _trained(leaf)
                if not trained:
                    raise UserError(f"{name}: no parameter of {type(leaf).__name__} requires grad; give one that has something to train")
                kept = {**dict(leaf.named_parameters()), **dict(leaf.named_buffers())}
                self._kept[id(leaf)] = {key: place.array(part.detach()) for key, part in kept.items() if key not in trained}
                parts += trained.values()
            else:
                parts.append(_floats(leaf, name))
        self.shapes = [tuple(part.shape) for part in parts]
        self.sizes = [part.numel() for part in parts]
        flat = [place.array(part.detach()).reshape(-1) for part in parts]
        self.start = torch.cat(flat) if flat else torch.empty(0)

    def parts(self, vector: Any) -> list[Any]:
        """The vector's parts in their shapes, views of it."""
        return [part.view(shape) for part, shape in zip(vector.split(self.sizes), self.shapes, strict=True)]

    def of(self, parts: Sequence[Any], plain: bool = False) -> Any:
        """The user's tree of these parts; `plain`: a dict in place of each module."""
        rest = iter(parts)

        def take(leaf: Any) -> Any:
            if not isinstance(leaf, torch.nn.Module):
                return next(rest)
            own = {name: next(rest) for name in _trained(leaf)}
            return own if plain else Network(leaf, own, self._kept[id(leaf)])

        return mapped(take, self.tree)


def _trained(module: Any) -> dict[str, Any]:
    return {name: part for name, part in module.named_parameters() if part.requires_grad}


def _floats(leaf: Any, name: str) -> Any:
    """A leaf as a tensor."""
    part = leaf if isinstance(leaf, torch.Tensor) else torch.as_tensor(leaf) if is_array(leaf) or isinstance(leaf, (int, float)) else None
    if part is None:
        raise UserError(f"{name}: {type(leaf).__name__} is no tensor; give tensors, nn.Modules, and dicts, lists and tuples of them")
    if not part.is_floating_point():
        raise UserError(f"{name}: a part of shape {tuple(part.shape)} is {part.dtype}, which has no derivative; give floats, "
                        "such as tensor.double()")
    return part


class Place:
    """Where an agent's tensors live, and their type: `Framework` for PyTorch."""

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.xp, self.dtype = xp, torch.float32 if dtype == np.float32 else torch.float64
        self.device = torch.device("cpu") if xp is np else torch.device("cuda", xp.cuda.Device().id)

    def opened(self, entry: Any) -> Any:
        if isinstance(entry, TensorDataset):
            return entry.tensors
        if isinstance(entry, Subset) and isinstance(whole := self.opened(entry.dataset), tuple):
            return tuple(part[list(entry.indices)] for part in whole)
        return entry

    def array(self, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            leaf = torch.from_numpy(leaf if leaf.flags.writeable else leaf.copy())
        tensor = leaf if isinstance(leaf, torch.Tensor) else torch.from_dlpack(leaf)
        return tensor.detach().to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        return array.index_select(0, torch.from_numpy(indices).to(self.device))

    def collate(self, samples: Sequence[Any]) -> Any:
        return default_collate(samples)

    def batch(self, tree: Any) -> Any:
        return tree

    def shared(self, vector: Any) -> Any:
        """A vector of numpy or CuPy in PyTorch, in the same memory; a read-only one is copied."""
        if self.xp is not np:
            return torch.from_dlpack(vector)
        return torch.from_numpy(vector if vector.flags.writeable else vector.copy())

    def copied(self, vector: Any) -> tuple[Any, Any]:
        """A vector's own copy, in numpy or CuPy and, in the same memory, in PyTorch."""
        own = self.xp.array(vector)
        return own, torch.from_numpy(own) if self.xp is np else torch.from_dlpack(own)

    def vector(self, tensors: Sequence[Any]) -> Any:
        """A new vector of these tensors, one after the other; numpy or CuPy, in PyTorch's memory."""
        flat = torch.cat([part.detach().reshape(-1) for part in tensors])
        return flat.numpy() if self.xp is np else self.xp.from_dlpack(flat)


class Point:
    """A loss at a point and a sample: its graph serves all derivatives there, if it is `kept`, and else the first.

    Every number has one way to be computed, whatever was asked for before, so that a run does not depend on where it was
    stopped: gradients by a backward pass of their own, products by a second one through `slope`.
    """

    def __init__(self, losses: "TorchLosses", loss: str, x: Any, y: Any, sample: Any, kept: bool) -> None:
        self.place, self.sample, self.kept, self.used = losses.place, sample, kept, 1
        vectors = {"x": x, "y": y}
        if kept:                                                        # the caller may change x and y before the next derivative
            copies = {level: self.place.copied(vector) for level, vector in vectors.items()}
            self.own, tensors = ({level: pair[i] for level, pair in copies.items()} for i in (0, 1))
        else:
            self.own = {level: self.place.xp.array(vector[:FEW]) for level, vector in vectors.items()}
            tensors = {level: self.place.shared(vector) for level, vector in vectors.items()}
        self.parts = {level: [part.detach().requires_grad_() for part in losses.forms[level].parts(tensor)]
                      for level, tensor in tensors.items()}
        trees = [losses.forms[level].of(self.parts[level]) for level in LEVELS]
        self.loss = getattr(losses.given, loss)(*trees, losses._batch(loss, sample))

    def seems_at(self, x: Any, y: Any, sample: Any) -> bool:
        """Whether that is this sample and, in its first few entries, this point."""
        return sample is self.sample and self._same(self.own["y"][:FEW], y[:FEW]) and self._same(self.own["x"][:FEW], x[:FEW])

    def is_at(self, x: Any, y: Any, sample: Any) -> bool:
        """Whether that is this point, to the bit, and kept."""
        return self.kept and self.seems_at(x, y, sample) and self._same(self.own["y"], y) and self._same(self.own["x"], x)

    def _same(self, a: Any, b: Any) -> bool:
        bits = f"i{a.dtype.itemsize}"
        return a.dtype == b.dtype and bool(self.place.xp.array_equal(a.view(bits), b.view(bits)))

    def gradient(self, level: str) -> Any:
        return self._vector([self.loss], level, [None])

    def product(self, level: str, v: Sequence[Any]) -> Any:
        """d/dlevel <slope, v>."""
        return self._vector(self.slope, level, v)

    @cached_property
    def slope(self) -> Any:
        """The gradient in y, as a function of x and y."""
        return torch.autograd.grad(self.loss, self.parts["y"], create_graph=True, materialize_grads=True)

    def _vector(self, of: Sequence[Any], level: str, along: Sequence[Any]) -> Any:
        """The derivative of <of, along>; zero where nothing in it depends on x or y."""
        pairs = [(part, v) for part, v in zip(of, along, strict=True) if part.requires_grad]
        parts = self.parts[level]
        if not pairs:
            return self.place.vector([torch.zeros_like(part) for part in parts])
        tensors, vectors = zip(*pairs, strict=True)
        return self.place.vector(torch.autograd.grad(tensors, parts, vectors, retain_graph=self.kept, materialize_grads=True))


class TorchLosses(Losses):
    """An agent with losses in PyTorch."""

    def _framework(self) -> Place:
        self.place = Place(self.xp, self.dtype)
        self.forms = {"x": Form(self.given.x0, "x0", self.place), "y": Form(self.given.y0, "y0", self.place)}
        self._points: dict[str, Point | None] = {}
        return self.place

    def start(self) -> tuple[Any, Any]:
        x, y = (self.place.vector([self.forms[level].start]) for level in LEVELS)
        return x, y

    def _trees(self, *vectors: Any) -> list[Any]:
        return [self.forms[level].of(self.forms[level].parts(self.place.copied(vector)[1]))
                for level, vector in zip(LEVELS, vectors, strict=False)]

    def _value(self, loss: str, x: Any, y: Any, batch: Any) -> float:
        with torch.no_grad():
            return float(getattr(self.given, loss)(*self._trees(x, y), batch))

    def _at(self, loss: str, x: Any, y: Any, sample: Any) -> Point:
        """The loss there. It is kept where derivatives have come in several at a point, as far as its first entries tell."""
        point = self._points.get(loss)
        if point is not None and point.is_at(x, y, sample):
            point.used += 1
            return point
        kept = point is not None and (point.used > 1 or point.seems_at(x, y, sample))
        self._points[loss] = point = None                               # its memory serves the next one
        point = self._points[loss] = Point(self, loss, x, y, sample, kept)
        return point

    def _gradient(self, loss: str, level: str, x: Any, y: Any, sample: Any) -> Any:
        return self._at(loss, x, y, sample).gradient(level)

    def _product(self, level: str, x: Any, y: Any, v: Any, sample: Any) -> Any:
        along = self.forms["y"].parts(self.place.array(v))
        return self._at("g", x, y, sample).product(level, along)

    def _projected(self, x: Any) -> Any:
        assert self.given.project_x is not None
        with torch.no_grad():
            return self.place.vector(leaves(self.given.project_x(*self._trees(x))))

    def metrics(self, x: Any, y: Any) -> Mapping[str, float]:
        if self.given.metrics is None:
            return {}
        with torch.no_grad():
            found = self.given.metrics(*self._trees(x, y), self.tested.whole)
        return mapped(lambda value: value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value, found)

    def _look(self, loss: str, batch: Any) -> tuple[Any, dict[str, bool]]:
        parts = {level: [part.detach().requires_grad_() for part in self.forms[level].parts(self.forms[level].start)] for level in LEVELS}
        value = getattr(self.given, loss)(*(self.forms[level].of(parts[level]) for level in LEVELS), batch)
        if not isinstance(value, torch.Tensor) or value.shape != () or not value.requires_grad:
            return value, dict.fromkeys(LEVELS, False)
        slopes = {level: torch.autograd.grad(value, parts[level], allow_unused=True, retain_graph=True) for level in LEVELS}
        return value, {level: any(slope is not None for slope in found) for level, found in slopes.items()}

    def _plain(self, level: str, vector: Any) -> Any:
        host = np.array(vector.get() if hasattr(vector, "get") else vector)
        return mapped(lambda part: part.numpy(), self.forms[level].of(self.forms[level].parts(torch.from_numpy(host)), plain=True))

    def x_tree(self, x: Any) -> Any:
        """x as nested dicts, lists and tuples of numpy arrays; a module is the dict of its parameters."""
        return self._plain("x", x)

    def y_tree(self, y: Any) -> Any:
        """y likewise."""
        return self._plain("y", y)


def problem(given: Given) -> type[TorchLosses]:
    """The class of these losses."""
    return type("Losses", (TorchLosses,), {"given": given})

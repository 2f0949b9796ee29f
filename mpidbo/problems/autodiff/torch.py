"""Losses in PyTorch: derivatives by reverse mode, second ones by a second backward pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Subset, TensorDataset, default_collate

from ...errors import UserError
from .arrays import brief, is_array, native, signed
from .base import LEVELS, Given, Losses
from .modules import Network, Whole
from .nested import leaves, mapped

FEW = 32
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


class Form:
    """How a vector is the user's tree: tensors, and modules with their parameters, one after the other.

    UserError: a leaf that is no tensor of floats, a module without a parameter to train.
    """

    def __init__(self, tree: Any, name: str, place: "Place") -> None:
        self.tree = mapped(lambda leaf: Whole(leaf, name, place) if isinstance(leaf, torch.nn.Module) else _floats(leaf, name), tree)
        parts = [part for leaf in leaves(self.tree) for part in (leaf.trained.values() if isinstance(leaf, Whole) else [leaf])]
        if not sum(part.numel() for part in parts):
            raise UserError(f"{name}: holds no number; give at least one to optimise")
        self.shapes = [tuple(part.shape) for part in parts]
        self.sizes = [part.numel() for part in parts]
        flat = [place.tensor(part).reshape(-1) for part in parts]
        self.start = torch.cat(flat) if flat else torch.empty(0)

    def parts(self, vector: Any) -> list[Any]:
        """The vector's parts in their shapes, views of it."""
        return [part.view(shape) for part, shape in zip(vector.split(self.sizes), self.shapes, strict=True)]

    def of(self, parts: Sequence[Any], plain: bool = False) -> Any:
        """The user's tree of these parts; `plain`: a dict in place of each module."""
        rest = iter(parts)

        def take(leaf: Any) -> Any:
            if not isinstance(leaf, Whole):
                return next(rest)
            own = {name: next(rest) for name in leaf.trained}
            return own if plain else Network(leaf, own)

        return mapped(take, self.tree)


def _floats(leaf: Any, where: str) -> Any:
    """A leaf as a tensor."""
    if isinstance(leaf, (int, float)):
        leaf = np.asarray(leaf)
    if not is_array(leaf):
        raise UserError(f"{where}: {brief(type(leaf).__name__, 60)} is no tensor; give tensors, nn.Modules, and dicts, lists and tuples of "
                        "them")
    if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.layout == torch.strided and leaf.device.type != "meta":
        return leaf
    found = native(leaf, where)
    if found.dtype.kind != "f":
        remedy = "its real and imaginary parts as floats" if found.dtype.kind == "c" else "floats, such as tensor.double()"
        raise UserError(f"{where}: a part of shape {found.shape} is {leaf.dtype}, which has no derivative; give {remedy}")
    return _tensor(found)


def _tensor(array: NDArray[Any]) -> Any:
    """A tensor of an array's numbers, in its memory unless that is read-only."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _dense(tensor: Any) -> Any:
    """The gradient of an embedding may be sparse."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _readable(leaf: Any, where: str) -> Any:
    """An array of any library as a tensor of a type that PyTorch computes with. UserError."""
    if isinstance(leaf, torch.Tensor) and leaf.device.type != "meta" and not leaf.is_quantized:
        if leaf.dtype not in UNSIGNED:
            return leaf
    return _tensor(signed(native(leaf, where), where))


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

    def array(self, leaf: Any, where: str) -> Any:
        if self.xp is not np and hasattr(leaf, "__cuda_array_interface__") and not isinstance(leaf, torch.Tensor):
            return self.tensor(torch.from_dlpack(leaf))
        return self.tensor(_readable(leaf, where))

    def tensor(self, tensor: Any) -> Any:
        """A tensor on this device; floats in this type."""
        if tensor.is_inference():                                       # which no graph may keep
            tensor = tensor.clone()
        return tensor.detach().to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        return array.index_select(0, torch.from_numpy(indices).to(self.device))

    def collate(self, samples: Sequence[Any], where: str) -> Any:
        return default_collate([mapped(lambda leaf: _readable(leaf, where) if is_array(leaf) else leaf, sample) for sample in samples])

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
        flat = torch.cat([_dense(part.detach()).reshape(-1) for part in tensors])
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


@contextmanager
def _graphs() -> Iterator[None]:
    """With derivatives, whatever the user's program has switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


class TorchLosses(Losses):
    """An agent with losses in PyTorch."""

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, batch: int | None = None,
                 val_batch: int | None = None) -> None:
        with _graphs():
            super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, batch=batch, val_batch=val_batch)

    def _asked(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if torch.is_grad_enabled():
            return super()._asked(name, function, *arguments)
        with _graphs():
            return super()._asked(name, function, *arguments)

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

    def _value(self, loss: str, x: Any, y: Any, sample: Any) -> float:
        batch = self._batch(loss, sample)
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
        along = self.forms["y"].parts(self.place.tensor(self.place.shared(v)))
        return self._at("g", x, y, sample).product(level, along)

    def _projected(self, x: Any) -> Any:
        assert self.given.project_x is not None
        with torch.no_grad():
            found = leaves(self.given.project_x(*self._trees(x)))
        return self.place.vector([part for leaf in found for part in (leaf.parameters() if isinstance(leaf, Network) else [leaf])])

    def _measured(self, x: Any, y: Any) -> Mapping[str, float]:
        assert self.given.metrics is not None
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

"""Vectors and data of an agent in PyTorch: trees of tensors and modules, devices and types."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Subset, TensorDataset, default_collate

from ..._types import Array, Float
from ...errors import UserError
from ...parallel import MIN_HUGE_BYTES, aligned
from .arrays import brief, is_array, native, signed
from .modules import BoundModule, TrainedModule
from .nested import leaves, mapped

ALIGNMENT = 64
"""Bytes; that of PyTorch's own memory."""
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


class TensorTree:
    """The map from a vector to the user's tree of tensors and modules.

    Parameters
    ----------
    tree : tensor, nn.Module, or nested dicts, lists and tuples of them
        x0 or y0.
    name : str
        "x0" or "y0", for messages.
    framework : TorchFramework
        Device and type of the vectors.

    Raises
    ------
    UserError
        A leaf that is not a tensor of floats, or a module without a parameter to train.
    """

    def __init__(self, tree: Any, name: str, framework: "TorchFramework") -> None:
        def accept(leaf: Any) -> Any:
            if isinstance(leaf, torch.nn.Module):
                return TrainedModule(leaf, name, framework)
            return _floats(leaf, name)

        self.tree = mapped(accept, tree)
        parts: list[Any] = []
        for leaf in leaves(self.tree):
            parts += leaf.trained.values() if isinstance(leaf, TrainedModule) else [leaf]
        if not sum(part.numel() for part in parts):
            raise UserError(f"{name}: holds no number; give at least one to optimize")
        self.shapes = [tuple(part.shape) for part in parts]
        self.sizes = [part.numel() for part in parts]
        self.start = torch.cat([framework.tensor(part).reshape(-1) for part in parts])

    def parts(self, vector: Any) -> list[Any]:
        """Return the vector's parts in their shapes, views of it."""
        parts = vector.split_with_sizes(self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def build(self, parts: Sequence[Any]) -> Any:
        """Return the user's tree of these parts."""
        return self._build(parts, BoundModule)

    def build_plain(self, parts: Sequence[Any]) -> Any:
        """Return the user's tree of these parts, with a dict in place of each module."""
        return self._build(parts, lambda module, trained: trained)

    def _build(self, parts: Sequence[Any], make_module: Any) -> Any:
        rest = iter(parts)

        def take(leaf: Any) -> Any:
            if not isinstance(leaf, TrainedModule):
                return next(rest)
            return make_module(leaf, {name: next(rest) for name in leaf.trained})

        return mapped(take, self.tree)


class TorchFramework:
    """The device and type of an agent's tensors: what `Framework` asks of PyTorch.

    Parameters
    ----------
    xp : module
        numpy or cupy, where the vectors are.
    dtype : data type
        Floating-point type of the run.
    """

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.xp, self.numpy_dtype = xp, dtype
        self.dtype = torch.float32 if dtype == np.float32 else torch.float64
        self.device = torch.device("cpu") if xp is np else torch.device("cuda", xp.cuda.Device().id)

    def opened(self, entry: Any) -> Any:
        if isinstance(entry, TensorDataset):
            return entry.tensors
        if isinstance(entry, Subset):
            tensors = self.opened(entry.dataset)
            if isinstance(tensors, tuple):
                return tuple(part[list(entry.indices)] for part in tensors)
        return entry

    def array(self, leaf: Any, where: str) -> Any:
        is_on_device = self.xp is not np and hasattr(leaf, "__cuda_array_interface__")
        if is_on_device and not isinstance(leaf, torch.Tensor):
            return self.tensor(torch.from_dlpack(leaf))
        return self.tensor(_readable(leaf, where))

    def tensor(self, tensor: Any) -> Any:
        """Return a tensor on this device; floats in the run's type."""
        if tensor.is_inference():  # which no graph may keep
            tensor = tensor.clone()
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        tensor = tensor.detach()
        if self.xp is np:
            if _is_large(tensor) and (tensor.dtype != dtype or not _is_aligned(tensor)):
                return _on_huge_pages(tensor, dtype)
            return _aligned(tensor.to(self.device, dtype))
        return tensor.to(self.device, dtype)

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        return array.index_select(0, torch.from_numpy(indices).to(self.device))

    def collate(self, samples: Sequence[Any], where: str) -> Any:
        def readable(leaf: Any) -> Any:
            return _readable(leaf, where) if is_array(leaf) else leaf

        return default_collate([mapped(readable, sample) for sample in samples])

    def batch(self, tree: Any) -> Any:
        return tree

    def shared(self, vector: Float[Array, " d"]) -> Any:
        """Return a vector of numpy or CuPy in PyTorch.

        It shares the memory where that is writable and aligned.
        """
        if self.xp is not np:
            return torch.from_dlpack(vector)
        return _aligned(torch.from_numpy(vector if vector.flags.writeable else vector.copy()))

    def copied(self, vector: Float[Array, " d"]) -> tuple[Float[Array, " d"], Any]:
        """Return a copy of a vector, in numpy or CuPy and, in the same memory, in PyTorch."""
        if self.xp is not np:
            own = self.xp.array(vector)
            return own, torch.from_dlpack(own)
        tensor = torch.empty(vector.shape, dtype=self.dtype)
        own = tensor.numpy()
        own[...] = vector
        return own, tensor

    def vector(self, tensors: Sequence[Any]) -> Float[Array, " d"]:
        """Return the tensors one after the other as a new vector of numpy or CuPy."""
        parts = [_dense(part.detach()).reshape(-1) for part in tensors]
        if self.xp is not np:
            return self.xp.from_dlpack(torch.cat(parts))
        # Memory of numpy, which an oracle need not copy.
        own = np.empty(sum(part.numel() for part in parts), self.numpy_dtype)
        torch.cat(parts, out=torch.from_numpy(own))
        return own


def _floats(leaf: Any, where: str) -> Any:
    """A leaf of x0 or y0 as a tensor of floats. Raises UserError."""
    if isinstance(leaf, (int, float)):
        leaf = np.asarray(leaf)
    if not is_array(leaf):
        raise UserError(
            f"{where}: {brief(type(leaf).__name__, 60)} is not a tensor; give tensors, nn.Modules, "
            "and dicts, lists and tuples of them"
        )
    is_usable = (
        isinstance(leaf, torch.Tensor)
        and leaf.is_floating_point()
        and leaf.layout == torch.strided
        and leaf.device.type != "meta"
    )
    if is_usable:
        return leaf
    found = native(leaf, where)
    if found.dtype.kind != "f":
        remedy = "floats, such as tensor.double()"
        if found.dtype.kind == "c":
            remedy = "its real and imaginary parts as floats"
        raise UserError(
            f"{where}: a part of shape {found.shape} is {leaf.dtype}, which has no derivative; "
            f"give {remedy}"
        )
    return _from_numpy(found)


def _is_computable(tensor: Any) -> bool:
    """Whether PyTorch computes with such a tensor: it has data, of a type with arithmetic."""
    has_data = tensor.device.type != "meta"
    return has_data and not tensor.is_quantized and tensor.dtype not in UNSIGNED


def _readable(leaf: Any, where: str) -> Any:
    """An array of any library as a tensor of a type that PyTorch computes with.

    Raises UserError.
    """
    if isinstance(leaf, torch.Tensor) and _is_computable(leaf):
        return leaf
    return _from_numpy(signed(native(leaf, where), where))


def _from_numpy(array: NDArray[Any]) -> Any:
    """A tensor of an array's numbers, in its memory unless that is read-only."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _aligned(tensor: Any) -> Any:
    """The tensor, or a copy where its memory does not begin at a multiple of 64 bytes.

    The order in which a BLAS adds may depend on the alignment of its arguments, and the rows of the
    agents of one rank are aligned in other ways than those of an agent alone. PyTorch aligns what
    it allocates.
    """
    return tensor if _is_aligned(tensor) else tensor.clone()


def _is_aligned(tensor: Any) -> bool:
    return tensor.layout != torch.strided or tensor.data_ptr() % ALIGNMENT == 0


def _is_large(tensor: Any) -> bool:
    """Whether it is worth huge pages, and a copy of it has the same order of entries."""
    size = tensor.numel() * tensor.element_size()
    return size >= MIN_HUGE_BYTES and tensor.device.type == "cpu" and tensor.is_contiguous()


def _on_huge_pages(tensor: Any, dtype: Any) -> Any:
    """A copy in memory of which random rows are read faster than from PyTorch's own."""
    memory = aligned((tensor.numel() * dtype.itemsize,), np.uint8)
    copy = torch.from_numpy(memory).view(dtype).as_strided(tensor.shape, tensor.stride())
    return copy.copy_(tensor)


def _dense(tensor: Any) -> Any:
    """A gradient as a dense tensor; that of an embedding may be sparse."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()

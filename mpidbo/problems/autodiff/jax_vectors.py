"""Vectors and data of an agent in JAX: pytrees, devices and types."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ..._types import Array, Float
from ...errors import UserError
from .arrays import brief, is_array, native
from .nested import leaves, mapped

ALIGNMENT = 64
"""Bytes; JAX copies an array that does not begin at a multiple of them."""


class Pytree:
    """The map from a vector to the user's tree, any pytree of JAX.

    Parameters
    ----------
    tree : pytree of arrays of floats
        x0 or y0.
    name : str
        "x0" or "y0", for messages.

    Raises
    ------
    UserError
        A leaf that is not an array of floats.
    """

    def __init__(self, tree: Any, name: str) -> None:
        found, self.structure = jax.tree_util.tree_flatten_with_path(tree)
        self.paths = [[_name(key) for key in path] for path, _ in found]
        self.is_plain = all(is_array(leaf) or isinstance(leaf, float) for leaf in leaves(tree))
        self.leaves = [_floats(part, name) for _, part in found]
        if not sum(part.size for part in self.leaves):
            raise UserError(f"{name}: holds no number; give at least one to optimize")
        self.shapes = [part.shape for part in self.leaves]
        self.bounds = np.cumsum([0, *(part.size for part in self.leaves)]).tolist()

    def parts(self, vector: Float[Array, " d"]) -> list[Any]:
        """Return the vector's parts in their shapes, views of it."""
        slices = zip(self.bounds, self.bounds[1:], self.shapes, strict=False)
        return [vector[first:end].reshape(shape) for first, end, shape in slices]

    def build(self, parts: Sequence[Any]) -> Any:
        """Return the user's tree of these parts."""
        return jax.tree_util.tree_unflatten(self.structure, parts)

    def build_plain(self, vector: Float[np.ndarray, " d"]) -> Any:
        """Return the user's tree, with dicts in place of nodes of the user's own classes."""
        parts = self.parts(vector)
        if self.is_plain:
            return self.build(parts)
        top: dict[Any, Any] = {}
        for path, part in zip(self.paths, parts, strict=True):
            node = top
            for key in path[:-1]:
                node = node.setdefault(key, {})
            node[path[-1]] = part
        return top

    def start(self, dtype: Any) -> Float[np.ndarray, " d"]:
        """Return the tree that the user gave, as a vector."""
        return np.concatenate([part.ravel() for part in self.leaves]).astype(dtype)


def _name(key: Any) -> Any:
    """A step into a pytree: the name of an attribute, a number or a key."""
    return next(getattr(key, kind) for kind in ("name", "idx", "key") if hasattr(key, kind))


def _floats(leaf: Any, name: str) -> NDArray[Any]:
    """A leaf of x0 or y0 as an array of floats. Raises UserError."""
    if not (is_array(leaf) or isinstance(leaf, (int, float))):
        raise UserError(
            f"{name}: {brief(type(leaf).__name__, 60)} is not an array; give a pytree of arrays; "
            "make other fields static"
        )
    part = native(leaf, name) if is_array(leaf) else np.asarray(leaf)
    if part.dtype.kind != "f":
        remedy = "floats, such as x.astype(float)"
        if part.dtype.kind == "c":
            remedy = "its real and imaginary parts as floats"
        raise UserError(
            f"{name}: a part of shape {part.shape} is {part.dtype}, which has no derivative; give "
            f"{remedy}"
        )
    return part


class BatchStructure:
    """The nesting of a batch and what is not an array in it: constants of compiled functions."""

    ARRAY = object()
    """In the place of an array."""

    def __init__(self, tree: Any) -> None:
        self.tree = mapped(lambda leaf: self.ARRAY if is_array(leaf) else leaf, tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BatchStructure) and bool(self.tree == other.tree)

    def __hash__(self) -> int:
        return len(leaves(self.tree))  # leaves need not be hashable; equal trees have as many

    def build(self, arrays: Sequence[Any]) -> Any:
        """Return the batch with these arrays."""
        rest = iter(arrays)
        return mapped(lambda leaf: next(rest) if leaf is self.ARRAY else leaf, self.tree)


class JaxFramework:
    """The device and type of an agent's arrays: what `Framework` asks of JAX.

    Parameters
    ----------
    xp : module
        numpy or cupy, where the vectors are.
    dtype : data type
        Floating-point type of the run.
    """

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.xp, self.dtype = xp, dtype
        self.device = (
            jax.devices("cpu")[0] if xp is np else jax.devices("cuda")[xp.cuda.Device().id]
        )

    @contextmanager
    def here(self) -> Iterator[None]:
        """A block on this device; with 64 bits if the run has them."""
        with ExitStack() as stack:
            stack.enter_context(jax.default_device(self.device))
            if self.dtype == np.float64:
                stack.enter_context(jax.enable_x64(True))
            yield

    def opened(self, entry: Any) -> Any:
        return entry

    def array(self, leaf: Any, where: str) -> Any:
        """Return an array in host memory, where rows are taken."""
        array = native(leaf, where)
        if array.dtype.kind == "f":
            return array.astype(self.dtype, copy=False)
        is_long = array.dtype.kind in "iu" and array.dtype.itemsize == 8
        if self.dtype != np.float64 and is_long and array.size:
            short = np.iinfo(f"{array.dtype.kind}4")
            if int(array.min()) < short.min or int(array.max()) > short.max:
                raise UserError(
                    f"{where}: {array.dtype} from {array.min()} to {array.max()}, but JAX has 32 "
                    'bits in a float32 run; give smaller numbers, or set run.dtype = "float64"'
                )
        return array

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned and array.dtype.isnative):
            return array[indices]  # `take` would copy the whole array first
        rows = _aligned((len(indices), *array.shape[1:]), array.dtype)
        # "clip", since "raise" would write into a buffer first.
        return np.take(array, indices, axis=0, out=rows, mode="clip")

    def collate(self, samples: Sequence[Any], where: str) -> Any:
        def as_array(leaf: Any) -> NDArray[Any]:
            return native(leaf, where) if is_array(leaf) else np.asarray(leaf)

        columns = zip(*map(leaves, samples), strict=True)
        stacked = iter([np.stack([as_array(leaf) for leaf in column]) for column in columns])
        return mapped(lambda leaf: next(stacked), samples[0])

    def batch(self, tree: Any) -> tuple[BatchStructure, list[Any]]:
        with self.here():
            arrays = [jax.device_put(leaf, self.device) for leaf in leaves(tree) if is_array(leaf)]
        return BatchStructure(tree), arrays

    def inside(self, vector: Float[Array, " d"]) -> Any:
        """Return a vector of the run as JAX takes it."""
        return vector if self.xp is np else jax.dlpack.from_dlpack(vector)

    def outside(self, vector: Any) -> Float[Array, " d"]:
        """Return an array of JAX as a vector of the run."""
        array = vector if vector.dtype == self.dtype else vector.astype(self.dtype)
        return np.asarray(array) if self.xp is np else self.xp.from_dlpack(array)


def _aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """A new array that JAX takes on the CPU without a copy."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)

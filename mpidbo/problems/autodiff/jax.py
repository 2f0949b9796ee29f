"""Losses in JAX: derivatives by reverse mode, second ones forward over reverse, each compiled once for all agents."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...parallel.threads import announce, announced
from .arrays import brief, is_array, native
from .base import LEVELS, Given, Losses
from .nested import leaves, mapped


def heed_threads() -> None:
    """Let JAX compute on the CPU with the threads of the run, by default one; a warning where that comes too late.

    It takes a thread for each core that it sees when it first computes, and sums depend on how many these are.
    """
    if announced():
        return
    announce(1)
    now = jax.config.jax_num_cpu_devices
    try:
        for number in (now + 2, now):                                       # another number is refused once it has computed
            jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError:
        warnings.warn("from_jax: JAX has computed before, with a thread for each core, so that results may depend on how many cores a rank "
                      "sees; call from_jax first, or set PJRT_NPROC=1 in the environment", stacklevel=5)


class Form:
    """How a vector is the user's tree, any pytree of JAX. UserError: a leaf that is no array of floats."""

    def __init__(self, tree: Any, name: str) -> None:
        found, self.structure = jax.tree_util.tree_flatten_with_path(tree)
        self.paths = [[_name(key) for key in path] for path, _ in found]
        self.is_plain = all(is_array(leaf) or isinstance(leaf, float) for leaf in leaves(tree))
        self.leaves = [_floats(part, name) for _, part in found]
        if not sum(part.size for part in self.leaves):
            raise UserError(f"{name}: holds no number; give at least one to optimise")
        self.shapes = [part.shape for part in self.leaves]
        self.bounds = np.cumsum([0, *(part.size for part in self.leaves)]).tolist()

    def parts(self, vector: Any) -> list[Any]:
        """The vector's parts in their shapes, views of it."""
        return [vector[a:b].reshape(shape) for a, b, shape in zip(self.bounds, self.bounds[1:], self.shapes, strict=False)]

    def of(self, parts: Sequence[Any]) -> Any:
        """The user's tree of these parts."""
        return jax.tree_util.tree_unflatten(self.structure, parts)

    def plain(self, vector: Any) -> Any:
        """The user's tree, with dicts in place of nodes of other kinds than dicts, lists and tuples."""
        parts = self.parts(vector)
        if self.is_plain:
            return self.of(parts)
        top: dict[Any, Any] = {}
        for path, part in zip(self.paths, parts, strict=True):
            node = top
            for key in path[:-1]:
                node = node.setdefault(key, {})
            node[path[-1]] = part
        return top

    def start(self, dtype: Any) -> NDArray[Any]:
        return np.concatenate([np.zeros(0), *(part.ravel() for part in self.leaves)]).astype(dtype)


def _name(key: Any) -> Any:
    """Of a step into a pytree: an attribute, a key or a number."""
    return next(getattr(key, kind) for kind in ("name", "idx", "key") if hasattr(key, kind))


def _floats(leaf: Any, name: str) -> NDArray[Any]:
    if not (is_array(leaf) or isinstance(leaf, (int, float))):
        raise UserError(f"{name}: {brief(type(leaf).__name__, 60)} is no array; give a pytree of arrays; make other fields static")
    part = native(leaf, name) if is_array(leaf) else np.asarray(leaf)
    if part.dtype.kind != "f":
        remedy = "its real and imaginary parts as floats" if part.dtype.kind == "c" else "floats, such as x.astype(float)"
        raise UserError(f"{name}: a part of shape {part.shape} is {part.dtype}, which has no derivative; give {remedy}")
    return part


class Frame:
    """The nesting of a batch with what is no array in it, which compiled functions take as constants."""

    HERE = object()

    def __init__(self, tree: Any) -> None:
        self.tree = mapped(lambda leaf: self.HERE if is_array(leaf) else leaf, tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and bool(self.tree == other.tree)

    def __hash__(self) -> int:
        return len(leaves(self.tree))

    def filled(self, arrays: Sequence[Any]) -> Any:
        rest = iter(arrays)
        return mapped(lambda leaf: next(rest) if leaf is self.HERE else leaf, self.tree)


class Place:
    """Where an agent's arrays live, and their type: `Framework` for JAX."""

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.xp, self.dtype = xp, dtype
        self.device = jax.devices("cpu")[0] if xp is np else jax.devices("cuda")[xp.cuda.Device().id]

    @contextmanager
    def here(self) -> Iterator[None]:
        """On this device; with 64 bits if the run has them."""
        with ExitStack() as stack:
            stack.enter_context(jax.default_device(self.device))
            if self.dtype == np.float64:
                stack.enter_context(jax.enable_x64(True))
            yield

    def opened(self, entry: Any) -> Any:
        return entry

    def array(self, leaf: Any, where: str) -> Any:
        """In host memory, where rows are taken."""
        array = native(leaf, where)
        if array.dtype.kind == "f":
            return array.astype(self.dtype, copy=False)
        if self.dtype != np.float64 and array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
            short = np.iinfo(f"{array.dtype.kind}4")
            if int(array.min()) < short.min or int(array.max()) > short.max:
                raise UserError(f"{where}: {array.dtype} from {array.min()} to {array.max()}, but JAX has 32 bits in a float32 run; give "
                                'smaller numbers, or set run.dtype = "float64"')
        return array

    def rows(self, array: Any, indices: NDArray[Any]) -> Any:
        return array[indices]

    def collate(self, samples: Sequence[Any], where: str) -> Any:
        columns = zip(*map(leaves, samples), strict=True)
        stacked = iter([np.stack([native(part, where) if is_array(part) else np.asarray(part) for part in column]) for column in columns])
        return mapped(lambda leaf: next(stacked), samples[0])

    def batch(self, tree: Any) -> tuple[Frame, list[Any]]:
        with self.here():
            return Frame(tree), [jax.device_put(leaf, self.device) for leaf in leaves(tree) if is_array(leaf)]

    def inside(self, vector: Any) -> Any:
        return vector if self.xp is np else jax.dlpack.from_dlpack(vector)

    def outside(self, vector: Any) -> Any:
        array = vector if vector.dtype == self.dtype else vector.astype(self.dtype)
        return np.asarray(array) if self.xp is np else self.xp.from_dlpack(array)


class Compiled:
    """What is made of the losses, once for all agents of a class: functions of (frame, arrays of the batch, parts of x, of y, of v)."""

    def __init__(self, given: Given) -> None:
        self.forms = {"x": Form(given.x0, "x0"), "y": Form(given.y0, "y0")}
        def jit(function: Callable[..., Any]) -> Callable[..., Any]:
            """`function` of (frame, arrays, trees) as one of (frame, arrays, the parts of x, of y, of v)."""
            def of_parts(frame: Frame, arrays: Any, *parts: Any) -> Any:
                trees = (self.forms[level].of(part) for level, part in zip((*LEVELS, "y"), parts, strict=False))
                return function(frame, arrays, *trees)
            return jax.jit(of_parts, static_argnums=0)

        def on_batch(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda frame, arrays, *trees: function(*trees, frame.filled(arrays))

        def gradient(loss: str, level: str) -> Callable[..., Any]:
            return jax.grad(on_batch(getattr(given, loss)), 2 + LEVELS.index(level))

        def product(level: str) -> Callable[..., Any]:
            slope = gradient("g", level)
            return lambda frame, arrays, x, y, v: _raveled(jax.jvp(lambda y: slope(frame, arrays, x, y), (y,), (v,))[1])

        def raveled(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *arguments: _raveled(function(*arguments))

        self.value = {loss: jit(on_batch(getattr(given, loss))) for loss in ("f", "g")}
        self.gradient = {(loss, level): jit(raveled(gradient(loss, level))) for loss in ("f", "g") for level in LEVELS}
        self.product = {level: jit(product(level)) for level in LEVELS}
        self.metrics = jit(on_batch(given.metrics)) if given.metrics else None
        project = given.project_x
        self.projection = jit(lambda frame, arrays, x: _raveled(project(x))) if project else None


def _raveled(tree: Any) -> Any:
    return jnp.concatenate([jnp.ravel(part) for part in jax.tree_util.tree_leaves(tree)])


class JaxLosses(Losses):
    """An agent with losses in JAX."""

    compiled: ClassVar[Compiled]

    def _framework(self) -> Place:
        self.place = Place(self.xp, self.dtype)
        return self.place

    def start(self) -> tuple[Any, Any]:
        x, y = (self.xp.asarray(self.compiled.forms[level].start(self.dtype)) for level in LEVELS)
        return x, y

    def _called(self, function: Callable[..., Any], batch: Any, *vectors: Any) -> Any:
        with self.place.here():
            return self.place.outside(function(*batch, *self._parts(vectors)))

    def _parts(self, vectors: Sequence[Any]) -> Iterator[list[Any]]:
        """The parts of x, y and, in products, v."""
        for level, vector in zip((*LEVELS, "y"), vectors, strict=False):
            yield [self.place.inside(part) for part in self.compiled.forms[level].parts(vector)]

    def _value(self, loss: str, x: Any, y: Any, sample: Any) -> float:
        return float(self._called(self.compiled.value[loss], self._batch(loss, sample), x, y))

    def _gradient(self, loss: str, level: str, x: Any, y: Any, sample: Any) -> Any:
        return self._called(self.compiled.gradient[loss, level], self._batch(loss, sample), x, y)

    def _product(self, level: str, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self._called(self.compiled.product[level], self._batch("g", sample), x, y, v)

    def _projected(self, x: Any) -> Any:
        return self._called(self.compiled.projection, (Frame(()), []), x)                    # type: ignore[arg-type]

    def _measured(self, x: Any, y: Any) -> Mapping[str, float]:
        assert self.compiled.metrics is not None
        with self.place.here():
            found = self.compiled.metrics(*self.tested.whole, *self._parts((x, y)))
        return mapped(lambda value: value.item() if getattr(value, "size", 0) == 1 else value, found)

    def _look(self, loss: str, batch: Any) -> tuple[Any, dict[str, bool]]:
        frame, arrays = batch
        with self.place.here():
            x, y = (form.of(form.parts(form.start(self.dtype))) for form in self.compiled.forms.values())
            def function(x: Any, y: Any, arrays: Any) -> Any:
                return getattr(self.given, loss)(x, y, frame.filled(arrays))
            traced, shape = jax.make_jaxpr(function, return_shape=True)(x, y, arrays)
        used = {id(variable) for equation in traced.jaxpr.eqns for variable in equation.invars}
        mine = [id(variable) in used for variable in traced.jaxpr.invars]
        at = len(jax.tree_util.tree_leaves(x))
        return shape, {"x": any(mine[:at]), "y": any(mine[at:at + len(jax.tree_util.tree_leaves(y))])}

    def _plain(self, level: str, vector: Any) -> Any:
        return self.compiled.forms[level].plain(np.array(vector.get() if hasattr(vector, "get") else vector))

    def x_tree(self, x: Any) -> Any:
        """x in the user's form, of numpy arrays."""
        return self._plain("x", x)

    def y_tree(self, y: Any) -> Any:
        """y likewise."""
        return self._plain("y", y)


def problem(given: Given) -> type[JaxLosses]:
    """The class of these losses."""
    heed_threads()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")     # or JAX takes three quarters of a GPU, and CuPy finds nothing left
    return type("Losses", (JaxLosses,), {"given": given, "compiled": Compiled(given)})

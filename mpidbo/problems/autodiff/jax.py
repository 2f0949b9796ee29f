"""Losses in JAX, compiled once for all agents.

Derivatives are taken by reverse mode, second ones forward over reverse.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array, Float
from ...parallel import announce, announced
from .base import LEVELS, Given, Losses
from .jax_vectors import BatchStructure, JaxFramework, Pytree
from .nested import mapped


def limit_threads() -> None:
    """Let JAX compute on the CPU with the threads of the run, by default one.

    It takes a thread for each core that it sees when it first computes, and sums depend on how many
    these are. Where it has computed before, a warning says so.
    """
    if announced():
        return
    announce(1)
    now = jax.config.jax_num_cpu_devices
    try:
        for number in (now + 2, now):  # another number is refused once it has computed
            jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError:
        warnings.warn(
            "from_jax: JAX has computed before, with a thread for each core, so that results may "
            "depend on how many cores a rank sees; call from_jax first, or set PJRT_NPROC=1 in the "
            "environment",
            stacklevel=5,
        )


class Compiled:
    """The compiled functions of two losses, made once for all agents of a class.

    Each takes the structure of a batch, its arrays, and the parts of x, of y and of v.
    """

    def __init__(self, given: Given) -> None:
        self.trees = {"x": Pytree(given.x0, "x0"), "y": Pytree(given.y0, "y0")}

        def jit(function: Callable[..., Any]) -> Callable[..., Any]:
            """Compile a function of (structure, arrays, trees) as one of the trees' parts."""

            def of_parts(structure: BatchStructure, arrays: Any, *parts: Any) -> Any:
                # v has the form of y.
                trees = (
                    self.trees[level].build(part)
                    for level, part in zip((*LEVELS, "y"), parts, strict=False)
                )
                return function(structure, arrays, *trees)

            return jax.jit(of_parts, static_argnums=0)

        def on_batch(function: Callable[..., Any]) -> Callable[..., Any]:
            """The user's function, of (structure, arrays, trees)."""
            return lambda structure, arrays, *trees: function(*trees, structure.build(arrays))

        def gradient(loss: str, level: str) -> Callable[..., Any]:
            return jax.grad(on_batch(getattr(given, loss)), 2 + LEVELS.index(level))

        def product(level: str) -> Callable[..., Any]:
            """d/dlevel <g_y, v>: the gradient in that level, differentiated along v in y."""
            slope = gradient("g", level)

            def along_v(structure: BatchStructure, arrays: Any, x: Any, y: Any, v: Any) -> Any:
                _, derivative = jax.jvp(lambda y: slope(structure, arrays, x, y), (y,), (v,))
                return _raveled(derivative)

            return along_v

        def raveled(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *arguments: _raveled(function(*arguments))

        self.value = {loss: jit(on_batch(getattr(given, loss))) for loss in ("f", "g")}
        self.gradient = {
            (loss, level): jit(raveled(gradient(loss, level)))
            for loss in ("f", "g")
            for level in LEVELS
        }
        self.product = {level: jit(product(level)) for level in LEVELS}
        self.metrics = jit(on_batch(given.metrics)) if given.metrics else None
        self.projections = {
            level: self._projection(level, project)
            for level, project in (("x", given.project_x), ("y", given.project_y))
            if project
        }

    def _projection(self, level: str, project: Callable[[Any], Any]) -> Callable[..., Any]:
        """The user's projection of x or y, a function of the tree's parts."""
        return jax.jit(lambda parts: _raveled(project(self.trees[level].build(parts))))


def _raveled(tree: Any) -> Any:
    """The leaves of a pytree as one vector."""
    return jnp.concatenate([jnp.ravel(part) for part in jax.tree_util.tree_leaves(tree)])


class JaxLosses(Losses):
    """An agent with losses in JAX."""

    compiled: ClassVar[Compiled]

    def _make_framework(self) -> JaxFramework:
        self.framework = JaxFramework(self.xp, self.dtype)
        return self.framework

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        x, y = (self.xp.asarray(self.compiled.trees[level].start(self.dtype)) for level in LEVELS)
        return x, y

    def _called(self, function: Callable[..., Any], batch: Any, *vectors: Any) -> Any:
        """What a compiled function returns for a batch and vectors."""
        with self.framework.here():
            return self.framework.outside(function(*batch, *self._parts(vectors)))

    def _parts(self, vectors: Sequence[Any]) -> Iterator[list[Any]]:
        """The parts of x, y and, in products, v."""
        for level, vector in zip((*LEVELS, "y"), vectors, strict=False):
            yield self._tree_parts(level, vector)

    def _tree_parts(self, level: str, vector: Float[Array, " d"]) -> list[Any]:
        return [self.framework.inside(part) for part in self.compiled.trees[level].parts(vector)]

    def _value_on(
        self, loss: str, x: Float[Array, " p"], y: Float[Array, " q"], batch: Any
    ) -> float:
        return float(self._called(self.compiled.value[loss], batch, x, y))

    def _gradient(
        self, loss: str, level: str, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any
    ) -> Float[Array, " d"]:
        return self._called(self.compiled.gradient[loss, level], self._batch(loss, sample), x, y)

    def _product(
        self,
        level: str,
        x: Float[Array, " p"],
        y: Float[Array, " q"],
        v: Float[Array, " q"],
        sample: Any,
    ) -> Float[Array, " d"]:
        return self._called(self.compiled.product[level], self._batch("g", sample), x, y, v)

    def _project(self, level: str, part: Float[Array, " d"]) -> Float[Array, " d"]:
        with self.framework.here():
            parts = self._tree_parts(level, part)
            return self.framework.outside(self.compiled.projections[level](parts))

    def _metrics_on(
        self, x: Float[Array, " p"], y: Float[Array, " q"], batch: Any
    ) -> Mapping[str, float]:
        assert self.compiled.metrics is not None
        with self.framework.here():
            found = self.compiled.metrics(*batch, *self._parts((x, y)))
        return mapped(_as_number, found)

    def _inspect(self, loss: str, batch: Any) -> tuple[Any, dict[str, bool]]:
        structure, arrays = batch

        def function(x: Any, y: Any, arrays: Any) -> Any:
            return getattr(self.given, loss)(x, y, structure.build(arrays))

        with self.framework.here():
            x, y = (
                tree.build(tree.parts(tree.start(self.dtype)))
                for tree in self.compiled.trees.values()
            )
            traced, shape = jax.make_jaxpr(function, return_shape=True)(x, y, arrays)
        # A loss depends on x or y where an equation of the trace uses one of its leaves.
        used = {id(variable) for equation in traced.jaxpr.eqns for variable in equation.invars}
        is_used = [id(variable) in used for variable in traced.jaxpr.invars]
        p, q = (len(jax.tree_util.tree_leaves(tree)) for tree in (x, y))
        return shape, {"x": any(is_used[:p]), "y": any(is_used[p : p + q])}

    def _plain_tree(self, level: str, vector: Float[Array, " d"]) -> Any:
        host = np.array(vector.get() if hasattr(vector, "get") else vector)
        return self.compiled.trees[level].build_plain(host)

    def x_tree(self, x: Float[Array, " p"]) -> Any:
        """Return x in the user's form, of numpy arrays."""
        return self._plain_tree("x", x)

    def y_tree(self, y: Float[Array, " q"]) -> Any:
        """Return y in the user's form, of numpy arrays."""
        return self._plain_tree("y", y)


def _as_number(value: Any) -> Any:
    """A metric's value as a number, if it is an array with one entry."""
    return value.item() if getattr(value, "size", 0) == 1 else value


def problem(given: Given) -> type[JaxLosses]:
    """Return the class of these losses."""
    limit_threads()
    # JAX would take three quarters of a GPU's memory, and CuPy find nothing left.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return type("Losses", (JaxLosses,), {"given": given, "compiled": Compiled(given)})

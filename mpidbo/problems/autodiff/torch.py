"""Losses in PyTorch: derivatives by reverse mode, second ones by a second backward pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch

from ..._types import Array, Float
from ..draws import same_bits
from .base import LEVELS, Given, Losses
from .modules import BoundModule
from .nested import leaves, mapped
from .torch_vectors import TensorTree, TorchFramework

PREFIX_LENGTH = 32
"""Entries of x and y by which a point is first compared with another."""
Prefix: TypeAlias = tuple[bytes, bytes]
"""The bits of these entries of x and of y."""


class Point:
    """A loss at a point and a sample, whose graph may serve several derivatives.

    Every number is computed in one way, whatever was asked for before, so that a run does not
    depend on where it was stopped: gradients by a backward pass of their own, products by a second
    one through `slope`.

    Parameters
    ----------
    losses : TorchLosses
        The agent.
    loss : {"f", "g"}
        Which loss.
    x, y : (p,) and (q,) arrays
        The point.
    sample : object or None
        The draw.
    prefix : (bytes, bytes)
        The bits of the first entries of x and y.
    first : str
        The derivative that was asked for first at the point, such as "g_y".
    uses : int
        How many have been asked for so far, with this one.
    is_kept : bool
        Whether the graph serves all derivatives at the point, or one alone.
    """

    def __init__(
        self,
        losses: "TorchLosses",
        loss: str,
        x: Float[Array, " p"],
        y: Float[Array, " q"],
        sample: Any,
        prefix: Prefix,
        *,
        first: str,
        uses: int,
        is_kept: bool,
    ) -> None:
        self.framework, self.sample, self.prefix = losses.framework, sample, prefix
        self.first, self.uses, self.is_kept = first, uses, is_kept
        self.own: dict[str, Any] = {}
        """x and y of the point, where the graph is kept."""
        self.parts: dict[str, list[Any]] = {}
        for level, vector in zip(LEVELS, (x, y), strict=True):
            if is_kept:  # the caller may change x and y before the next derivative
                self.own[level], tensor = self.framework.copied(vector)
            else:
                tensor = self.framework.shared(vector)
            parts = losses.trees[level].parts(tensor)
            self.parts[level] = [part.detach().requires_grad_() for part in parts]
        arguments = [losses.trees[level].build(self.parts[level]) for level in LEVELS]
        self.loss = getattr(losses.given, loss)(*arguments, losses._batch(loss, sample))

    def seems_at(self, prefix: Prefix, sample: Any) -> bool:
        """Whether this is that sample and, in its first entries, that point."""
        return sample is self.sample and prefix == self.prefix

    def is_at(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> bool:
        """Whether this is that point, to the bit, and its graph is kept."""
        return self.is_kept and same_bits(self.own["y"], y) and same_bits(self.own["x"], x)

    def gradient(self, level: str) -> Float[Array, " d"]:
        """Return the gradient of the loss in x or y."""
        return self._differentiate([self.loss], level, [None])

    def product(self, level: str, v: Sequence[Any]) -> Float[Array, " d"]:
        """Return d/dlevel <slope, v>."""
        return self._differentiate(self.slope, level, v)

    @cached_property
    def slope(self) -> Any:
        """The gradient in y, as a function of x and y."""
        return torch.autograd.grad(
            self.loss, self.parts["y"], create_graph=True, materialize_grads=True
        )

    def _differentiate(
        self, outputs: Sequence[Any], level: str, along: Sequence[Any]
    ) -> Float[Array, " d"]:
        """The derivative of <outputs, along>; zero where nothing in it depends on x or y."""
        pairs = [(part, v) for part, v in zip(outputs, along, strict=True) if part.requires_grad]
        parts = self.parts[level]
        if not pairs:
            return self.framework.vector([torch.zeros_like(part) for part in parts])
        tensors, vectors = zip(*pairs, strict=True)
        # Materialized: zeros, not None, where the outputs do not depend on a part.
        derivatives = torch.autograd.grad(
            tensors, parts, vectors, retain_graph=self.is_kept, materialize_grads=True
        )
        return self.framework.vector(derivatives)


@contextmanager
def _with_graphs() -> Iterator[None]:
    """A block in which derivatives can be taken, whatever the user's program has switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


class TorchLosses(Losses):
    """An agent with losses in PyTorch."""

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        batch: int | None = None,
        val_batch: int | None = None,
        holdout: float | None = None,
    ) -> None:
        with _with_graphs():
            super().__init__(
                agent,
                n_agents,
                xp=xp,
                seed=seed,
                dtype=dtype,
                batch=batch,
                val_batch=val_batch,
                holdout=holdout,
            )

    def _call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if torch.is_grad_enabled():
            return super()._call(name, function, *arguments)
        with _with_graphs():
            return super()._call(name, function, *arguments)

    def _make_framework(self) -> TorchFramework:
        self.framework = TorchFramework(self.xp, self.dtype)
        self.trees = {
            "x": TensorTree(self.given.x0, "x0", self.framework),
            "y": TensorTree(self.given.y0, "y0", self.framework),
        }
        self._points: dict[str, Point | None] = {}
        self._is_reused: dict[str, bool] = {}
        """Derivative -> whether others followed it at the last point that began with it."""
        return self.framework

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        x, y = (self.framework.vector([self.trees[level].start]) for level in LEVELS)
        return x, y

    def _trees_of(self, *vectors: Float[Array, " d"]) -> list[Any]:
        """The user's trees of x and, if given, y; of copies, which a loss may change."""
        return [self._tree_of(*pair) for pair in zip(LEVELS, vectors, strict=False)]

    def _tree_of(self, level: str, vector: Float[Array, " d"]) -> Any:
        """The user's tree of x or y, of a copy."""
        _, tensor = self.framework.copied(vector)
        tree = self.trees[level]
        return tree.build(tree.parts(tensor))

    def _value_on(
        self, loss: str, x: Float[Array, " p"], y: Float[Array, " q"], batch: Any
    ) -> float:
        with torch.no_grad():
            return float(getattr(self.given, loss)(*self._trees_of(x, y), batch))

    def _point(
        self,
        loss: str,
        derivative: str,
        x: Float[Array, " p"],
        y: Float[Array, " q"],
        sample: Any,
    ) -> Point:
        """The loss at a point at which this derivative is asked for.

        Its graph is kept where others followed at the last point that began with this derivative,
        or where this is the point of the last one, as far as its first entries show.
        """
        last = self._points.get(loss)
        prefix = x[:PREFIX_LENGTH].tobytes(), y[:PREFIX_LENGTH].tobytes()
        is_same = last is not None and last.seems_at(prefix, sample)
        if last is not None:
            if is_same and last.is_at(x, y):
                last.uses += 1
                return last
            self._is_reused[last.first] = is_same or last.uses > 1
        if last is not None and is_same:
            # Not where the last one was kept: unless this is another point, the loss has changed
            # that in place, which is seen in the caller's memory only.
            first, uses, is_kept = last.first, 2, not last.is_kept
        else:
            first, uses, is_kept = derivative, 1, self._is_reused.get(derivative, False)
        self._points[loss] = last = None  # its memory serves the next one
        point = self._points[loss] = Point(
            self, loss, x, y, sample, prefix, first=first, uses=uses, is_kept=is_kept
        )
        return point

    def _gradient(
        self, loss: str, level: str, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any
    ) -> Float[Array, " d"]:
        return self._point(loss, f"{loss}_{level}", x, y, sample).gradient(level)

    def _product(
        self,
        level: str,
        x: Float[Array, " p"],
        y: Float[Array, " q"],
        v: Float[Array, " q"],
        sample: Any,
    ) -> Float[Array, " d"]:
        along = self.framework.shared(v)
        if along.dtype != self.framework.dtype:
            along = self.framework.tensor(along)
        parts = self.trees["y"].parts(along)
        return self._point("g", f"g_{level}y", x, y, sample).product(level, parts)

    def _project(self, level: str, part: Float[Array, " d"]) -> Float[Array, " d"]:
        project = getattr(self.given, f"project_{level}")
        with torch.no_grad():
            found = leaves(project(self._tree_of(level, part)))
        parts: list[Any] = []
        for leaf in found:
            parts += leaf.parameters() if isinstance(leaf, BoundModule) else [leaf]
        return self.framework.vector(parts)

    def _metrics_on(
        self, x: Float[Array, " p"], y: Float[Array, " q"], batch: Any
    ) -> Mapping[str, float]:
        assert self.given.metrics is not None
        with torch.no_grad():
            found = self.given.metrics(*self._trees_of(x, y), batch)
        return mapped(_as_number, found)

    def _inspect(self, loss: str, batch: Any) -> tuple[Any, dict[str, bool]]:
        parts, arguments = {}, []
        for level in LEVELS:
            tree = self.trees[level]
            parts[level] = [part.detach().requires_grad_() for part in tree.parts(tree.start)]
            arguments.append(tree.build(parts[level]))
        value = getattr(self.given, loss)(*arguments, batch)
        if not isinstance(value, torch.Tensor) or value.shape != () or not value.requires_grad:
            return value, dict.fromkeys(LEVELS, False)
        depends = {}
        for level in LEVELS:
            slopes = torch.autograd.grad(value, parts[level], allow_unused=True, retain_graph=True)
            depends[level] = any(slope is not None for slope in slopes)
        return value, depends

    def _plain_tree(self, level: str, vector: Float[Array, " d"]) -> Any:
        host = np.array(vector.get() if hasattr(vector, "get") else vector)
        tree = self.trees[level]
        plain = tree.build_plain(tree.parts(torch.from_numpy(host)))
        return mapped(lambda part: part.numpy(), plain)

    def x_tree(self, x: Float[Array, " p"]) -> Any:
        """Return x as nested dicts, lists and tuples of numpy arrays.

        A module is the dict of its parameters.
        """
        return self._plain_tree("x", x)

    def y_tree(self, y: Float[Array, " q"]) -> Any:
        """Return y as nested dicts, lists and tuples of numpy arrays."""
        return self._plain_tree("y", y)


def _as_number(value: Any) -> Any:
    """A metric's value as a number, if it is a tensor with one entry."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    return value


def problem(given: Given) -> type[TorchLosses]:
    """Return the class of these losses."""
    return type("Losses", (TorchLosses,), {"given": given})

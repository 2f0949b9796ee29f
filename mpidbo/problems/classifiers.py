"""Softmax regression and multilayer perceptrons over flat vectors, with derivatives.

Hessian-vector products are Pearlmutter's R-operator (Neural Computation 6, 1994): one forward and
one backward pass with their derivatives along v, exact wherever no unit sits on the kink of its
ReLU.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .samples import Batch
from .segments import Segments

FEW = 64
"""Columns up to which the maxima of rows are found column by column."""


class Classifier:
    """Fully connected layers with ReLU, and the cross-entropy CE_e of the softmax of the last.

    Parameters
    ----------
    sizes : sequence of int
        (features d, hidden widths ..., classes C); (d, C) is softmax regression.
    xp : module
        numpy or cupy.
    bias : bool
        Whether the layers have biases.

    Notes
    -----
    All is done for m agents at once. Their parameters y, shape (m, q), hold layer after layer the
    matrix (inputs, outputs) in C order and the biases (outputs), the latter only if `bias`. A batch
    has the N samples of all of them, features (N, d) and labels (N,) from 0 to C-1, and says which
    are whose. v has the shape of y, and results have its dtype.

    References
    ----------
    Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6, 1994.
    He et al., Delving deep into rectifiers, ICCV 2015 (the start).
    """

    def __init__(self, sizes: Sequence[int], *, xp: Any = np, bias: bool = True) -> None:
        self.sizes, self.xp, self.bias = tuple(sizes), xp, bias
        self._places: list[tuple[slice, slice, tuple[int, int]]] = []
        self.q = 0
        for inputs, outputs in pairwise(self.sizes):
            first, last = self.q + inputs * outputs, self.q + (inputs + bias) * outputs
            self._places.append((slice(self.q, first), slice(first, last), (inputs, outputs)))
            self.q = last

    def start(self, rng: np.random.Generator, dtype: Any = np.float64) -> Any:
        """Return parameters: zeros for softmax regression, else N(0, 2/inputs) and biases 0."""
        y = np.zeros(self.q)
        if len(self.sizes) > 2:
            for (W,), _ in self._layers(y[None]):
                W[:] = rng.normal(scale=np.sqrt(2 / len(W)), size=W.shape)
        return self.xp.asarray(y, dtype=dtype)

    def losses(self, y: Any, batch: Batch) -> Any:
        """CE_e of every sample, shape (N,)."""
        z = self._forward(y, batch)[1]
        z -= self._largest(z)
        own = self._of(z, batch.labels)
        return self.xp.log(self.xp.exp(z, out=z).sum(axis=-1)) - own

    def accuracy(self, y: Any, batch: Batch) -> float:
        """The share of samples whose most likely class is their label."""
        return float((self._forward(y, batch)[1].argmax(axis=-1) == batch.labels).mean())

    def grad(self, y: Any, batch: Batch, weights: Any) -> Any:
        """sum_e w_e dCE_e/dy of each agent, (m, q); weights (N,) or one number for all."""
        rows = batch.rows
        activations, P = self._probabilities(y, batch)
        delta = self._error(P, batch.labels, weights)
        gradient = self.xp.empty(y.shape, dtype=y.dtype)
        layers = zip(activations, self._layers(y), self._layers(gradient), strict=True)
        for a, (W, _), (dW, db) in reversed(list(layers)):
            self._products(rows, a, delta, dW, db)
            if a is not batch.X:
                delta = rows.times(delta, _transposed(W))
                delta *= a > 0
        return gradient

    def hvp(self, y: Any, batch: Batch, weights: Any, v: Any) -> Any:
        """(sum_e w_e d2CE_e/dy2) v of each agent, (m, q); weights (N,) or one number for all."""
        rows = batch.rows
        activations, P = self._probabilities(y, batch)
        tangents, Rz = self._tangent(y, batch, activations, v)
        Rz -= (P * Rz).sum(axis=-1, keepdims=True)
        Rz *= P
        Rz *= self._column(weights)
        delta, Rdelta = self._error(P, batch.labels, weights), Rz
        product = self.xp.empty(y.shape, dtype=y.dtype)
        parts = (self._layers(vector) for vector in (y, v, product))
        layers = zip(activations, tangents, *parts, strict=True)
        for a, Ra, (W, _), (V, _), (dW, db) in reversed(list(layers)):
            self._products(rows, a, Rdelta, dW, db)
            if Ra is not None:
                part = self.xp.empty(dW.shape, dW.dtype)
                rows.transposed_times(Ra, delta, part)
                dW += part
                Rdelta = rows.times(Rdelta, _transposed(W))
                Rdelta += rows.times(delta, _transposed(V))
                is_on = a > 0
                Rdelta *= is_on
                # The first layer needs no delta: its input has no tangent.
                if a is not activations[1]:
                    delta = rows.times(delta, _transposed(W))
                    delta *= is_on
        return product

    def jvp(self, y: Any, batch: Batch, v: Any) -> Any:
        """<dCE_e/dy, v> of every sample, shape (N,)."""
        activations, P = self._probabilities(y, batch)
        _, Rz = self._tangent(y, batch, activations, v)
        return (P * Rz).sum(axis=-1) - self._of(Rz, batch.labels)

    def _layers(self, y: Any) -> list[tuple[Any, Any]]:
        """(W, b) of each layer as views of y, (m, ., .); b is None without biases."""
        return [
            (y[:, W].reshape(len(y), *shape), y[:, None, b] if self.bias else None)
            for W, b, shape in self._places
        ]

    def _forward(self, y: Any, batch: Batch) -> tuple[list[Any], Any]:
        """The inputs of every layer (the first is X itself) and the outputs of the last, (N, C)."""
        activations: list[Any] = []
        z = batch.X
        for W, b in self._layers(y):
            activations.append(self.xp.maximum(z, 0, out=z) if activations else z)
            z = batch.rows.times(z, W)
            if b is not None:
                batch.rows.add(z, b)
        return activations, z

    def _probabilities(self, y: Any, batch: Batch) -> tuple[list[Any], Any]:
        """The inputs of every layer, and the softmax of the outputs of the last, (N, C)."""

        def make() -> tuple[list[Any], Any]:
            activations, z = self._forward(y, batch)
            return activations, self._softmax(z)

        activations, P = batch.once("probabilities", y, make)
        return activations, P.copy()  # since the caller may write into it

    def _tangent(
        self, y: Any, batch: Batch, activations: list[Any], v: Any
    ) -> tuple[list[Any], Any]:
        """The derivatives along v of the inputs of every layer and of the outputs of the last."""
        rows = batch.rows
        tangents: list[Any] = []
        Rz: Any = None
        for a, (W, _), (V, c) in zip(activations, self._layers(y), self._layers(v), strict=True):
            if Rz is not None:
                Rz *= a > 0
            tangents.append(Rz)
            Rz = rows.times(a, V)
            if tangents[-1] is not None:
                Rz += rows.times(tangents[-1], W)
            if c is not None:
                rows.add(Rz, c)
        return tangents, Rz

    def _largest(self, z: Any) -> Any:
        """The largest entry of each row, (N, 1)."""
        if self.xp is np and z.shape[1] < FEW:
            # numpy is slow along short rows
            return z.T.copy().max(axis=0)[:, None]
        return z.max(axis=-1, keepdims=True)

    def _softmax(self, z: Any) -> Any:
        """The softmax of the last axis, in place."""
        z -= self._largest(z)
        self.xp.exp(z, out=z)
        z /= z.sum(axis=-1, keepdims=True)
        return z

    def _error(self, P: Any, labels: Any, weights: Any) -> Any:
        """w_e dCE_e/dz from the probabilities, in their place."""
        P[self.xp.arange(labels.size), labels] -= 1
        P *= self._column(weights)
        return P

    def _of(self, z: Any, labels: Any) -> Any:
        """The entry of each sample's label."""
        return z[self.xp.arange(labels.size), labels]

    def _column(self, weights: Any) -> Any:
        return weights[..., None] if getattr(weights, "ndim", 0) else weights

    def _products(self, rows: Segments, a: Any, delta: Any, dW: Any, db: Any) -> None:
        rows.transposed_times(a, delta, dW)
        if db is not None:
            rows.sums(delta, db)


def _transposed(matrices: Any) -> Any:
    return matrices.swapaxes(-1, -2)

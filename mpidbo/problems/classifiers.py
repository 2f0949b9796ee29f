"""Softmax regression and multilayer perceptrons over a flat vector, with derivatives.

Hessian-vector products are Pearlmutter's R-operator (Neural Computation 6, 1994): one forward and
one backward pass with their derivatives along v, exact wherever no unit sits on the kink of its
ReLU.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np


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
    The parameters y, shape (q,), hold layer after layer the matrix (inputs, outputs) in C
    order and the biases (outputs), the latter only if `bias`. X has shape (B, d), labels (B,) with
    classes 0 to C-1, y and v (q,); results have the dtype of y. All may carry the same axes in
    front, for several agents at once: (m, B, d), (m, B), (m, q).

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
            for W, _ in self._layers(y):
                W[:] = rng.normal(scale=np.sqrt(2 / len(W)), size=W.shape)
        return self.xp.asarray(y, dtype=dtype)

    def losses(self, y: Any, X: Any, labels: Any) -> Any:
        """CE_e of every sample, shape (B,)."""
        z = self._forward(y, X)[1]
        z -= z.max(axis=-1, keepdims=True)
        own = self._of(z, labels)
        return self.xp.log(self.xp.exp(z, out=z).sum(axis=-1)) - own

    def accuracy(self, y: Any, X: Any, labels: Any) -> float:
        """The share of samples whose most likely class is their label."""
        return float((self._forward(y, X)[1].argmax(axis=-1) == labels).mean())

    def grad(self, y: Any, X: Any, labels: Any, weights: Any) -> Any:
        """sum_e w_e dCE_e/dy, shape (q,); weights (B,) or one number for all."""
        activations, z = self._forward(y, X)
        delta = self._error(self._softmax(z), labels, weights)
        gradient = self.xp.empty(y.shape, dtype=y.dtype)
        layers = zip(activations, self._layers(y), self._layers(gradient), strict=True)
        for a, (W, _), (dW, db) in reversed(list(layers)):
            self._products(a, delta, dW, db)
            if a is not X:
                delta = delta @ _transposed(W)
                delta *= a > 0
        return gradient

    def hvp(self, y: Any, X: Any, labels: Any, weights: Any, v: Any) -> Any:
        """(sum_e w_e d2CE_e/dy2) v, shape (q,); weights (B,) or one number for all."""
        activations, tangents, z, Rz = self._tangent(y, X, v)
        P = self._softmax(z)
        Rz -= (P * Rz).sum(axis=-1, keepdims=True)
        Rz *= P
        Rz *= self._column(weights)
        delta, Rdelta = self._error(P, labels, weights), Rz
        product = self.xp.empty(y.shape, dtype=y.dtype)
        parts = (self._layers(vector) for vector in (y, v, product))
        layers = zip(activations, tangents, *parts, strict=True)
        for a, Ra, (W, _), (V, _), (dW, db) in reversed(list(layers)):
            self._products(a, Rdelta, dW, db)
            if Ra is not None:
                dW += _transposed(Ra) @ delta
                Rdelta = Rdelta @ _transposed(W)
                Rdelta += delta @ _transposed(V)
                is_on = a > 0
                Rdelta *= is_on
                if (
                    a is not activations[1]
                ):  # the first layer needs no delta: its input has no tangent
                    delta = delta @ _transposed(W)
                    delta *= is_on
        return product

    def jvp(self, y: Any, X: Any, labels: Any, v: Any) -> Any:
        """<dCE_e/dy, v> of every sample, shape (B,)."""
        *_, z, Rz = self._tangent(y, X, v)
        return (self._softmax(z) * Rz).sum(axis=-1) - self._of(Rz, labels)

    def _layers(self, y: Any) -> list[tuple[Any, Any]]:
        """(W, b) of each layer as views of y; b is None without biases."""
        front = y.shape[:-1]
        return [
            (y[..., W].reshape(*front, *shape), y[..., None, b] if self.bias else None)
            for W, b, shape in self._places
        ]

    def _forward(self, y: Any, X: Any) -> tuple[list[Any], Any]:
        """The inputs of every layer (the first is X itself) and the outputs of the last, (B, C)."""
        activations: list[Any] = []
        z = X
        for W, b in self._layers(y):
            activations.append(self.xp.maximum(z, 0, out=z) if activations else X)
            z = z @ W
            if b is not None:
                z += b
        return activations, z

    def _tangent(self, y: Any, X: Any, v: Any) -> tuple[list[Any], list[Any], Any, Any]:
        """(inputs, their derivatives along v, outputs, their derivatives), as `_forward`."""
        activations, z = self._forward(y, X)
        tangents: list[Any] = []
        Rz: Any = None
        for a, (W, _), (V, c) in zip(activations, self._layers(y), self._layers(v), strict=True):
            if Rz is not None:
                Rz *= a > 0
            tangents.append(Rz)
            Rz = a @ V
            if tangents[-1] is not None:
                Rz += tangents[-1] @ W
            if c is not None:
                Rz += c
        return activations, tangents, z, Rz

    def _softmax(self, z: Any) -> Any:
        """The softmax of the last axis, in place."""
        z -= z.max(axis=-1, keepdims=True)
        self.xp.exp(z, out=z)
        z /= z.sum(axis=-1, keepdims=True)
        return z

    def _error(self, P: Any, labels: Any, weights: Any) -> Any:
        """w_e dCE_e/dz from the probabilities, in their place."""
        P.reshape(-1, P.shape[-1])[self.xp.arange(labels.size), labels.reshape(-1)] -= 1
        P *= self._column(weights)
        return P

    def _of(self, z: Any, labels: Any) -> Any:
        """The entry of each sample's label."""
        rows = z.reshape(-1, z.shape[-1])
        return rows[self.xp.arange(labels.size), labels.reshape(-1)].reshape(labels.shape)

    def _column(self, weights: Any) -> Any:
        return weights[..., None] if getattr(weights, "ndim", 0) else weights

    def _products(self, a: Any, delta: Any, dW: Any, db: Any) -> None:
        self.xp.matmul(_transposed(a), delta, out=dW)
        if db is not None:
            self.xp.sum(delta, axis=-2, out=db, keepdims=True)


def _transposed(matrices: Any) -> Any:
    return matrices.swapaxes(-1, -2)

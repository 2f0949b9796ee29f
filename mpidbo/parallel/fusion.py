"""One kernel for many elementwise operations on a device.

An `Expression` is an array, or an operation on expressions and numbers that is still to be done.
`compute` fills in the arrays of expressions, with one elementwise kernel for those of one shape.
Kernels are made once for each form of expression, and compiled without fused multiply-add, so that
each number is rounded as if every operation were done alone.

A kernel computes many values on the way that it does not store. If one of them is asked for later,
the kernels of that form store it from then on.
"""

from collections.abc import Sequence
from sys import modules
from typing import Any, TypeAlias

from .._types import Array

C_OPERATIONS = {
    "+": "{} + {}",
    "-": "{} - {}",
    "*": "{} * {}",
    "/": "{} / {}",
    "sqrt": "sqrt({})",
    "neg": "-{}",
}
"""Operation -> C of its operands."""
C_TYPES = {"float64": "double", "float32": "float"}

Recipe: TypeAlias = tuple[tuple[str, ...], ...]
"""Operations with operands: a0, a1, ... are arrays, c0, ... numbers, t0, ... earlier results."""


class Clock:
    """The time at which arrays are made; a backend that needs it advances it."""

    time = 0


CLOCK = Clock()


class Expression:
    """An array, or an operation on expressions and numbers that is still to be done."""

    __slots__ = ("_array", "_depth", "_op", "_operands", "_recipe", "born", "dtype", "shape")
    _array: Array
    _depth: int
    _op: str
    _operands: tuple[Any, ...]
    _recipe: "tuple[Kernels, int] | None"
    born: int
    dtype: Any
    shape: tuple[int, ...]

    @property
    def known(self) -> bool:
        """Whether nothing is left to do."""
        return self._array is not None

    def made(self) -> int:
        """Return when the last of the needed arrays was made; now, if one has to be made."""
        if self.known:
            return self.born
        return max(
            part.made() if part.known or part.shape == self.shape else CLOCK.time
            for part in self._operands
            if isinstance(part, Expression)
        )

    def set_array(self, array: Array) -> None:
        """Replace the operation by its result."""
        self._array, self._operands, self._recipe = array, (), None
        self._depth, self.born = 0, CLOCK.time


class Kernels:
    """The kernels of a recipe.

    Attributes
    ----------
    places : set of int
        The results, numbered in the recipe's order, that every kernel stores, because they were
        once asked for later.
    """

    def __init__(self, recipe: Recipe, dtype: Any) -> None:
        self.recipe, self.dtype = recipe, dtype
        self.places = set[int]()
        self._kernels: dict[tuple[int, ...], Any] = {}

    def kernel(self, trace: "Trace", places: list[int]) -> Any:
        """Return the kernel that takes the trace's inputs and an array for each of the places."""
        key = tuple(places)
        if key not in self._kernels:
            self._kernels[key] = _elementwise_kernel(
                self.recipe, places, len(trace.arrays), len(trace.numbers), self.dtype
            )
        return self._kernels[key]


KERNELS: dict[tuple[Recipe, Any], Kernels] = {}
"""(recipe, dtype) -> its kernels."""


class Trace:
    """What has to be done for some expressions of one shape.

    Attributes
    ----------
    nodes : list of Expression
        The operations, each after its operands.
    place : dict
        id of a node -> its place among the nodes.
    arrays, numbers : list
        The inputs.
    recomputed : list of Expression
        Nodes that an earlier kernel computed without storing them.
    kernels : Kernels
        The kernels of this form of expression.
    """

    def __init__(self, wanted: Sequence[Expression], shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.nodes: list[Expression] = []
        self.place: dict[int, int] = {}
        self.arrays: list[Array] = []
        self.numbers: list[float] = []
        self.recomputed: list[Expression] = []
        self._operations: list[tuple[str, ...]] = []
        self._names: dict[int, str] = {}
        for expression in wanted:
            self._name(expression, needed=True)
        key = (tuple(self._operations), wanted[0].dtype)
        if key not in KERNELS:
            KERNELS[key] = Kernels(*key)
        self.kernels = KERNELS[key]

    def _name(self, part: Any, needed: bool) -> str:
        """Return the name of an operand, once the trace has all that it needs."""
        if not isinstance(part, Expression):
            self.numbers.append(float(part))
            return f"c{len(self.numbers) - 1}"
        if id(part) in self._names:
            return self._names[id(part)]
        if not part.known and part.shape != self.shape:
            # It is broadcast, so that it needs a kernel of its own shape.
            compute([part])
        if part.known:
            self.arrays.append(part._array)
            name = f"a{len(self.arrays) - 1}"
        else:
            name = self._name_of_operation(part, needed)
        self._names[id(part)] = name
        return name

    def _name_of_operation(self, part: Expression, needed: bool) -> str:
        if part._recipe is not None and needed:
            self.recomputed.append(part)
            needed = False  # its operands would not be needed if it had been stored
        operands = [self._name(operand, needed) for operand in part._operands]
        self._operations.append((part._op, *operands))
        place = len(self.nodes)
        self.place[id(part)] = place
        self.nodes.append(part)
        return f"t{place}"


def compute(wanted: Sequence[Expression]) -> bool:
    """Fill in the arrays of expressions, with one kernel for those of one shape and type.

    Returns
    -------
    bool
        Whether there was anything to do.
    """
    groups: dict[tuple[tuple[int, ...], Any], list[Expression]] = {}
    for expression in wanted:
        if not expression.known:
            groups.setdefault((expression.shape, expression.dtype), []).append(expression)
    for (shape, dtype), group in groups.items():
        _compute(group, shape, dtype)
    return bool(groups)


def _compute(wanted: list[Expression], shape: tuple[int, ...], dtype: Any) -> None:
    trace = Trace(wanted, shape)
    for expression in trace.recomputed:
        assert expression._recipe is not None
        kernels, place = expression._recipe
        kernels.places.add(place)  # stored from now on
    stored = [*wanted, *trace.recomputed]
    places = sorted({trace.place[id(part)] for part in stored} | trace.kernels.places)
    out = [modules["cupy"].empty(shape, dtype) for _ in places]
    trace.kernels.kernel(trace, places)(*trace.arrays, *trace.numbers, *out)
    for place, node in enumerate(trace.nodes):
        if place not in places and not _is_scaled_array(node):
            node._recipe = trace.kernels, place
    for place, array in zip(places, out, strict=True):
        trace.nodes[place].set_array(array)


def compute_into(expression: Expression, target: Array) -> Array:
    """Return the target, filled with the numbers of an expression, which itself stays unknown."""
    trace = Trace([expression], expression.shape)
    kernel = trace.kernels.kernel(trace, [len(trace.nodes) - 1])
    kernel(*trace.arrays, *trace.numbers, target)
    return target


def _is_scaled_array(node: Expression) -> bool:
    """Whether a node is an array times a number, which is computed as fast as it is read."""
    parts = [part for part in node._operands if isinstance(part, Expression)]
    return len(parts) == 1 and parts[0].known


def _elementwise_kernel(
    recipe: Recipe, places: list[int], n_arrays: int, n_numbers: int, dtype: Any
) -> Any:
    """Return CuPy's kernel of a recipe that stores the results at these places."""
    c_type = C_TYPES[dtype.name]
    lines = []
    for i, (op, *operands) in enumerate(recipe):
        lines.append(f"const {c_type} t{i} = {C_OPERATIONS[op].format(*operands)};")
    for i, place in enumerate(places):
        lines.append(f"o{i} = t{place};")
    inputs = [f"{dtype.name} a{i}" for i in range(n_arrays)]
    inputs += [f"{dtype.name} c{i}" for i in range(n_numbers)]
    outputs = [f"{dtype.name} o{i}" for i in range(len(places))]
    return modules["cupy"].ElementwiseKernel(
        ", ".join(inputs),
        ", ".join(outputs),
        "\n".join(lines),
        "mpidbo_update",
        options=("--fmad=false",),
        no_return=True,
    )

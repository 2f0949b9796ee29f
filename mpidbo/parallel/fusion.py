"""One kernel for many elementwise operations.

An `Expression` is an array, or an operation on expressions and numbers that is still to be done.
`compute` fills in the arrays of expressions, with one elementwise kernel for those of one shape.
Kernels are made once for each form of expression, for a GPU or for the CPU (`gpu_kernels`,
`cpu_kernels`), and compiled without fused multiply-add, so that each number is rounded as if every
operation were done alone.

A kernel computes many values on the way that it does not store. If one of them is asked for later,
the kernels of that form store it from then on.

An iteration notes the expressions of the one before, of other arrays and numbers. So each form that
was traced leaves a `Plan`, which takes these from an expression of that form without a trace.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._types import Array
from . import cpu_kernels, gpu_kernels
from .binding import Inputs, binder
from .recipes import Form, Recipe


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

    def depth(self) -> int:
        """Return how many operations on top of each other are left, and note that."""
        depths: dict[int, int] = {}

        def left(part: Any) -> int:
            if not isinstance(part, Expression) or part.known:
                return 0
            if id(part) not in depths:
                part._depth = depths[id(part)] = 1 + max(map(left, part._operands), default=0)
            return depths[id(part)]

        return left(self)

    def set_array(self, array: Array) -> None:
        """Replace the operation by its result."""
        self._array, self._operands, self._recipe = array, (), None
        self._depth, self.born = 0, CLOCK.time


CALL = "call"
"""The operation of an expression that a call in CALLS will give its array."""
CALLS: deque[tuple[Expression, Callable[[], Array]]] = deque()
"""Calls that are put off, with the expressions that are their answers; empty between iterations."""


class Kernels:
    """The kernels of a recipe.

    Parameters
    ----------
    recipe : Recipe
    dtype : dtype
        Type of the arrays.
    on_host : bool
        Whether these are arrays of numpy.

    Attributes
    ----------
    places : set of int
        The results, numbered in the recipe's order, that every kernel stores, because they were
        once asked for later.
    """

    def __init__(self, recipe: Recipe, dtype: Any, on_host: bool) -> None:
        self.recipe, self.dtype = recipe, dtype
        self.library: Any = cpu_kernels if on_host else gpu_kernels
        self.places = set[int]()
        self._kernels: dict[tuple[tuple[int, ...], tuple[int, ...]], Any] = {}

    def kernel(self, inputs: "Inputs", places: tuple[int, ...], mixed: tuple[int, ...] = ()) -> Any:
        """Return the kernel that takes these inputs and an array for each of the places.

        For places that are mixed it takes more arrays, and W.
        """
        key = places, mixed
        if key not in self._kernels:
            form = Form(self.recipe, *key, len(inputs.arrays), len(inputs.numbers), self.dtype)
            make = self.library.mixing if mixed else self.library.compiled
            self._kernels[key] = make(form)
        return self._kernels[key]


KERNELS: dict[tuple[Recipe, Any, bool], Kernels] = {}
"""(recipe, dtype, whether it is of arrays of numpy) -> its kernels."""


class Trace:
    """What has to be done for some expressions of one shape.

    Attributes
    ----------
    inputs : Inputs
        The operations, each after its operands, and what they are applied to.
    place : dict
        id of an operation -> its place among them.
    recomputed : list of Expression
        Operations whose results an earlier kernel computed without storing them.
    kernels : Kernels
        The kernels of this form of expression.
    """

    def __init__(self, wanted: Sequence[Expression]) -> None:
        self.shape = wanted[0].shape
        self.inputs = Inputs([], [], [])
        self.place: dict[int, int] = {}
        self.recomputed: list[Expression] = []
        self._operations: list[tuple[str, ...]] = []
        self._names: dict[int, str] = {}
        for expression in wanted:
            self._name(expression, needed=True)
        on_host = all([type(array) is np.ndarray for array in self.inputs.arrays])
        key = (tuple(self._operations), wanted[0].dtype, on_host)
        if key not in KERNELS:
            KERNELS[key] = Kernels(*key)
        self.kernels = KERNELS[key]

    def _name(self, part: Any, needed: bool) -> str:
        """Return the name of an operand, once the trace has all that it needs."""
        arrays, numbers = self.inputs.arrays, self.inputs.numbers
        if not isinstance(part, Expression):
            numbers.append(float(part))
            return f"c{len(numbers) - 1}"
        name = self._names.get(id(part))
        if name is not None:
            return name
        if part._array is None and part.shape != self.shape:
            # It is broadcast, so that it needs a kernel of its own shape.
            compute([part])
        if part._array is not None:
            arrays.append(part._array)
            name = f"a{len(arrays) - 1}"
        else:
            name = self._name_of_operation(part, needed)
        self._names[id(part)] = name
        return name

    def _name_of_operation(self, part: Expression, needed: bool) -> str:
        if part._recipe is not None and needed and not _is_scaled(part):
            self.recomputed.append(part)
            needed = False  # its operands would not be needed if it had been stored
        operands = [self._name(operand, needed) for operand in part._operands]
        self._operations.append((part._op, *operands))
        place = len(self.inputs.nodes)
        self.place[id(part)] = place
        self.inputs.nodes.append(part)
        return f"t{place}"


class Plan:
    """How expressions of one form are computed.

    Parameters
    ----------
    kernels : Kernels
        The kernels of the form.
    roots : tuple of int
        The places of the expressions in its recipe.
    inputs : Inputs
        What a trace of some of them has found.
    """

    def __init__(self, kernels: Kernels, roots: tuple[int, ...], inputs: Inputs) -> None:
        self.kernels, self.roots = kernels, roots
        self.bind = binder(kernels.recipe, roots, inputs)


PLANS: dict[Any, dict[Any, Plan]] = {}
"""Operation and depth of each of some expressions -> the plans for such, by kernels and roots."""


def _planned(wanted: Sequence[Expression]) -> tuple[Plan, Inputs, set[int]]:
    """Return the plan of expressions of one shape, its inputs, and the places that it stores."""
    plans = PLANS.setdefault(tuple([(part._op, part._depth, part.dtype) for part in wanted]), {})
    for plan in plans.values():
        inputs = plan.bind(wanted)
        if inputs is not None:
            return plan, inputs, plan.kernels.places
    trace = Trace(wanted)
    for expression in trace.recomputed:
        assert expression._recipe is not None
        kernels, place = expression._recipe
        kernels.places.add(place)  # stored from now on
    roots = tuple([trace.place[id(part)] for part in wanted])
    key = trace.kernels, roots
    if key not in plans:
        plans[key] = Plan(*key, trace.inputs)
    stored = {trace.place[id(part)] for part in trace.recomputed}
    return plans[key], trace.inputs, trace.kernels.places | stored


def compute(wanted: Sequence[Expression]) -> bool:
    """Fill in the arrays of expressions, with one kernel for those of one shape and type.

    Returns
    -------
    bool
        Whether there was anything to do.
    """
    if CALLS and _needs_call(wanted):
        make_calls()  # before a trace, as their arguments are computed by traces of their own
    groups: dict[tuple[tuple[int, ...], Any], list[Expression]] = {}
    for expression in wanted:
        if not expression.known:
            groups.setdefault((expression.shape, expression.dtype), []).append(expression)
    for group in groups.values():
        # A kernel of another shape may have needed some of them.
        left = [expression for expression in group if not expression.known]
        if left:
            plan, inputs, places = _planned(left)
            _run(plan, inputs, places.union(plan.roots))
    return bool(groups)


def compute_mixed(wanted: Sequence[Expression], W: Any, targets: Sequence[Array]) -> None:
    """Fill targets with W @ expressions of one shape and type, by one kernel for arrays of numpy.

    None of the expressions is known; they stay unknown, unless they were once asked for later.
    """
    plan, inputs, places = _planned(wanted)
    _run(plan, inputs, places, plan.roots, (*targets, W))


def _run(
    plan: Plan,
    inputs: Inputs,
    stored: set[int],
    mixed: tuple[int, ...] = (),
    given: tuple[Any, ...] = (),
) -> None:
    """Fill in the arrays of stored expressions, and what is given for mixed ones."""
    kernels, nodes = plan.kernels, inputs.nodes
    places = tuple(sorted(stored))
    shape = nodes[-1].shape
    out = [kernels.library.empty(shape, kernels.dtype) for _ in places]
    kernel = kernels.kernel(inputs, places, mixed)
    kernel(*inputs.arrays, *inputs.numbers, *out, *given)
    for place, node in enumerate(nodes):
        if place not in stored:
            node._recipe = kernels, place
    for place, array in zip(places, out, strict=True):
        nodes[place].set_array(array)


def make_calls() -> None:
    """Make the calls that were put off, in their order."""
    while CALLS:
        answer, call = CALLS.popleft()
        answer.set_array(call())


def _needs_call(wanted: Sequence[Expression]) -> bool:
    """Whether expressions depend on the answer of a call that was put off."""
    seen, left = set[int](), [*wanted]
    while left:
        part = left.pop()
        if part.known or id(part) in seen:
            continue
        if part._op == CALL:
            return True
        seen.add(id(part))
        left += [operand for operand in part._operands if isinstance(operand, Expression)]
    return False


def compute_into(expression: Expression, target: Array) -> Array:
    """Return the target, filled with the numbers of an expression, which itself stays unknown."""
    trace = Trace([expression])
    inputs = trace.inputs
    kernel = trace.kernels.kernel(inputs, (len(inputs.nodes) - 1,))
    kernel(*inputs.arrays, *inputs.numbers, target)
    return target


def _is_scaled(node: Expression) -> bool:
    """Whether a node is another one times a number, which is computed as fast as it is read."""
    return sum(isinstance(part, Expression) for part in node._operands) == 1

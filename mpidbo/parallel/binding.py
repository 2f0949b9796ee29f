"""Functions that take arrays and numbers from expressions of a known form."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from .._types import Array
from .recipes import Recipe


class Inputs(NamedTuple):
    """What a recipe is applied to."""

    nodes: list[Any]
    """The expressions that its operations stand for, each after its operands."""
    arrays: list[Array]
    numbers: list[float]


Binder: TypeAlias = Callable[[Sequence[Any]], Inputs | None]


def binder(recipe: Recipe, roots: Sequence[int], inputs: Inputs) -> Binder:
    """Return a function that takes from expressions what a trace of them would find.

    Parameters
    ----------
    recipe : Recipe
        Of the trace of some expressions.
    roots : sequence of int
        The places of these in the recipe, in their order.
    inputs : Inputs
        What that trace found.

    Returns
    -------
    callable
        Takes as many expressions. It returns None where a trace would give another recipe, arrays
        of another library, or operations that have to be stored from now on.
    """
    lines: list[str] = []
    met = set[str]()

    def take(names: list[str], source: str) -> None:
        """Assign the parts of a tuple to names; one that has been met has to be the same object."""
        targets = [f"same_{name}" if name in met else name for name in names]
        # Of one that occurs twice in this tuple, too.
        targets = [
            f"same_{name}" if name in targets[:i] else name for i, name in enumerate(targets)
        ]
        lines.append(f"{', '.join(targets)}, = {source}")
        for name, target in zip(names, targets, strict=True):
            if target != name:
                require(f"{target} is {name}")
            elif name.startswith("c"):
                require(f"type({name}) is not Rows")
            elif name.startswith("a"):
                require(f"type({name}) is Rows and type({name}._array) is Array")
            else:
                require(f"type({name}) is Rows and {name}._array is None")
        met.update(names)

    def require(condition: str) -> None:
        lines.append(f"if not ({condition}): return None")

    take([f"t{place}" for place in roots], "wanted")
    lines.append(f"shape = t{roots[0]}.shape")
    for place in range(len(recipe) - 1, -1, -1):  # each operation before its operands
        op, *operands = recipe[place]
        condition = f"t{place}._op == {op!r} and t{place}.shape == shape"
        if len([name for name in operands if not name.startswith("c")]) > 1:
            condition += f" and t{place}._recipe is None"
        require(condition)
        take(operands, f"t{place}._operands")
    nodes = ", ".join(f"t{place}" for place in range(len(recipe)))
    arrays = ", ".join(f"a{i}._array" for i in range(len(inputs.arrays)))
    numbers = ", ".join(f"c{i}" for i in range(len(inputs.numbers)))
    lines.append(f"return Inputs([{nodes}], [{arrays}], [{numbers}])")
    scope: dict[str, Any] = {
        "Inputs": Inputs,
        "Rows": type(inputs.nodes[0]),
        "Array": type(inputs.arrays[0]),
    }
    exec("def bind(wanted):\n    " + "\n    ".join(lines), scope)
    return scope["bind"]

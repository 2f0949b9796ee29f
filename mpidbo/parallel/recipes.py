"""What a kernel of many elementwise operations computes."""

from typing import Any, NamedTuple, TypeAlias

Recipe: TypeAlias = tuple[tuple[str, ...], ...]
"""Operations with operands: a0, a1, ... are arrays, c0, ... numbers, t0, ... earlier results."""
OPERATIONS = {
    "+": "{} + {}",
    "-": "{} - {}",
    "*": "{} * {}",
    "/": "{} / {}",
    "sqrt": "sqrt({})",
    "neg": "-{}",
    "same": "{}",
}
"""Operation -> its operands as C and Python write it."""


class Form(NamedTuple):
    """What a kernel takes, computes and stores."""

    recipe: Recipe
    places: tuple[int, ...]
    """The results that it stores in o0, o1, ..., numbered in the recipe's order."""
    mixed: tuple[int, ...]
    """The results s that it stores after those as W @ s."""
    n_arrays: int
    n_numbers: int
    dtype: Any
    """Type of arrays and numbers."""

    def arguments(self) -> tuple[list[str], list[str], list[str]]:
        """Return the names of its arrays, of its numbers and of the arrays that it fills."""
        n_out = len(self.places) + len(self.mixed)
        numbered = zip("aco", (self.n_arrays, self.n_numbers, n_out), strict=True)
        arrays, numbers, out = ([f"{letter}{i}" for i in range(n)] for letter, n in numbered)
        return arrays, numbers, out

    def assignments(self) -> list[tuple[str, str]]:
        """Return the names of the results, each with what it is computed by."""
        return [
            (f"t{i}", OPERATIONS[op].format(*operands))
            for i, (op, *operands) in enumerate(self.recipe)
        ]

    def results(self, out: list[str]) -> list[tuple[str, str]]:
        """Return the names of arrays that it fills, each with that of the result it stores."""
        places = (*self.places, *self.mixed)
        return [(target, f"t{place}") for target, place in zip(out, places, strict=True)]

"""The strategies' recursions as text, from the tables at the top of their files."""

from typing import NamedTuple

from . import compressed, strategies


class PrimalDualForm(NamedTuple):
    """The matrices of a strategy's primal-dual recursion, as text; "" where it has none."""

    A: str = ""
    B: str = ""
    C: str = ""


def recursions_of_strategies() -> dict[str, tuple[str, PrimalDualForm]]:
    """Return the tables of the strategies' files: name -> explicit recursion and form."""
    found: dict[str, tuple[str, PrimalDualForm]] = {}
    documented = f"{strategies.__doc__}\n{compressed.__doc__}"
    for line in documented.splitlines():
        name, *form = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and name in strategies.STRATEGIES:
            found[name] = form[-1], PrimalDualForm(*form[:-1])
    return found

"""Run a claim, judge it and report the verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._text import aligned
from ...parallel import agreed, is_root
from ...storage import write_text
from .base import FAILS, HOLDS, UNDECIDED, Claim, Comparison

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

VERDICT = "verdict.txt"


@dataclass(frozen=True)
class Judgement:
    """What a claim's runs have shown.

    Parameters
    ----------
    name : str
        Name of the claim.
    claim : Claim
        The claim.
    full : bool
        Whether the runs had the papers' sizes.
    comparisons : tuple of Comparison
        What decides.
    figures : tuple of Path
        The files of tables and figures.
    """

    name: str
    claim: Claim
    full: bool
    comparisons: tuple[Comparison, ...] = ()
    figures: tuple[Path, ...] = ()

    @property
    def verdict(self) -> str:
        """FAILS if a comparison fails, HOLDS if all hold, else UNDECIDED."""
        verdicts = {comparison.verdict for comparison in self.comparisons}
        if FAILS in verdicts:
            return FAILS
        return HOLDS if verdicts == {HOLDS} else UNDECIDED

    def __str__(self) -> str:
        rows = [
            (c.what, c.numbers, f"margin {c.mean:.3g}, spread {c.spread:.2g}", c.verdict)
            for c in self.comparisons
        ]
        lines = [
            f"{self.name}: {self.claim.statement}",
            f"    source: {self.claim.source}",
            f"    rule: {self.claim.rule}",
            f"    sizes: {'as in the papers' if self.full else 'quick'}",
            aligned(rows, indent="    "),
            *(f"    {path}" for path in self.figures),
            self.verdict,
        ]
        return "\n".join(lines)


def reproduce(
    name: str,
    claim: Claim,
    full: bool,
    out: Path,
    comm: "Comm | None",
    log: Callable[[str], None],
) -> Judgement | None:
    """Run a claim, or resume it, and judge it. Collective.

    Parameters
    ----------
    name : str
        Name of the claim.
    claim : Claim
        The claim.
    full : bool
        At the papers' sizes.
    out : Path
        Folder of its runs; verdict.txt is written there.
    comm : Comm, optional
        The ranks.
    log : callable
        Takes a line for each finished run.

    Returns
    -------
    Judgement or None
        None if a signal or the time limit stopped it. Only rank 0 has comparisons and figures.
    """
    found = claim.run(full, out, comm, log)
    if found is None:
        return None
    judgement = Judgement(name, claim, full)
    with agreed(comm):
        if is_root(comm):
            comparisons, figures = tuple(claim.judge(found)), tuple(claim.draw(found, out))
            judgement = Judgement(name, claim, full, comparisons, figures)
            write_text(out / VERDICT, f"{judgement}\n")
    return judgement

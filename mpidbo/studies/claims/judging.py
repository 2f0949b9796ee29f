"""A claim run, judged and told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._text import aligned
from ...parallel.agents import agreed
from ...storage.files import write_text
from .base import FAILS, HOLDS, UNDECIDED, Claim, Finding

VERDICT = "verdict.txt"


@dataclass(frozen=True)
class Judged:
    """A claim's findings; its verdict is the worst of theirs."""

    name: str
    claim: Claim
    full: bool
    findings: tuple[Finding, ...]
    figures: tuple[Path, ...]

    @property
    def verdict(self) -> str:
        said = {finding.verdict for finding in self.findings}
        return FAILS if FAILS in said else HOLDS if said == {HOLDS} else UNDECIDED

    def __str__(self) -> str:
        rows = [(finding.what, finding.numbers, f"margin {finding.mean:.3g}, spread {finding.spread:.2g}", finding.verdict)
                for finding in self.findings]
        return "\n".join([f"{self.name}: {self.claim.says}", f"    source: {self.claim.source}", f"    rule: {self.claim.rule}",
                          f"    sizes: {'as in the papers' if self.full else 'quick'}", aligned(rows, indent="    "),
                          *(f"    {path}" for path in self.figures), self.verdict])


def judged(name: str, claim: Claim, full: bool, out: Path, comm: Any, told: Callable[[str], None]) -> Judged | None:
    """Run a claim into a folder, or go on with it, and judge it on rank 0, which writes verdict.txt; None if it was stopped.

    Collective; the other ranks get no findings.
    """
    found = claim.run(full, out, comm, told)
    if found is None:
        return None
    result = Judged(name, claim, full, (), ())
    with agreed(comm):
        if comm is None or comm.rank == 0:
            result = Judged(name, claim, full, tuple(claim.judge(found)), tuple(claim.draw(found, out)))
            write_text(out / VERDICT, f"{result}\n")
    return result

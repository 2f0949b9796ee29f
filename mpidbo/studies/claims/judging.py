"""Run a claim, judge it and report the verdict."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ..._text import aligned
from ...parallel import agreed, is_root
from ...storage import write_text
from .base import Claim, Comparison, Size
from .statistics import holm, interval

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

HOLDS, FAILS, UNDECIDED = "HOLDS", "DOES NOT HOLD", "UNDECIDED"
VERDICT = "verdict.txt"
SECONDS = "seconds.txt"


@dataclass(frozen=True)
class Finding:
    """A comparison with its verdict.

    Parameters
    ----------
    comparison : Comparison
        The comparison.
    level : float
        The significance level at which it is tested.
    """

    comparison: Comparison
    level: float

    @property
    def verdict(self) -> str:
        """HOLDS, FAILS or UNDECIDED."""
        if self.comparison.p_holds <= self.level:
            return HOLDS
        return FAILS if self.comparison.p_fails <= self.level else UNDECIDED

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The confidence interval that decides."""
        return interval(self.comparison.values, 1 - self.level)

    @property
    def middle(self) -> float:
        """The mean over the seeds, or the median where a value is infinite."""
        values = np.asarray(self.comparison.values, float)
        return float(np.mean(values) if np.isfinite(values).all() else np.median(values))

    @property
    def condition(self) -> str:
        """The interval and the bounds in words, such as "ratio 1.4 [1.2, 1.6], above 1"."""
        c = self.comparison
        middle, first, last, low, high = (
            f"{10.0**value if c.ratio else value:.3g}"
            for value in (self.middle, *self.interval, c.low, c.high)
        )
        bounds = f"between {low} and {high}"
        if c.high == np.inf:
            bounds = f"above {low}"
        elif c.low == -np.inf:
            bounds = f"below {high}"
        return f"{'ratio ' if c.ratio else ''}{middle} [{first}, {last}], {bounds}"


def findings(comparisons: Iterable[Comparison]) -> tuple[Finding, ...]:
    """Judge the comparisons of a claim together, by Holm's procedure."""
    comparisons = tuple(comparisons)
    levels = holm([min(c.p_holds, c.p_fails) for c in comparisons])
    return tuple(Finding(c, level) for c, level in zip(comparisons, levels, strict=True))


def verdict(found: Iterable[Finding]) -> str:
    """FAILS if a finding does, HOLDS if all do, else UNDECIDED."""
    verdicts = {finding.verdict for finding in found}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else UNDECIDED


@dataclass(frozen=True)
class Judgement:
    """What a claim's runs have shown.

    Parameters
    ----------
    name : str
        Name of the claim.
    claim : Claim
        The claim.
    size : Size
        Size of the runs.
    findings : tuple of Finding
        What decides.
    figures : tuple of Path
        The files of tables and figures.
    """

    name: str
    claim: Claim
    size: Size
    findings: tuple[Finding, ...] = ()
    figures: tuple[Path, ...] = ()

    @property
    def verdict(self) -> str:
        """HOLDS, FAILS or UNDECIDED."""
        return verdict(self.findings)

    def __str__(self) -> str:
        rows = [
            (f.comparison.what, f.comparison.numbers, f.condition, f.verdict) for f in self.findings
        ]
        lines = [
            f"{self.name}: {self.claim.statement}",
            f"    source: {self.claim.source}",
            f"    rule: {self.claim.rule}",
            f"    size: {self.size}",
            aligned(rows, indent="    "),
            *(f"    {path}" for path in self.figures),
            self.verdict,
        ]
        return "\n".join(lines)


def reproduce(
    name: str,
    claim: Claim,
    size: Size,
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
    size : Size
        Size of the runs.
    out : Path
        Folder of its runs; verdict.txt is written there.
    comm : Comm, optional
        The ranks.
    log : callable
        Takes a line for each finished run.

    Returns
    -------
    Judgement or None
        None if a signal or the time limit stopped it. Only rank 0 has findings and figures.
    """
    with _counted(out / SECONDS, is_root(comm)):
        found = claim.run(size, out, comm, log)
    if found is None:
        return None
    judgement = Judgement(name, claim, size)
    with agreed(comm):
        if is_root(comm):
            figures = tuple(claim.draw(found, out))
            judgement = Judgement(name, claim, size, findings(claim.judge(found)), figures)
            write_text(out / VERDICT, f"{judgement}\n")
    return judgement


@contextmanager
def _counted(path: Path, root: bool) -> Iterator[None]:
    """Add the seconds spent in the block to those in the file, on rank 0."""
    start = perf_counter()
    try:
        yield
    finally:
        if root and path.parent.is_dir():
            before = float(path.read_text()) if path.is_file() else 0.0
            write_text(path, f"{before + perf_counter() - start:.1f}\n")

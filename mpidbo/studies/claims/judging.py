"""Run a claim, judge it and report the verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._text import aligned
from ...parallel import agreed, is_root
from ...reports import FigureFolder
from ...storage import write_text
from .archive import about_runs, write_archive
from .base import Claim, Size
from .finding import Finding, findings, verdict
from .intervals import draw_findings
from .seconds import WHOLE, counted, total

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
    *,
    figures: str = "png",
    column: bool = False,
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
        Folder of its runs; verdict.txt and the archive NAME-SIZE.h5 are written there.
    comm : Comm, optional
        The ranks.
    log : callable
        Takes a line for each finished run.
    figures : {"png", "pdf", "svg"}, default "png"
        The format of its figures.
    column : bool, default False
        Whether they are as wide as one column of a page, 3.4 inches.

    Returns
    -------
    Judgement or None
        None if a signal or the time limit stopped it. Only rank 0 has findings and figures.
    """
    with counted(out / WHOLE, is_root(comm)):
        found = claim.run(size, out, comm, log)
    if found is None:
        return None
    judgement = Judgement(name, claim, size)
    with agreed(comm):
        if is_root(comm):
            judged = findings(claim.judge(found))
            folder = FigureFolder(out, figures, column)
            drawn = (*claim.draw(found, folder), draw_findings(folder, judged))
            judgement = Judgement(name, claim, size, judged, drawn)
            write_text(out / VERDICT, f"{judgement}\n")
            about = about_runs(name, size, total(out), comm)
            write_archive(out / f"{name}-{size}.h5", claim, found, about)
    return judgement

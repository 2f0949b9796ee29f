"""The results of the papers' claims and their figures, made of the archives in results/.

    python docs/claims.py                   the pages and figures
    python docs/claims.py --add FILE ...    archives of `mpidbo reproduce` into results/ before
    python docs/claims.py --draw DIR --figures pdf --column      only figures, for print

docs/results.md is the overview, docs/claims.md has a section for each claim, both from their marks
on; docs/papers/ has a page for each paper (docs/papers.py). results/SHA256SUMS holds the checksum
of each archive, and is compared first.
"""

import argparse
import hashlib
import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import papers

from mpidbo.reports import FORMATS, FigureFolder, new_figure
from mpidbo.studies import claims
from mpidbo.studies.claims import Finding
from mpidbo.studies.claims.archive import Archived, read_archive
from mpidbo.studies.claims.finding import FAILS, HOLDS, UNDECIDED, findings, verdict
from mpidbo.studies.claims.intervals import INTERVALS, PENS, draw_findings

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "results"
SUMS = "SHA256SUMS"
SIZE = "standard"
SMALL = "small"
"""The figure of the overview."""
MARK = "<!-- what follows is written by make results -->\n"


def checked(folder: Path) -> list[Path]:
    """The archives of a folder, whose checksums agree with SHA256SUMS. Raises ValueError."""
    sums = {}
    if (folder / SUMS).is_file():
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split() for line in lines)}
    paths = sorted(folder.glob("*.h5"))
    if {path.name for path in paths} != set(sums):
        raise ValueError(f"{folder}: the archives are not those of {SUMS}")
    for path in paths:
        if digest(path) != sums[path.name]:
            raise ValueError(f"{path}: the checksum is not that of {SUMS}")
    return paths


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add(files: list[Path], folder: Path) -> None:
    """Copy archives into the folder, and write SHA256SUMS again."""
    folder.mkdir(exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    lines = [f"{digest(path)}  {path.name}\n" for path in sorted(folder.glob("*.h5"))]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


class Result:
    """An archived claim, judged."""

    def __init__(self, path: Path) -> None:
        self.found, self.about = read_archive(path)
        self.claim = claims.make_claim(self.about["claim"])
        self.findings: tuple[Finding, ...] = findings(self.claim.judge(self.found))

    @property
    def verdict(self) -> str:
        """The verdict on the claim."""
        return verdict(self.findings)

    @property
    def decisive(self) -> str:
        """The comparison that does not hold, or is the least certain to hold."""
        order = (FAILS, UNDECIDED, HOLDS)
        finding = min(self.findings, key=lambda f: (order.index(f.verdict), -f.comparison.p_holds))
        return f"{finding.comparison.what}: {finding.condition}"

    @property
    def hours(self) -> str:
        """The time that the runs took."""
        return f"{self.about['seconds'] / 3600:.2f}"

    def draw(self, out: FigureFolder) -> None:
        """Draw its figures, in place of those that are there."""
        out.folder.mkdir(parents=True, exist_ok=True)
        for path in out.folder.glob(f"*.{out.kind}"):
            path.unlink()
        self.claim.draw(self.found, out)
        draw_findings(out, self.findings)
        draw_small(out, self.findings)

    @property
    def size(self) -> str:
        """Problems, agents, iterations and seeds."""
        numbers = sorted({len(finding.comparison.values) for finding in self.findings})
        return "; ".join([*sizes(self.found), f"{' or '.join(map(str, numbers))} seeds"])


def draw_small(out: FigureFolder, findings: Sequence[Finding]) -> None:
    """Draw the interval of every finding on a scale of its own, in which its bounds are shaded."""
    figure = new_figure(1.1, 0.1 + 0.07 * len(findings))
    ax = figure.subplots()
    ax.axvspan(0, 1, color="0.92")
    for y, finding in enumerate(findings):
        ends = [min(max(scaled(finding, value), -1.0), 2.0) for value in finding.interval]
        color = PENS[finding.verdict]
        ax.plot(ends, [y, y], "|-", color=color, linewidth=1.5, markersize=3)
    ax.set(xlim=(-1, 2), ylim=(len(findings) - 0.4, -0.6))
    ax.set_axis_off()
    out.save(figure, SMALL)


def scaled(finding: Finding, value: float) -> float:
    """Where a value lies: 0 at the lower bound, 1 at the upper one or at the interval's end."""
    low, high = finding.comparison.low, finding.comparison.high
    finite = [end for end in (low, high, *finding.interval) if math.isfinite(end)]
    low = low if math.isfinite(low) else min(finite)
    high = high if math.isfinite(high) else max(finite)
    return (value - low) / ((high - low) or 1.0)


def page(results: Mapping[str, Result], figures: Path) -> str:
    """The text of docs/claims.md from its mark on.

    Parameters
    ----------
    results : Mapping
        Name of a claim -> its result; some may be missing.
    figures : Path
        Folder of the figures.
    """
    return "\n".join("".join(section(name, results.get(name), figures)) for name in claims.CLAIMS)


def overview(results: Mapping[str, Result]) -> str:
    """The text of docs/results.md from its mark on: the table of all claims."""
    verdicts = [result.verdict for result in results.values()]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in (HOLDS, UNDECIDED, FAILS))
    missing = len(claims.CLAIMS) - len(results)
    lines = [
        f"Of {len(claims.CLAIMS)} claims: {counts}, {missing} not run at the size {SIZE}.\n\n",
        "| claim | verdict | the comparison that decides | size | hours | all comparisons |\n",
        "|---|---|---|---|---|---|\n",
    ]
    hours = sum(claims.make_claim(name).full_hours for name in claims.CLAIMS)
    for name in claims.CLAIMS:
        result = results.get(name)
        what = f"[`{name}`](claims.md#{name}): {claims.make_claim(name).statement}"
        cells = [what, "not run", "", "", "", ""]
        if result:
            small = f"![{name}: {result.verdict}](figures/claims/{name}/{SMALL}.png)"
            cells = [what, result.verdict, result.decisive, result.size, result.hours, small]
        lines.append(f"| {' | '.join(map(escaped, cells))} |\n")
    lines.append(
        "\nThe papers' own sizes (`--full`) have not been run. They take about "
        f"{hours:.0f} processor hours; [claims](claims.md) has those of each claim.\n"
    )
    return "".join(lines)


def section(name: str, result: Result | None, figures: Path) -> Iterator[str]:
    """The section of a claim."""
    claim = claims.make_claim(name)
    yield f"## {name}\n\n{capitalized(claim.statement)}.\n\n"
    yield f"- Source: {claim.source}.\n- Rule: {claim.rule}.\n"
    yield f"- Full size: not run; about {claim.full_hours:g} processor hours.\n"
    if result is None:
        yield f"\nNot run at the size {SIZE} yet.\n"
        return
    about = result.about
    yield f"- Size: {result.size}.\n"
    yield (
        f"- Run: {about['date']}, version {about['version']}{commit(about)}, {result.hours} hours "
        f"on a machine with {about['machine']}, which were shared with other work.\n\n"
    )
    yield f"    {about['command']}\n\n**{result.verdict}**\n\n"
    yield "| comparison | numbers | mean and interval | seeds | |\n|---|---|---|---|---|\n"
    for finding in result.findings:
        c = finding.comparison
        cells = (c.what, c.numbers, finding.condition, str(len(c.values)), finding.verdict)
        yield f"| {' | '.join(map(escaped, cells))} |\n"
    yield "\n"
    yield f"![{name}: intervals](figures/claims/{name}/{INTERVALS}.png)\n"
    for path in curves(figures / name):
        yield f"![{name}: curves](figures/claims/{name}/{path.name})\n"


def curves(folder: Path) -> list[Path]:
    """The figures of a claim's runs."""
    found = sorted(folder.glob("*.png"))
    return [path for path in found if path.stem not in (INTERVALS, SMALL)]


def sizes(found: Mapping[str, Any]) -> Iterator[str]:
    """The problems, agents and iterations of the runs, where they are those of studies."""
    studies = [part.tables for part in found.values() if isinstance(part, Archived)]
    if not studies:
        return
    problems = dict.fromkeys(str(tables["problem"]["name"]).split(":")[-1] for tables in studies)
    numbers = [
        " to ".join(f"{n:g}" for n in sorted({min(values), max(values)}))
        for values in (
            [tables["run"][key] for tables in studies] for key in ("agents", "iterations")
        )
    ]
    yield f"{', '.join(problems)}; {numbers[0]} agents, {numbers[1]} iterations"


def escaped(cell: str) -> str:
    """The text of a cell of a table."""
    return cell.replace("|", "\\|")


def commit(about: Mapping[str, Any]) -> str:
    """The commit in brief, where it is known."""
    return f" ({about['commit'][:10]})" if about["commit"] else ""


def capitalized(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def load(folder: Path = RESULTS) -> dict[str, Result]:
    """Name of a claim -> its result, for the archives of SIZE."""
    return {
        path.name.removesuffix(f"-{SIZE}.h5"): Result(path)
        for path in checked(folder)
        if path.name.endswith(f"-{SIZE}.h5")
    }


def draw_all(
    results: Mapping[str, Result], folder: Path, kind: str = "png", column: bool = False
) -> None:
    """Draw the figures of all claims, into a folder for each."""
    for name, result in results.items():
        result.draw(FigureFolder(folder / name, kind, column))


def main() -> int:
    """Write the page and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", nargs="+", type=Path, default=[], metavar="FILE")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="only draw, into DIR/CLAIM/")
    parser.add_argument("--figures", choices=FORMATS, default="png", help="with --draw: the format")
    parser.add_argument("--column", action="store_true", help="with --draw: 3.4 inches wide")
    args = parser.parse_args()
    if args.add:
        add(args.add, RESULTS)
    results, figures = load(), DOCS / "figures" / "claims"
    if args.draw:
        draw_all(results, args.draw, args.figures, args.column)
        papers.draw(results, FigureFolder(args.draw / "papers", args.figures, args.column))
        return 0
    draw_all(results, figures)
    texts = {"claims.md": page(results, figures), "results.md": overview(results)}
    for name, text in texts.items():
        path = DOCS / name
        written, _, _ = path.read_text(encoding="utf-8").partition(MARK)
        path.write_text(f"{written}{MARK}\n{text}", encoding="utf-8")
    for path in papers.PAGES:
        path.write_text(papers.filled(path, results), encoding="utf-8")
    papers.draw(results, FigureFolder(papers.FIGURES))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The pages of the papers, docs/papers/: what `make results` writes into them.

A page has, in HTML comments,

    <!-- result CLAIM --> ... <!-- end -->      replaced by the claim's verdict, what agrees and
                                                what does not, and its figure
    <!-- given CLAIM, COMPARISON: VERDICT -->   before a paragraph that explains this verdict

and the second is compared with the archive: a paragraph is not left beside another verdict.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpidbo.reports import FigureFolder
from mpidbo.studies.claims.finding import FAILS, HOLDS, UNDECIDED
from mpidbo.studies.claims.panels import panels

if TYPE_CHECKING:
    from claims import Result

DOCS = Path(__file__).parent
PAGES = sorted((DOCS / "papers").glob("*.md"))
FIGURES = DOCS / "figures" / "papers"
BLOCK = re.compile(r"(<!-- result (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
GIVEN = re.compile(r"<!-- given (\S+), (.+): ([A-Z ]+) -->")
WORDS = {HOLDS: "Agrees", FAILS: "Does not agree", UNDECIDED: "Not decided"}


def filled(path: Path, results: "Mapping[str, Result]") -> str:
    """The text of a page with all results.

    Raises
    ------
    ValueError
        A paragraph explains a verdict that is not that of the archive.
    """
    text = path.read_text(encoding="utf-8")
    for name, what, verdict in GIVEN.findall(text):
        found = {f.comparison.what: f.verdict for f in results[name].findings}
        if found.get(what) != verdict:
            raise ValueError(f"{path}: {name}, {what} is {found.get(what)}, not {verdict}")
    return BLOCK.sub(lambda match: match[1] + block(match[2], results) + match[3], text)


def block(name: str, results: "Mapping[str, Result]") -> str:
    """The text between the comments of a claim."""
    if name not in results:
        return f"Not run at the size standard yet ([`{name}`](../claims.md#{name})).\n"
    result = results[name]
    return "\n".join(
        [
            f"**{result.verdict}** ([`{name}`](../claims.md#{name})). {result.size}.\n",
            *agreement(result),
        ]
    )


def agreement(result: "Result") -> Iterator[str]:
    """Lists of comparisons by verdict, and the figures."""
    name = result.about["claim"]
    for verdict, words in WORDS.items():
        found = [f for f in result.findings if f.verdict == verdict]
        if found:
            yield f"{words}, {len(found)} of {len(result.findings)} comparisons:\n"
            yield "".join(f"- {f.comparison.what}: {f.condition}\n" for f in found)
    if name in DRAWN:
        yield f"![{name} on the axes of the paper](../figures/papers/{name}.png)\n"
        return
    figures = DOCS / "figures" / "claims" / name
    hidden = ("intervals", "small")
    for path in sorted(path for path in figures.glob("*.png") if path.stem not in hidden):
        yield f"![{name}](../figures/claims/{name}/{path.name})\n"


def draw(results: "Mapping[str, Result]", out: FigureFolder) -> None:
    """Draw the figures that have the axes of the paper, not those of the claim."""
    out.folder.mkdir(exist_ok=True)
    for name, drawn in DRAWN.items():
        if name in results:
            drawn(out, results[name])


def linear_regression(out: FigureFolder, result: "Result") -> None:
    """sum_i |x_i - x*|^2, as in SPARKLE's second experiment, over iterations."""
    shown = {}
    for level, outcome in result.found.items():
        n = outcome.tables["run"]["agents"]
        for topology in outcome.topologies:
            panel = shown[f"{level}, {topology}"] = {}
            for method in outcome.methods:
                k, distance = outcome.curve(method, topology)
                panel[method] = (k, n * distance**2)
    panels(out, "heterogeneity", shown, "iterations", "sum of |x_i - x*|^2", log=True)


def accuracy(out: FigureFolder, result: "Result") -> None:
    """Test accuracy, as in SPARKLE's first experiment, over the oracle calls of an agent."""
    from mpidbo.studies.claims.corrected_strategies import METHODS

    shown: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for key, outcome in result.found.items():
        kind, corruption = key.split(", ")
        panel = shown.setdefault(f"corruption {corruption}", {})
        for method in outcome.methods:
            k, values = outcome.curve(method, "ring")
            # Without the start, at 10 %, beside which curves could not be told apart.
            panel[method] = (METHODS[kind][0] * k[1:], 100 * values[:, 1:])
    panels(out, "corrected-strategies", shown, "oracle calls of an agent", "test accuracy, %")


DRAWN: "dict[str, Callable[[FigureFolder, Result], None]]" = {
    "corrected-strategies": accuracy,
    "heterogeneity": linear_regression,
}
"""Claim -> its figure on the axes of the paper."""

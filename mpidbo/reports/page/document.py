"""A page about runs: one file of HTML with its style, its program and its data."""

import json
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from html import escape
from importlib.resources import files as package_files
from pathlib import Path
from string import Template
from typing import Any

from ..._version import __version__
from ...errors import UserError
from ...storage import Saved, files, write_text
from ..run_labels import labels as labels_of
from ..run_labels import title
from ..style import COLORS
from . import tables
from .curves import curve_data
from .elements import Element, element, written
from .graph import graphs

GENERATOR = '<meta name="generator" content="mpidbo report">'
"""By which a file is recognised as a page of this module."""
HEAD_BYTES = 400
"""Bytes at the beginning of a file in which `GENERATOR` is."""
COLORS_ON_DARK = (
    "#3f9ce0",
    "#f0803c",
    "#1fb98d",
    "#dd93bb",
    "#eeb02e",
    "#a3d8f7",
    "#f2f2f2",
    "#bdbd4a",
)
"""`style.COLORS`, lighter where they would be hard to see on a dark page."""


def content(runs: Sequence[Saved]) -> dict[str, Any]:
    """Return what a page says about runs, as what JSON can hold.

    Parameters
    ----------
    runs : sequence of Saved

    Returns
    -------
    dict
        The title, the HTML above and below the curves, the curves, and the version of all this.
    """
    labels = labels_of(runs)
    name = title(runs[0]) if len(runs) == 1 else f"{len(runs)} runs"
    several = len(runs) > 1
    settings = tables.configuration(runs)
    parts = [
        _section("Configuration", *_configuration(settings, runs, labels, several)),
        _section("Graph", element("div", *graphs(runs, labels), class_="graphs")),
        _section("Cost", *_table(tables.cost(runs), runs, labels, "no cost in the history")),
        _section(
            "Provenance",
            *_table(tables.provenance(runs), runs, labels, "known once a run has a result"),
        ),
    ]
    found = {
        "title": name,
        "above": written([tables.table(tables.overview(runs), runs, labels)]),
        "below": written([element("div", *parts, class_="several" if several else "single")]),
        "curves": curve_data(runs, labels),
    }
    return {**found, "version": version(found)}


def version(found: Mapping[str, Any]) -> str:
    """Return what distinguishes one content from another."""
    return sha256(json.dumps(found).encode()).hexdigest()[:16]


def page(found: Mapping[str, Any], *, poll_ms: int = 0) -> str:
    """Return a page as HTML.

    Parameters
    ----------
    found : mapping
        The `content`.
    poll_ms : int, default 0
        After how many milliseconds the page asks its server for news, each time; 0: never.
    """
    style = f"{_template('uplot/uPlot.min.css')}\n{_palette()}{_template('page.css')}"
    library = f"/*\n{_template('uplot/LICENSE')}*/\n{_template('uplot/uPlot.iife.min.js')}"
    program = _template("page.js")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_digest(style)}; script-src {_digest(library)} {_digest(program)}; "
        f"connect-src {chr(39)}{'self' if poll_ms else 'none'}{chr(39)}"
    )
    data = json.dumps({key: found[key] for key in ("version", "curves")}).replace("<", "\\u003c")
    text = Template(_template("page.html")).substitute(
        generator=GENERATOR,
        policy=policy,
        title=escape(str(found["title"])),
        style=style,
        above=found["above"],
        below=found["below"],
        made=escape(f"mpidbo {__version__}, {datetime.now():%Y-%m-%d %H:%M}"),
        poll=str(poll_ms),
        data=data,
        library=library,
        program=program,
    )
    # what UTF-8 cannot hold, such as the bytes of a file's name, as an escape
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_report(runs: Sequence[Saved], path: Path) -> None:
    """Write a page about runs, in place of an earlier one.

    Parameters
    ----------
    runs : sequence of Saved
    path : Path
        The file.

    Raises
    ------
    UserError
        Where the file cannot be written, or is there and is not such a page.
    """
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder; give the name of a file: {path / files.REPORT}")
    try:
        with open(path, "rb") as file:
            is_page = GENERATOR.encode() in file.read(HEAD_BYTES)
    except FileNotFoundError:
        is_page = True
    except OSError as error:
        raise files.unreadable(path, error) from None
    if not is_page:
        raise UserError(
            f"{path}: exists and is not a report of mpidbo, and is not overwritten; give another "
            "name: -o FILE"
        )
    write_text(path, page(content(runs)))


def _section(heading: str, *children: Element) -> Element:
    return element("section", element("h2", heading), *children, id=heading.lower())


def _table(
    rows: Sequence[tables.Row], runs: Sequence[Saved], labels: Sequence[str], otherwise: str
) -> list[Element]:
    if not rows:
        return [element("p", otherwise, class_="note")]
    return [tables.table(rows, runs, labels)]


def _configuration(
    rows: Sequence[tables.Row], runs: Sequence[Saved], labels: Sequence[str], several: bool
) -> list[Element]:
    """The table of the keys; of several runs with a box that leaves only the differences."""
    found = _table(rows, runs, labels, "only a history is left")
    if not several or not rows:
        return found
    differing = sum(row.differs for row in rows)
    box = element("input", type="checkbox", id="only")
    label = element("label", f"only what differs ({differing} of {len(rows)} keys)", for_="only")
    return [element("div", box, " ", label, class_="only"), *found]


def _template(name: str) -> str:
    folder = package_files(__package__).joinpath("templates")
    return folder.joinpath(*name.split("/")).read_text(encoding="utf-8")


def _palette() -> str:
    """The colors of the runs as variables of CSS, on a light and on a dark page."""

    def variables(colors: Sequence[str]) -> str:
        return " ".join(f"--c{i}: {color};" for i, color in enumerate(colors))

    swatches = "\n".join(f".c{i} {{ --own: var(--c{i}); }}" for i in range(len(COLORS)))
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(COLORS_ON_DARK)} }} }}"
    return f":root {{ {variables(COLORS)} }}\n{dark}\n{swatches}\n"


def _digest(text: str) -> str:
    """How a policy names a script or a style that may be used."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

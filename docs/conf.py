"""The site: `make docs` builds it from the Markdown pages of the repository, where they lie, and from the docstrings."""

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import reference

from mpidbo import __version__

project, author, version = "mpidbo", "The mpidbo developers", __version__
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "examples/README.md", "jobscripts/README.md", "data/README.md"]
exclude_patterns = ["docs/_build", ".*", "runs", "mpidbo", "tests", "benchmarks", "build", "*.egg-info"]
myst_heading_anchors = 4
myst_links_external_new_tab = True

# Docstrings are plain text with `code` and indented blocks, as the pages are.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "__new__, __init__", "no-value": True}
autodoc_docstring_signature = False
nitpick_ignore_regex = [("py:class", ".*")]                   # types in signatures: of other packages, or not for users
pygments_style = "sphinx"

html_theme = "furo"
html_title = f"mpidbo {version}"
html_show_sphinx = html_copy_source = False

MARK = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)


def filled(app: Sphinx, page: str, source: list[str]) -> None:
    """A page of docs/api names what `reference` writes in its place: <!-- methods -->."""
    if page.startswith("docs/api/"):
        source[0] = MARK.sub(lambda mark: getattr(reference, mark[1])(), source[0])


def told(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A docstring's sections are lists, and what is indented below an empty line is shown as it stands."""
    found: list[str] = []
    block = False
    for line in reference.listed(lines):
        indented = line.startswith("    ")
        if indented and not block and found and not found[-1].strip():
            found += ["::", ""]
        block = indented or (block and not line.strip())
        found.append(line)
    lines[:] = found


def setup(app: Sphinx) -> None:
    app.connect("source-read", filled)
    app.connect("autodoc-process-docstring", told)

"""Configuration of the site, which `make docs` builds from Markdown pages and docstrings."""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
if find_spec("jaxtyping"):  # signatures have the shapes of arrays
    os.environ["MPIDBO_CHECK_SHAPES"] = "1"

import reference

from mpidbo import __version__

project, author, version = "mpidbo", "The mpidbo developers", __version__
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "examples/README.md",
    "jobscripts/README.md",
    "data/README.md",
]
exclude_patterns = [
    "docs/_build",
    ".*",
    "runs",
    "mpidbo",
    "tests",
    "benchmarks",
    "build",
    "*.egg-info",
]
myst_heading_anchors = 4
myst_links_external_new_tab = True

# Docstrings are plain text with `code` and indented blocks, as the pages are.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "__new__, __init__", "no-value": True}
autodoc_docstring_signature = False
nitpick_ignore_regex = [
    ("py:class", ".*")
]  # types in signatures: of other packages, or not for users
pygments_style = "sphinx"

html_theme = "furo"
html_title = f"mpidbo {version}"
html_show_sphinx = html_copy_source = False

MARK = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)


def fill_marks(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace marks such as <!-- methods --> in pages of docs/api by what `reference` writes."""
    if page.startswith("docs/api/"):
        source[0] = MARK.sub(lambda mark: getattr(reference, mark[1])(), source[0])


def format_docstring(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Show sections as lists, and text that is indented below an empty line verbatim."""
    found: list[str] = []
    block = False
    fields = reference.parameters(thing) if what == "class" else []
    for line in reference.listed([*lines, *fields]):
        indented = line.startswith("    ")
        if indented and not block and found and not found[-1].strip():
            found += ["::", ""]
        block = indented or (block and not line.strip())
        found.append(line)
    lines[:] = found


def format_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, arguments: str, result: str
) -> tuple[str | None, str | None]:
    """Show arrays as Array; omit the arguments of a class whose fields are described one by one."""
    if what == "class" and reference.parameters(thing):
        return "", None
    return named_arrays(arguments), named_arrays(result)


def named_arrays(text: str | None) -> str | None:
    """Write `Float[Array, 'm p']` in place of `Float[Any, 'm p']`."""
    return text.replace("[Any, '", "[Array, '") if text else text


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill_marks)
    app.connect("autodoc-process-docstring", format_docstring)
    app.connect("autodoc-process-signature", format_signature)

"""Configuration of the site, which `make docs` builds from Markdown pages and docstrings."""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

sys.path.insert(0, str(Path(__file__).parent))
if find_spec("jaxtyping"):  # signatures have the shapes of arrays
    os.environ["MPIDBO_CHECK_SHAPES"] = "1"

import reference

from mpidbo import __version__

project, author, version = "mpidbo", "The mpidbo developers", __version__
project_copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "examples/README.md",
    "examples/*/README.md",
    "examples/notebooks/*.ipynb",
    "jobscripts/README.md",
    "data/README.md",
    "packaging/README.md",
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
nb_execution_mode = "off"  # notebooks are committed with their output
myst_heading_anchors = 4
myst_enable_extensions, myst_fence_as_directive = ["dollarmath"], ["math"]
myst_dmath_allow_space = myst_dmath_allow_digits = False  # as on GitHub
myst_links_external_new_tab = True

# Docstrings are plain text with `code` and indented blocks, as the pages are.
default_role = "py:obj"  # a link where the name has an entry, else code
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "__new__, __init__", "no-value": True}
autodoc_docstring_signature = False
python_maximum_signature_line_length = 88  # a longer one has a line for each argument
nitpick_ignore_regex = [
    ("py:(class|obj)", ".*")
]  # types in signatures: of other packages, or not for users
pygments_style, pygments_dark_style = "friendly", "github-dark"

# MathJax and its fonts are one file of the site, so that formulas need no network.
MATHJAX = "sphinx-mathjax-offline"
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"mtextInheritFont": True}}

html_theme = "furo"
html_title = f"mpidbo {version.partition('+')[0]}"
html_show_sphinx = html_copy_source = False
html_static_path, html_css_files = ["static"], ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#005a8e", "color-brand-content": "#005a8e"},
    "dark_css_variables": {
        "color-brand-primary": "#7cb7dd",
        "color-brand-content": "#7cb7dd",
        "color-background-primary": "#16191d",
        "color-background-secondary": "#1c2025",
        "color-foreground-primary": "#d3d7dc",
    },
}
copybutton_exclude = ".linenos, .gp, .go"
ROOT_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>mpidbo</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">mpidbo</a>
"""
"""index.html of the build; the pages keep their folders, so that links work here and on GitHub."""

MARK = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)


def fill_marks(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace marks such as <!-- methods --> in pages of docs/api by what `reference` writes."""
    if page.startswith("docs/api/"):
        source[0] = MARK.sub(lambda mark: getattr(reference, mark[1])(), source[0])


def append_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the configurations and scripts in the folder of an example to its page."""
    if not re.fullmatch(r"examples/\w+/README", page):
        return
    folder = Path(app.srcdir, page).parent
    for file in [*sorted(folder.glob("*.toml")), *sorted(folder.glob("*.py"))]:
        language = "toml" if file.suffix == ".toml" else "python"
        block = f"```{{literalinclude}} {file.name}\n:language: {language}\n```"
        source[0] += f"\n## {file.name}\n\n{block}\n"


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


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the file of MathJax that draws formulas as SVG."""
    package = find_spec(MATHJAX)
    assert package and package.submodule_search_locations, f"pip install {MATHJAX}"
    folder = Path(package.submodule_search_locations[0], "static", "mathjax")
    copy_asset(folder / mathjax_path, Path(app.outdir, "_static"))


def write_root_page(app: Sphinx, exception: Exception | None) -> None:
    """Write the page at the root of the build, which leads to the landing page."""
    if exception is None:
        (Path(app.outdir) / "index.html").write_text(ROOT_PAGE, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", write_root_page)
    app.connect("build-finished", copy_mathjax)
    app.connect("source-read", fill_marks)
    app.connect("source-read", append_files)
    app.connect("autodoc-process-docstring", format_docstring)
    app.connect("autodoc-process-signature", format_signature)

"""All pages of the site in a headless Chromium, at the widths of a desktop and of a phone.

A screenshot of each page stays in the test's folder, with a list of them, pages.html:

    pytest --basetemp=shots tests/docs/test_site_in_chromium.py
"""

import pytest

from support import chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]
WITHOUT_TEXT = {"genindex.html", "py-modindex.html", "search.html", "index.html"}
"""Pages of the build's root that no source has written."""
NOTEBOOK = "../examples/notebooks/watch_stop_resume"
HEADINGS = {
    "index": "mpidbo",
    "methods": "Methods, strategies and problems, exactly",
    "choosing": "Choosing a method and its step sizes",
    "results": "Results",
    "cluster": "On a cluster",
    "gallery": "Gallery",
    "tutorial": "Tutorial: from nothing to a problem of your own",
    "troubleshooting": "Troubleshooting",
    NOTEBOOK: "Watch a run, stop it in time, keep the best, continue",
}
"""The first headings of some pages; the others have one, too."""
MISSING = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
"""The pictures of a page that were not loaded, once all of it is."""
CUT = """[...document.querySelectorAll('.table-wrapper, mjx-container[display=true], pre')]
    .filter(part => part.scrollWidth > part.clientWidth + 1
            && getComputedStyle(part).overflowX != 'auto').length"""
"""How many tables, formulas and blocks of code are too wide and do not scroll."""
LIST = """<!doctype html>
<meta charset="utf-8">
<title>Pages of the site</title>
<style>a {{ display: inline-block; width: 15em; vertical-align: top }} img {{ width: 100% }}</style>
{}"""
ENTRY = '<a href="{0}.png"><img src="{0}.png" alt="">{0}</a>\n'
DRAWN = "window.MathJax?.startup.promise.then(() => true)"
"""True once MathJax has drawn the formulas, where a page has some."""
TALLEST = 6000
"""How much of a page, in pixels, a screenshot shows."""


@pytest.fixture
def page():
    with chromium.browser() as page:
        yield page


@pytest.mark.parametrize("width", [chromium.DESKTOP, chromium.PHONE])
def test_each_page(built, tmp_path, page, width):
    """Nothing is cut off, pictures and formulas are drawn, and no page needs a network."""
    root = built.parent
    files = [file for file in root.rglob("*.html") if file.parent != root]
    files += [file for file in root.glob("*.html") if file.name not in WITHOUT_TEXT]
    names = {file: "-".join(file.relative_to(root).with_suffix("").parts) for file in files}
    headings = {(built / f"{name}.html").resolve(): text for name, text in HEADINGS.items()}
    assert len(files) > 50 and headings.keys() <= set(files)
    for file, name in names.items():
        page.open(file.as_uri(), width=width)
        page.run(DRAWN)
        page.screenshot(tmp_path / f"{name}.png", tallest=TALLEST)
        assert page.overflow() <= 0, name
        heading = page.run("document.querySelector('h1').firstChild.data")
        assert heading == headings.get(file, heading) and heading, name
        assert page.run(MISSING) == [], name
        assert page.run(CUT) == 0, name
        assert page.complaints == [], name
        assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == [], name
    listed = "".join(ENTRY.format(name) for name in sorted(names.values()))
    (tmp_path / "pages.html").write_text(LIST.format(listed), encoding="utf-8")
    page.open((tmp_path / "pages.html").as_uri())
    assert page.run("document.images.length") == len(files)
    assert page.run(MISSING) == []


def test_formulas_and_copy_buttons(built, page):
    """MathJax draws the formulas, and each block of code has a button."""
    page.open((built / "methods.html").as_uri())
    page.run(DRAWN)
    sources = page.run("document.querySelectorAll('span.math, div.math').length")
    heights = (
        "[...document.querySelectorAll('mjx-container > svg')]"
        ".map(svg => svg.getBoundingClientRect().height)"
    )
    assert page.run(f"{heights}.length") == sources > 100
    assert page.run(f"Math.min(...{heights})") > 0
    assert page.run("document.querySelectorAll('[data-mml-node=merror]').length") == 0
    shown = page.run("document.querySelector('article').innerText")
    assert [part for part in ("\\frac", "\\theta", "$") if part in shown] == []
    page.wait("document.querySelectorAll('button.copybtn').length > 0")
    blocks, buttons = (
        page.run(f"document.querySelectorAll('div.highlight {part}').length")
        for part in ("pre", "button.copybtn")
    )
    assert blocks == buttons > 10


def test_dark_pages_and_search(built, page):
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    for dark in (False, True):
        page.open((built / "index.html").as_uri(), dark=dark)
        assert (max(page.run(shade)) < 60) == dark
    page.open((built.parent / "search.html").as_uri() + "?q=exact+diffusion")
    page.wait("document.querySelectorAll('#search-results li a').length > 3")
    assert "docs/methods.html" in page.run(
        "[...document.querySelectorAll('#search-results li a')].map(a => a.href).join(' ')"
    )

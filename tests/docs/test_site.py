"""The site is built from all pages and docstrings, with warnings as errors, and its tables are
current."""

import html
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mpidbo
from mpidbo import config, problems
from mpidbo._pytree import leaves
from mpidbo.algorithms import METHODS, schedules, strategies
from mpidbo.network import graphs
from mpidbo.solver.plan import Plan
from support import chromium, launch
from support.pages import sent

NEEDED = ("sphinx", "myst_nb", "furo", "sphinx_copybutton")
PAGES = {"methods": METHODS, "problems": problems.PROBLEMS}
CHOICES = (*strategies.STRATEGIES, *graphs.TOPOLOGIES, *schedules.KINDS)


NOTEBOOK = "../examples/notebooks/watch_stop_resume"
LOOKED_AT = {
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
"""Pages and their first headings."""
MISSING = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
"""The pictures of a page that were not loaded, once all of it is."""
CUT = """[...document.querySelectorAll('.table-wrapper, .formula, pre')]
    .filter(part => part.scrollWidth > part.clientWidth + 1
            && getComputedStyle(part).overflowX != 'auto').length"""
"""How many tables, formulas and blocks of code are too wide and do not scroll."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the pages of a finished build."""
    repo, out = Path(__file__).parents[2], tmp_path_factory.mktemp("site")
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[docs]'")
    line = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "--nitpicky",
        "--quiet",
        "-c",
        "docs",
        "-d",
        out / "trees",
        ".",
        out / "html",
    ]
    done = subprocess.run(
        [str(word) for word in line],
        cwd=repo,
        capture_output=True,
        text=True,
        timeout=110,
        env=launch.environment({}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html" / "docs"


@pytest.mark.slow
def test_the_site_is_built(built):
    found = built
    for page, register in PAGES.items():
        text = (found / "api" / f"{page}.html").read_text()
        assert [name for name in register if f'id="{name}"' not in text] == []
    listed = html.unescape((found / "api" / "choices.html").read_text())
    assert [name for name in CHOICES if f">{name}<" not in listed] == []
    python = (found / "api" / "python.html").read_text()
    assert [
        name for name in mpidbo.__all__ if not re.search(rf'id="mpidbo\.(\w+\.)*{name}"', python)
    ] == ["__version__"]
    assert (found.parent / "README.html").exists()
    root = (found.parent / "index.html").read_text()
    assert re.findall(r'(?:url=|href=")([\w/.]+)', root) == ["docs/index.html"] * 2


@pytest.mark.slow
def test_pages_in_a_browser(built, tmp_path):
    """At the widths of a desktop and of a phone nothing is cut off, and no page needs a network."""
    with chromium.browser() as page:
        for name, heading in LOOKED_AT.items():
            for width in (chromium.DESKTOP, chromium.PHONE):
                page.open((built / f"{name}.html").as_uri(), width=width)
                page.screenshot(tmp_path / f"{Path(name).name}-{width}.png")
                where = f"{name} at {width} pixels"
                assert page.overflow() <= 0, where
                assert page.run("document.querySelector('h1').firstChild.data") == heading, where
                assert page.run(MISSING) == [], where
                assert page.run(CUT) == 0, where
                assert page.complaints == [], where
                assert [
                    url for url in page.requests if not url.startswith(("file:", "data:"))
                ] == [], where


@pytest.mark.slow
def test_formulas_and_copy_buttons(built):
    """Formulas are drawn, not shown as LaTeX, and each block of code has a button."""
    with chromium.browser() as page:
        page.open((built / "methods.html").as_uri())
        heights = (
            "[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)"
        )
        assert page.run(f"{heights}.length") > 100
        assert page.run(f"Math.min(...{heights})") > 0
        shown = page.run("document.querySelector('article').innerText")
        assert [part for part in ("\\frac", "\\theta", "$") if part in shown] == []
        page.wait("document.querySelectorAll('button.copybtn').length > 0")
        blocks, buttons = (
            page.run(f"document.querySelectorAll('div.highlight {part}').length")
            for part in ("pre", "button.copybtn")
        )
        assert blocks == buttons > 10


def test_the_tables_of_a_configuration_are_current(repo, monkeypatch):
    """Those of docs/configuration.md are what `python docs/reference.py` writes."""
    monkeypatch.syspath_prepend(repo / "docs")
    reference = importlib.import_module("reference")
    page = (repo / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference.configuration(page), "run python docs/reference.py"
    assert re.findall("<!-- keys of (.*) -->", page) == list(reference.SECTIONS)
    assert re.findall(r"^## \[(.*)\]", page, re.MULTILINE) == list(config.SECTIONS)
    assert set(config.SECTIONS) <= reference.SECTIONS.keys()
    assert [name for name, field in config.RUN_FIELDS.items() if not field.doc.text] == []


def test_every_choice_is_weighed(repo):
    """Methods and strategies stand in docs/choosing.md, and what an iteration costs is so."""
    text = (repo / "docs" / "choosing.md").read_text(encoding="utf-8")
    assert [name for name in (*METHODS, *strategies.STRATEGIES) if f"`{name}`" not in text] == []
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\d+) \| (\d+) \| (.*?) \| (\d+) \| (.*?) \|$", text, re.MULTILINE
    )
    assert len(rows) > 10
    for name, gradients, products, sends, rounds, keeps in rows:
        assert sent({"name": name}) == (sends, int(rounds)), name
        assert cost(name) == (
            int(gradients),
            int(products),
            *(int(many or 1) for many in re.findall(r"(\d?)[pq]", keeps)),
        ), name


def cost(method):
    """Gradients and products that an agent calls in an iteration with mini-batches, and the
    multiples of p and of q that it keeps."""

    def look(p, q):
        tables = {
            "problem": {
                "name": "minimax" if method in ("gda", "dm-hsgd") else "quadratic",
                "p": p,
                "q": q,
                "noise": 0.1,
            },
            "method": {"name": method},
            "run": {"agents": 2},
        }
        with Plan(config.check(tables)) as plan:
            state = plan.method.start(*plan.rows())
            before = dict(plan.oracle.calls)
            plan.method.step(1, plan.oracle, plan.W, state)
            calls = [plan.oracle.calls[name] - before[name] for name in problems.ORACLES]
            return (
                sum(calls[2:6]) // 2,
                sum(calls[6:]) // 2,
                sum(rows[0].size for _, rows in leaves(state)),
            )

    *calls, floats = look(2, 2)
    return (*calls, look(3, 2)[2] - floats, look(2, 3)[2] - floats)

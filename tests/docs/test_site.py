"""The site is built from all pages and docstrings, with warnings as errors, and its tables are
current."""

import html
import importlib
import re
from urllib.parse import unquote

import pytest

import mpidbo
from mpidbo import config, problems
from mpidbo._pytree import leaves
from mpidbo.algorithms import METHODS, schedules, strategies
from mpidbo.network import graphs
from mpidbo.solver.plan import Plan
from support.pages import sent

PAGES = {"methods": METHODS, "problems": problems.PROBLEMS}
CHOICES = (*strategies.STRATEGIES, *graphs.TOPOLOGIES, *schedules.KINDS)


@pytest.mark.slow
@pytest.mark.timeout(400)
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
@pytest.mark.timeout(400)
def test_links_of_the_site(built):
    """Those within the site lead to a file, and to a place in it where they name one."""
    root = built.parent
    texts = {page: page.read_text(encoding="utf-8") for page in root.rglob("*.html")}
    places = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in texts.items()}
    found, broken = 0, []
    for page, text in texts.items():
        for link in map(html.unescape, re.findall(r'\b(?:href|src)="([^"]+)"', text)):
            if re.match(r"https?:|mailto:|data:|#$", link):
                continue
            name, _, place = unquote(link.partition("?")[0]).partition("#")
            target = (page.parent / name).resolve() if name else page
            found += 1
            if not target.is_file() or (place and place not in places.get(target, {place})):
                broken.append(f"{page.relative_to(root)}: {link}")
    assert found > 5000
    assert broken == []


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

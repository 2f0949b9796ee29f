"""`mpidbo report`: the page of runs of every kind, what it says, and the file that it becomes."""

import hashlib
import json
import math
import os
import re
import shutil
from base64 import b64encode
from html.parser import HTMLParser

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.errors import UserError
from mpidbo.reports.page import curves, document, graph
from mpidbo.reports.page.document import content, page
from mpidbo.storage import files, read_run, write_arrays
from support import ROOT
from support.archives import unpack
from support.runs import QUADRATIC, run, toml

TEMPLATES = ROOT / "mpidbo" / "reports" / "page" / "templates"
UPLOT = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""The files of uPlot 1.6.32 as its package on npm has them: sha256."""
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"


class Tags(HTMLParser):
    """The elements of a page, its scripts and styles, and what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.policy = [], [], ""
        self.content = {"script": [], "style": []}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self.links += [found[key] for key in ("src", "href", "action") if key in found]
        if tag in self.content:
            self.content[tag].append("")
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]

    def handle_data(self, data):
        if self.cdata_elem:  # in a script or a style
            self.content[self.cdata_elem][-1] += data


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs."""
    folder = tmp_path_factory.mktemp("runs")
    path = toml(folder, QUADRATIC)
    run(path, folder / "a")
    run(path, folder / "b", steps__alpha=0.01, topology__name="star")
    return folder


def made(*paths):
    """The page of runs, parsed, and the curves in it."""
    text = page(content([read_run(path) for path in paths]))
    found = Tags(text)
    data = next(
        json.loads(body, parse_constant=lambda name: pytest.fail(name))
        for body in found.content["script"]
        if body.startswith("{")
    )
    return text, found, data["curves"]


def rows_of(text):
    """The rows of the tables of a page: name -> (whether they are marked, their cells)."""
    found = {}
    for row in re.findall(r"<tr(.*?)</tr>", text, re.DOTALL):
        cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        found[cells[0]] = ('class="differs"' in row, cells[1:])
    return found


def test_the_library_is_unmodified_and_its_licence_is_in_the_page(runs):
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (TEMPLATES / "uplot").iterdir()
    }
    assert found == UPLOT
    assert (TEMPLATES / "uplot" / "LICENSE").read_text() in made(runs / "a")[0]


def test_a_page_needs_nothing_else(runs):
    text, found, _ = made(runs / "a", runs / "b")
    assert found.links == ["data:,"]
    assert "url(" not in text and "@import" not in text
    scripts = [body for body in found.content["script"] if not body.startswith("{")]
    assert len(scripts) == 2 and len(found.content["style"]) == 1
    for body in scripts + found.content["style"]:
        assert f"'sha256-{b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" in (
            found.policy
        )
    assert "default-src 'none'" in found.policy and "connect-src 'none'" in found.policy
    assert len(text) < 300_000


def test_what_a_page_says_of_a_run(runs):
    text, _, data = made(runs / "a")
    rows = rows_of(text)
    run = read_run(runs / "a")
    assert "<title>sparkle-ed-ed on quadratic: ring of 4 agents</title>" in text
    assert rows["state"][1] == ["finished 31 iterations"]
    assert rows["path"][1] == [str(runs / "a")]
    assert rows["upper_loss"][1] == [f"{run.columns['upper_loss'][-1]:.6g}"]
    assert rows["problem.noise"][1] == ["0.3"] and "run.out" not in rows
    assert rows["floats sent"][1] == [str(int(run.columns["floats"][-1]))]
    assert rows["calls of g_y"][1] and rows["seconds: oracle"][1]
    assert rows["mpidbo"][1] == [run.provenance["version"]] and rows["ranks"][1] == ["1"]
    assert not any(marked for marked, _ in rows.values())
    assert "ring, 4 agents, 2 neighbours, spectral gap" in text and "for x, y, z" in text
    assert [axis["name"] for axis in data["axes"]] == [
        "iterations",
        "floats",
        "bytes",
        "messages",
        "rounds",
        "oracle calls",
        "seconds",
    ]
    values = data["runs"][0]
    assert values["x"]["iterations"] == [0, 5, 10, 15, 20, 25, 30, 31]
    assert values["x"]["messages"] == run.columns["messages"].tolist()
    assert np.allclose(values["y"]["upper_loss"], run.columns["upper_loss"], rtol=1e-6)
    assert [one["name"] for one in data["metrics"] if one["shown"]][:1] == ["upper_loss"]


def test_what_differs_is_marked(runs):
    text, _, data = made(runs / "a", runs / "b")
    rows = rows_of(text)
    assert {name for name, (marked, _) in rows.items() if marked} == {
        "steps.alpha",
        "topology.name",
    }
    assert rows["steps.alpha"][1] == ["0.002", "0.01"]
    assert "only what differs (2 of" in text
    assert [one["label"] for one in data["runs"]] == ["ring, alpha = 0.002", "star, alpha = 0.01"]
    assert text.count("<svg") == 2
    # The color goes with the run, not with its place.
    assert [one["color"] for one in made(runs / "b", runs / "a")[2]["runs"]] == [1, 0]


def test_hostile_names_are_text(runs, tmp_path):
    """In a configuration, a column, a folder; also a name that is not UTF-8, and other scripts."""
    names = [HOSTILE.replace("/", "∕"), "Läufe-Ω-试", os.fsdecode(b"bytes-\xff")]
    paths = []
    for name in names:
        paths.append(shutil.copytree(runs / "a", tmp_path / name))
        config = (paths[-1] / files.CONFIG).read_text(encoding="utf-8")
        remark = json.dumps(f"{HOSTILE}{len(paths)}")
        config = config.replace("noise = ", f"remark = {remark}\nnoise = ")
        (paths[-1] / files.CONFIG).write_text(config, encoding="utf-8")
        history = dict(read_run(paths[-1]).columns)
        history[HOSTILE.replace("/", "∕")] = history["upper_loss"]
        write_arrays(paths[-1] / files.HISTORY, history, {"method": HOSTILE})
    text, found, data = made(*paths)
    text.encode("utf-8")
    plain = made(runs / "a", runs / "b")[1]
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in plain.tags}
    assert [tag for tag, _ in found.tags].count("script") == 3
    assert not any(key.startswith("on") for _, given in found.tags for key in given)
    assert rows_of(text)["problem.remark"][1][0].startswith("&lt;/script&gt;&lt;script&gt;")
    assert "Läufe-Ω-试" in text and "bytes-\\udcff" in text
    assert f"remark = {HOSTILE}2" in [one["label"] for one in data["runs"]]
    assert HOSTILE.replace("/", "∕") in [one["name"] for one in data["metrics"]]
    config = (paths[0] / files.CONFIG).read_text(encoding="utf-8")
    config = config.replace('name = "quadratic"', f"name = {json.dumps(HOSTILE)}")
    (paths[0] / files.CONFIG).write_text(config, encoding="utf-8")
    text, found, _ = made(paths[0])
    assert [tag for tag, _ in found.tags].count("img") == 0
    assert "<title>sparkle-ed-ed on script&gt;&lt;img" in text


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Runs of every kind: word for their state -> path."""
    folder = tmp_path_factory.mktemp("kinds")
    path = toml(folder, QUADRATIC)
    run(path, folder / "finished")
    run(path, folder / "diverged", steps__alpha=1e6, run__iterations=200, code=3)
    run(path, folder / "stopped", run__max_seconds=1e-6, code=85)
    unpack(ROOT / "tests" / "data" / "run_of_version_0.1.0.tar.gz", folder / "old")
    for name, kept in (
        ("ended", (files.CONFIG, files.HISTORY)),
        ("started", (files.CONFIG,)),
        ("alone", (files.HISTORY,)),
    ):
        (folder / name).mkdir()
        for file in kept:
            shutil.copy(folder / "finished" / file, folder / name)
    shutil.copy(folder / "finished" / files.HISTORY, folder / "renamed.h5")
    shutil.copy(folder / "finished" / files.RESULT, folder / "result-renamed.h5")
    return folder


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("finished", "finished 31 iterations"),
        ("diverged", "diverged level "),
        ("stopped", "stopped on request: run.max_seconds = 1e-06"),
        ("ended", "ended no result.h5 and not in use: it was killed or failed; seen at iteration"),
        ("started", "ended no result.h5 and not in use: it was killed or failed; nothing written"),
        ("alone", "history a history alone, seen at iteration 31"),
        ("renamed.h5", "history a history, seen at iteration 31"),
        ("result-renamed.h5", "finished 31 iterations"),
    ],
)
def test_a_run_of_every_kind_has_a_page(kinds, name, state):
    text, _, data = made(kinds / name)
    assert rows_of(text)["state"][1][0].startswith(state)
    assert len(data["runs"]) == 1
    made(kinds / name, kinds / "finished")


def test_a_run_of_an_earlier_version_has_a_page(kinds):
    old = next(path.parent for path in (kinds / "old").rglob(files.HISTORY))
    text, _, data = made(old, kinds / "finished")
    assert rows_of(text)["state"][1][0].startswith("finished")
    assert all(one["y"]["upper_loss"] for one in data["runs"])


def test_values_that_are_not_finite(runs, tmp_path):
    history = dict(read_run(runs / "a").columns)
    history["upper_loss"] = np.array([1.0, np.nan, np.inf, -np.inf, 0.5, 0.25, 1e300, np.inf])
    write_arrays(tmp_path / files.HISTORY, history, {"method": "sparkle"})
    text, _, data = made(tmp_path)
    values = data["runs"][0]["y"]["upper_loss"]
    assert values == [1, None, None, None, 0.5, 0.25, 1e300, None]
    assert rows_of(text)["upper_loss"][1] == ["inf"]


def test_a_long_history_keeps_its_extremes(tmp_path):
    length = 300_000
    rng = np.random.default_rng(0)
    history = {
        "iteration": np.arange(length),
        "floats": np.arange(length) * 10,
        "upper_loss": rng.standard_normal(length),
        "distance": rng.uniform(1, 2, length),
    }
    history["upper_loss"][123_456], history["distance"][234_567] = 99.0, 0.5
    history["distance"][:200_000:7] = np.nan
    write_arrays(tmp_path / files.HISTORY, history, {"method": "sparkle"})
    text, _, data = made(tmp_path)
    drawn = data["runs"][0]
    at = drawn["x"]["iterations"]
    assert len(at) <= curves.MAX_ROWS and len(text) < 1_000_000
    assert at[0] == 0 and at[-1] == length - 1 and at == sorted(set(at))
    assert drawn["y"]["upper_loss"][at.index(123_456)] == 99.0
    assert drawn["y"]["distance"][at.index(234_567)] == 0.5
    assert drawn["evaluations"] == length and "messages" not in drawn["x"]


def test_the_best_iterate_is_named_and_drawn(runs, tmp_path):
    out = tmp_path / "best"
    best = {"metric": "lower_loss", "mode": "max"}
    run(toml(tmp_path, QUADRATIC | {"run.best": best}), out, run__evaluate_every=1)
    text, _, data = made(out, runs / "a")
    kept = read_run(out).best
    assert rows_of(text)["best"][1] == [str(kept), "–"]
    first, other = data["runs"]
    assert list(first["best"]) == ["lower_loss"] and other["best"] == {}
    row = first["best"]["lower_loss"]
    assert first["x"]["iterations"][row] == kept.iteration
    assert next(one for one in data["metrics"] if one["name"] == "lower_loss")["shown"]
    # It is drawn however long the history is, and its file alone is a run too.
    assert 777 in curves.kept_rows({"a": np.zeros(10**5)}, 10**5, [777])
    assert rows_of(made(out / files.BEST)[0])["state"][1][0].startswith(
        "best 0 iterations, the best"
    )


def test_graphs_of_levels_and_of_many_agents(runs, tmp_path):
    level = {key: value for key, value in QUADRATIC.items() if key not in ("run.agents",)} | {
        "run.agents": 6,
        "run.iterations": 2,
    }
    two = toml(
        tmp_path,
        level
        | {
            "topology.upper": {"name": "torus", "shape": [2, 3]},
            "topology.lower": {"name": "exponential"},
            "method.strategy": "gt",
        },
        "two.toml",
    )
    run(two, tmp_path / "two")
    text = made(tmp_path / "two", runs / "a")[0]
    assert text.count("<svg") == 3
    assert "torus, 6 agents" in text and "for x; sparkle-gt-gt" in text
    assert "exponential, 6 agents" in text and "for y, z; sparkle-gt-gt" in text
    many = toml(tmp_path, level | {"run.agents": graph.MAX_AGENTS + 1}, "many.toml")
    run(many, tmp_path / "many")
    text = made(tmp_path / "many")[0]
    assert "<svg" not in text and "graphs of up to 200 agents are drawn" in text
    run(
        toml(tmp_path, level | {"method.name": "soba", "run.agents": 1}, "one.toml"),
        tmp_path / "one",
    )
    assert "average over all" in made(tmp_path / "one")[0]


def test_a_graph_that_cannot_be_made_again_is_a_sentence(runs, tmp_path):
    (tmp_path / "links.edges").write_text("0 1\n1 2\n2 3\n")
    run(
        toml(tmp_path, QUADRATIC | {"topology.file": "links.edges"}),
        tmp_path / "out",
    )
    assert "links.edges, 4 agents, 1 to 2 neighbours" in made(tmp_path / "out")[0]
    (tmp_path / "links.edges").unlink()
    graph._drawn.cache_clear()
    text = made(tmp_path / "out")[0]
    assert "<svg" not in text and "cannot be read (No such file or directory)" in text


def test_the_command(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(runs / "a", tmp_path / "copy")
    assert cli.main(["report", "copy"]) == 0
    assert capsys.readouterr().out == "copy/report.html\n"
    # A folder given twice is one run.
    assert cli.main(["report", "copy", str(copy), "copy/", str(runs / "b")]) == 0
    assert capsys.readouterr().out == "report.html\n"
    assert "<title>2 runs</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert cli.main(["report", "copy/history.h5", "-o", "other.html"]) == 0
    assert cli.main(["report", "copy", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "mpidbo: nowhere: no such file or folder; give the folder of a run, or its result.h5\n"
    )
    # The report is a file of the run: its folder may be renamed.
    assert cli.main(["run", str(runs / "a.toml"), "--out", "copy", "--resume", "never"]) == 0
    assert (tmp_path / "copy.1" / "report.html").is_file()


def test_only_a_report_is_overwritten(runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    words = ["report", str(runs / "a"), "-o", str(out)]
    assert cli.main(words) == 0 and cli.main(words) == 0
    out.write_text("<!doctype html>mine")
    assert cli.main(words) == 2
    assert "exists and is not a report of mpidbo, and is not overwritten" in capsys.readouterr().err
    assert out.read_text() == "<!doctype html>mine"
    out.unlink()
    out.mkdir()
    assert cli.main(words) == 2
    assert "is a folder; give the name of a file" in capsys.readouterr().err
    assert cli.main([*words[:-1], str(tmp_path / "no" / "such" / "page.html")]) == 2
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err


def test_colors_on_a_dark_page_are_as_many():
    from mpidbo.reports import COLORS

    assert len(document.COLORS_ON_DARK) == len(COLORS)
    assert math.isclose(len(set(document.COLORS_ON_DARK)), len(COLORS))
    with pytest.raises(UserError, match="holds no run"):
        read_run(TEMPLATES)

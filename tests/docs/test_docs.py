"""The pages say what is so: their code runs and prints what stands below it, commands parse,
configurations are accepted, links lead somewhere, and what there is is named."""

import contextlib
import inspect
import io
import re
import shutil
import sys
import tomllib
from types import ModuleType

import numpy as np
import pytest

import mpidbo
from mpidbo import cli, config, problems, studies
from mpidbo.algorithms import METHODS, strategies
from mpidbo.network import COMPRESSORS, graphs
from mpidbo.reports import catalogue
from support import ROOT, standin
from support.dense import POWERS
from support.pages import FENCED, alike, blocks, call, commands, run_line, sent

PAGES = sorted(
    page
    for where in ("", "docs/", "examples/", "examples/*/", "data/", "jobscripts/", "packaging/")
    for page in ROOT.glob(f"{where}*.md")
)
RUN = ["README.md", "docs/adding.md", "docs/solve.md", "docs/studies.md"]
"""Pages whose blocks are run: Python, shell and TOML; docs/methods.md too, which takes longer."""
REGISTERS = (METHODS, strategies.STRATEGIES, graphs.TOPOLOGIES, problems.PROBLEMS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with the examples in it; what a page registers is forgotten
    afterwards."""
    registers = (*REGISTERS, problems.METRICS, COMPRESSORS)
    kept = [dict(register) for register in registers]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    yield tmp_path
    for register, before in zip(registers, kept, strict=True):
        register.clear()
        register.update(before)


@pytest.mark.parametrize(
    "page",
    [*RUN, pytest.param("docs/methods.md", marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
)
def test_blocks_run(page, folder, monkeypatch):
    """In their order; a first line that names a file writes it."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for language, body, below in blocks(ROOT / page):
        named = re.match(r"# ([\w.]+)\n", body)
        if named:
            (folder / named[1]).write_text(body, encoding="utf-8")
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(body, f"{page}: {body[:40]!r}", "exec"), module.__dict__)
            if below is not None:
                assert alike(printed.getvalue(), below), (
                    f"{page}, below\n{body}\nprints\n{printed.getvalue()}"
                )
        elif language == "toml":
            tables = tomllib.loads(body)
            studies.study_of(tables, "study") if "study" in tables else config.check(
                {"problem": {"name": "quadratic"}} | tables
            )
        elif language == "sh":
            for line in body.splitlines():
                run_line(line)


def test_each_argument_of_solve_has_an_example():
    code = "\n".join(
        body for language, body, _ in blocks(ROOT / "docs" / "solve.md") if language == "python"
    )
    used = set(re.findall(r"\b(\w+)=|\"(\w+)\": ", code.replace(" = ", "")))
    names = {name for pair in used for name in pair}
    missing = set(inspect.signature(mpidbo.solve).parameters) - names
    assert not missing, f"add a line with each of these to docs/solve.md: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page):
    for words in commands(page):
        if len(words) == 1:
            assert words[0] in ("run", *cli.parser()._subparsers._group_actions[0].choices), words
            continue
        try:
            with contextlib.redirect_stderr(io.StringIO()) as printed:
                cli.parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{page.name}: mpidbo {' '.join(words)}\n{printed.getvalue()}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https:", "http:", "#")):
            file = (page.parent / target.partition("#")[0]).resolve()
            assert file.exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_in_the_pages_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:mpidbo|tests|examples|benchmarks|docs)/[\w./-]+\.\w+)`", text):
        if (
            name != "mpidbo/problems/saddle.py" and name != "mpidbo/algorithms/ogda.py"
        ):  # examples of what one would add
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_tests_named_on_reliability_exist():
    """`folder/test_file.py::test_name, ::test_another` names two tests of one file."""
    text, file = (ROOT / "docs/reliability.md").read_text(encoding="utf-8"), None
    named = re.findall(r"([\w/]+/test_\w+\.py)?::(test_\w+)", text)
    assert len(named) > 150
    for path, name in named:
        file = ROOT / "tests" / path if path else file
        assert f"def {name}(" in file.read_text(encoding="utf-8"), f"{file}: {name}"


@pytest.mark.parametrize("page", ["README.md", "docs/methods.md"])
@pytest.mark.parametrize(
    "register", REGISTERS, ids=["methods", "strategies", "topologies", "problems"]
)
def test_all_there_is_is_named(page, register):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [
        name
        for name in register
        if f"`{name}`" not in text and f"## {name}" not in text and f"**{name}**" not in text
    ] == []


def test_what_an_iteration_sends():
    text = (
        (ROOT / "docs" / "methods.md")
        .read_text(encoding="utf-8")
        .partition("## What an iteration sends")[2]
    )
    rows = re.findall(
        r"^\| (`.*?) \| ([pqTNb0-9^ +]+).*? \| (\d+)(?:; `([\w-]+)`: (\d))? \|$", text, re.MULTILINE
    )
    assert len(rows) > 6
    for names, floats, rounds, schedule, fewer in rows:
        for name in re.findall(r"`(.*?)`", names):
            assert sent({"name": name}) == (floats.strip(), int(rounds)), name
            if schedule:
                assert sent({"name": name, "schedule": schedule}) == (floats.strip(), int(fewer)), (
                    name
                )


def test_sources_and_bytes_of_all_methods():
    """Each method has a row; it says what is reconstructed where its source does."""
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    section = text.partition("## Sources, and what is reconstructed")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    assert [name for name, *_ in rows] == list(METHODS)
    for name, sent_bytes, reconstructed, source in rows:
        assert catalogue.bytes_sent(catalogue.defaults(name)[2]) == f"{sent_bytes} in float64"
        printed = METHODS[name][0].source
        if "reconstructed" in printed:
            assert not reconstructed.startswith("nothing"), name
        assert set(re.findall(r"\d{4}\.\d{5}", source)) <= set(re.findall(r"\d{4}\.\d{5}", printed))


@pytest.mark.parametrize("method", ["sparkle-ed", "sun-dsbo"])
def test_every_column_is_defined(method):
    text = (ROOT / "docs" / "notation.md").read_text(encoding="utf-8")
    names = {"sparkle-ed": ["hypergradient_norm", "curvature"], "sun-dsbo": ["refined_residual"]}[
        method
    ]
    history = mpidbo.solve(
        "quadratic", method, agents=3, iterations=4, evaluate_every=2, metrics=names
    ).history
    missing = [name for name in history if f"`{name}`" not in text]
    assert all(name.startswith(("calls_", "consensus_")) for name in missing), missing


BOUNDS = {
    "ed": lambda w, aL: w > -1 / (3 - 2 * aL) if w < 0 and aL < 1.5 else aL < 2,
    "extra": lambda w, aL: aL < (1 + 3 * w) / 2,
    "gt": lambda w, aL: aL < ((1 + w) ** 2 / (2 * w**2) if w < 0 else 2),
    "semi-gt": lambda w, aL: aL < ((1 - w**2) / abs(w) if w < 0 else 2),
    "non-gt": lambda w, aL: aL < (1 + w) ** 2 / 2,
}


@pytest.mark.parametrize("row", BOUNDS)
def test_stability_bounds(row):
    """s++ = 2 w s+ - w^c s - w^a aL (s+ - s) is stable within the bounds of docs/methods.md, and
    for w < 0 only there."""
    a, c = POWERS[row]
    for w in np.linspace(-0.99, 0.99, 45):
        for aL in np.linspace(0.013, 1.487, 41):
            roots = np.roots([1, w**a * aL - 2 * w, w**c - w**a * aL])
            stable = bool(np.abs(roots).max() < 1)
            if BOUNDS[row](w, aL):
                assert stable, (w, aL)
            elif w < 0:
                assert not stable, (w, aL)


@pytest.mark.skipif(standin.compiler() is None, reason="no C compiler: apt install gcc libc6-dev")
def test_what_the_page_on_gpus_shows(folder, monkeypatch):
    """Its problem has the right derivatives, and its test passes."""
    page = {}
    problem, test = (
        body for language, body, _ in blocks(ROOT / "docs" / "gpu.md") if language == "python"
    )
    (folder / "shrunk.py").write_text(problem, encoding="utf-8")
    call(["check", "shrunk.py:Shrunk"])
    exec(problem + test, page)
    page["test_on_a_device"](monkeypatch)

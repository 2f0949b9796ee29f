"""The pages say what is so: their code runs and prints what stands below it, commands parse, configurations are accepted,
links lead somewhere, and what there is is named."""

import contextlib
import io
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mpidbo
import standin
import test_layers
from dense import POWERS
from mpidbo import cli, problems, studies
from mpidbo.algorithms import METHODS, strategies
from mpidbo.algorithms.communication import formula
from mpidbo.config import validate as config
from mpidbo.network import graphs

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(page for where in ("", "docs/", "examples/", "data/", "jobscripts/") for page in ROOT.glob(f"{where}*.md"))
RUN = ["README.md", "docs/adding.md", "docs/studies.md"]
"""Pages whose blocks are run: Python, shell and TOML; docs/methods.md too, which takes longer."""
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
REGISTERS = (METHODS, strategies.STRATEGIES, graphs.TOPOLOGIES, problems.PROBLEMS)


def blocks(page):
    """(language, text, the text block right below it or None) of every fenced block."""
    text = page.read_text(encoding="utf-8")
    found = [(match[1], match[2], match.start(), match.end()) for match in FENCED.finditer(text)]
    for i, (language, body, _, end) in enumerate(found):
        below = found[i + 1] if i + 1 < len(found) and not text[end:found[i + 1][2]].strip() else None
        yield language, body, below[1] if below and below[0] == "text" else None


def commands(page, languages=("sh",), inline=True):
    """The words of every line `mpidbo ...` in code, without what comments say; placeholders for numbers are numbers."""
    text = page.read_text(encoding="utf-8")
    lines = [line for language, body, _ in blocks(page) if language in languages for line in body.splitlines()]
    prose = FENCED.sub("", text)
    if inline:
        lines += re.findall(r"^ {4}(.*)$", prose, re.MULTILINE) + re.findall(r"`([^`\n]+)`", prose)
    for line in lines:
        line = re.sub(r"^(#\s*)?(\$ )?(mpiexec -n \w+ )?", "", line.strip())
        if line.startswith("mpidbo "):
            words = shlex.split(re.split(r"\s{3,}|\s#\s|\s[|>]", line)[0])[1:]
            yield ["8" if word == "N" else word for word in words]


def call(words):
    """A command in this process, without MPI."""
    args = cli.parser().parse_args(words)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert args.call(args, None) == 0, said.getvalue()


def alike(found, expected):
    """Equal words, and numbers equal to one unit of the second digit."""
    found, expected = found.split(), expected.split()
    if len(found) != len(expected):
        return False
    for a, b in zip(found, expected, strict=True):
        try:
            same = abs(float(a.strip("[],'")) - float(b.strip("[],'"))) <= 0.1 * abs(float(b.strip("[],'")))
        except ValueError:
            same = a == b
        if not same:
            return False
    return True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with the examples in it; what a page registers is forgotten afterwards."""
    kept = [dict(register) for register in REGISTERS]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    yield tmp_path
    for register, before in zip(REGISTERS, kept, strict=True):
        register.clear()
        register.update(before)


@pytest.mark.parametrize("page", [*RUN, pytest.param("docs/methods.md", marks=[pytest.mark.slow, pytest.mark.timeout(400)])])
def test_blocks_run(page, folder, monkeypatch):
    """In their order; a first line that names a file writes it."""
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for language, body, below in blocks(ROOT / page):
        named = re.match(r"# ([\w.]+)\n", body)
        if named:
            (folder / named[1]).write_text(body, encoding="utf-8")
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(body, f"{page}: {body[:40]!r}", "exec"), module.__dict__)
            if below is not None:
                assert alike(said.getvalue(), below), f"{page}, below\n{body}\nprints\n{said.getvalue()}"
        elif language == "toml":
            tables = tomllib.loads(body)
            studies.checked(tables, "study") if "study" in tables else config.check({"problem": {"name": "quadratic"}} | tables)
        elif language == "sh":
            for line in body.splitlines():
                run_line(line)


def run_line(line):
    """A line of a shell block: runs are short, and alone; the doctor is not asked."""
    words = re.sub(r"^mpiexec -n \d+ ", "", line.split(" # ")[0].strip())
    if not words.startswith("mpidbo "):
        return
    words = shlex.split(words)[1:]
    short = {"run": ["run.iterations=20", "run.evaluate_every=10"],
             "compare": ["run.iterations=20", "study.seeds=1", 'study.topologies=["ring"]', "tune.budget=50", "tune.iterations=25"]}
    call([*words, *(word for text in short.get(words[0], []) for word in ("--set", text))])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page):
    for words in commands(page):
        if len(words) == 1:
            assert words[0] in ("run", *cli.parser()._subparsers._group_actions[0].choices), words
            continue
        try:
            with contextlib.redirect_stderr(io.StringIO()) as said:
                cli.parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{page.name}: mpidbo {' '.join(words)}\n{said.getvalue()}")


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
        if name != "mpidbo/problems/saddle.py" and name != "mpidbo/algorithms/gda.py":      # examples of what one would add
            assert (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", ["README.md", "docs/methods.md"])
@pytest.mark.parametrize("register", REGISTERS, ids=["methods", "strategies", "topologies", "problems"])
def test_all_there_is_is_named(page, register):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name in register if f"`{name}`" not in text and f"## {name}" not in text and f"**{name}**" not in text] == []


def test_layers_of_the_design():
    """The table below "Layers" is the list that tests/test_layers.py checks, as far as it exists."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Layers")[2]
    said = [row.split() for row in re.findall(r"^\| `([^`]*)` \|", text.partition("\n## ")[0], re.MULTILINE)]
    there = {test_layers.module(path) for path in test_layers.FILES}
    assert [set(row) for row in said] == [set(layer.split()) & there for layer in test_layers.LAYERS]


def test_what_an_iteration_sends():
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").partition("## What an iteration sends")[2]
    rows = re.findall(r"^\| (`.*?) \| ([pqTNb0-9^ +]+).*? \| (\d+)(?:; `([\w-]+)`: (\d))? \|$", text, re.MULTILINE)
    assert len(rows) > 6
    for names, floats, rounds, schedule, fewer in rows:
        for name in re.findall(r"`(.*?)`", names):
            assert sent({"name": name}) == (floats.strip(), int(rounds)), name
            if schedule:
                assert sent({"name": name, "schedule": schedule}) == (floats.strip(), int(fewer)), name


def sent(method):
    checked = config.check({"problem": {"name": "quadratic"}, "method": method})
    return formula(config.rule_of(checked.method, checked.steps, n=2, horizon=1))


@pytest.mark.parametrize("method", ["sparkle-ed", "sun-dsbo"])
def test_every_column_is_defined(method):
    text = (ROOT / "docs" / "notation.md").read_text(encoding="utf-8")
    names = {"sparkle-ed": ["hypergradient_norm", "curvature"], "sun-dsbo": ["refined_residual"]}[method]
    history = mpidbo.solve("quadratic", method, agents=3, iterations=4, evaluate_every=2, metrics=names).history
    missing = [name for name in history if f"`{name}`" not in text]
    assert all(name.startswith(("calls_", "consensus_")) for name in missing), missing


BOUNDS = {
    "ed": lambda w, aL: w > -1 / (3 - 2 * aL) if w < 0 and aL < 1.5 else aL < 2,
    "extra": lambda w, aL: aL < (1 + 3 * w) / 2,
    "gt": lambda w, aL: aL < ((1 + w)**2 / (2 * w**2) if w < 0 else 2),
    "semi-gt": lambda w, aL: aL < ((1 - w**2) / abs(w) if w < 0 else 2),
    "non-gt": lambda w, aL: aL < (1 + w)**2 / 2,
}


@pytest.mark.parametrize("row", BOUNDS)
def test_stability_bounds(row):
    """s++ = 2 w s+ - w^c s - w^a aL (s+ - s) is stable within the bounds of docs/methods.md, and for w < 0 only there."""
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
    problem, test = (body for language, body, _ in blocks(ROOT / "docs" / "gpu.md") if language == "python")
    (folder / "shrunk.py").write_text(problem, encoding="utf-8")
    call(["check", "shrunk.py:Shrunk"])
    exec(problem + test, page)
    page["test_on_a_device"](monkeypatch)

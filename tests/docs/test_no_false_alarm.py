"""No run of a configuration of the examples and pages is said to grow without bound, wherever it
ends."""

import re
import shutil
import tomllib

import pytest
import tomli_w

from mpidbo import cli
from mpidbo.solver import advice
from mpidbo.storage import read_run
from support import ROOT
from support.pages import blocks

PAGES = ("README.md", "docs/tutorial.md", "docs/choosing.md", "docs/troubleshooting.md")
EXAMPLES = (
    "own_problem/my_problem",
    "sun_dsbo/sun_dsbo",
    "topology_per_level/topology_per_level",
    "compressed_messages/compressed_messages",
    "group_weights/group_weights",
    "demo/demo",
)
SLOW = ("examples/demo/demo.toml", "hyper-cleaning")
SHORT = {"iterations": 200, "evaluate_every": 10}


def on_pages():
    """(page, its files, tables) of each configuration that is complete and runs as it stands."""
    for page in PAGES:
        body = [part for _, part, _ in blocks(ROOT / page)]
        files = {named[1]: part for part in body if (named := re.match(r"# (\w+\.py)\n", part))}
        for language, part, _ in blocks(ROOT / page):
            tables = tomllib.loads(part) if language == "toml" else {}
            name = tables.get("problem", {}).get("name", "")
            if name and "slow.py" not in name:  # which is to stall
                yield page, files, tables


def configurations():
    for name in EXAMPLES:
        file = ROOT / "examples" / f"{name}.toml"
        yield f"examples/{name}.toml", {}, tomllib.loads(file.read_text(encoding="utf-8"))
    yield from on_pages()


def cases():
    for where, files, tables in configurations():
        name = tables["problem"]["name"]
        marks = [pytest.mark.slow] if {where, name} & {*SLOW} else []
        yield pytest.param(files, tables, id=f"{where} {name}", marks=marks)


@pytest.mark.parametrize(("files", "tables"), [*cases()])
def test_no_false_alarm(files, tables, tmp_path, monkeypatch, capsys):
    for example in (ROOT / "examples").glob("*/*.py"):
        shutil.copy(example, tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    run = {"agents": 4, **tables.get("run", {}), **SHORT}
    for key in ("stop", "max_seconds", "out", "trace", "device"):
        run.pop(key, None)
    tables = {key: table for key, table in tables.items() if key not in ("study", "tune")}
    (tmp_path / "short.toml").write_text(tomli_w.dumps({**tables, "run": run}))
    assert cli.main(["run", "short.toml", "--out", "out"]) == 0
    history = read_run(tmp_path / "out").columns
    assert "without bound" not in capsys.readouterr().out
    for rows in range(1, len(history["iteration"])):
        begun = {name: values[:rows] for name, values in history.items()}
        assert "without bound" not in advice(begun, {})


def test_there_are_some_of_every_page():
    assert {where for where, _, _ in configurations()} >= {*PAGES}

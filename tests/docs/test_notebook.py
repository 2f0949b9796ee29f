"""The notebooks of examples/ run from top to bottom, the first one here for fewer iterations, and
are committed with their output."""

import importlib.util
import json
import re

import pytest

from support import launch

NEEDED = ("torch", "sklearn", "matplotlib", "nbclient", "ipykernel")
WATCHING = "watch_stop_resume.ipynb"
EXECUTE = """
import json, nbformat
from nbclient import NotebookClient
notebook = nbformat.read("short.ipynb", as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, "run.ipynb")
"""


def printed(cell):
    return "".join(
        "".join(output.get("text", []))
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    )


@pytest.fixture
def notebook(repo):
    return json.loads(
        (repo / "examples" / "notebooks" / "two_losses.ipynb").read_text(encoding="utf-8")
    )


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.timeout(500)
def test_it_runs(notebook, tmp_path):
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[torch,data,plot,test]'")
    text = json.dumps(notebook)
    short = text.replace("iterations=400", "iterations=100")
    assert short != text
    (tmp_path / "short.ipynb").write_text(short)
    ended = launch.mpirun(
        None, ["-c", EXECUTE], cwd=tmp_path, env={"MPLBACKEND": "agg"}, timeout=450
    )
    assert ended.returncode == 0, ended.stderr
    *_, launched, compared = (
        cell
        for cell in json.loads((tmp_path / "run.ipynb").read_text())["cells"]
        if cell["cell_type"] == "code"
    )
    if launch.mpiexec():
        assert "exit code 0" in printed(launched)
        assert printed(compared).count("True") == 3


def test_it_is_committed_as_it_ran(notebook, repo):
    """With every output, none of them an error, and small; its links lead somewhere."""
    links = re.findall(
        r"\]\((\.\.[^)#]*)", "".join("".join(cell["source"]) for cell in notebook["cells"])
    )
    assert links and all((repo / "examples" / "notebooks" / link).exists() for link in links)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])
    assert len(json.dumps(notebook)) < 400_000
    assert printed(cells[-1]).count("True") == 3


def committed(repo):
    path = repo / "examples" / "notebooks" / WATCHING
    return json.loads(path.read_text(encoding="utf-8"))


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_watching_runs(repo, tmp_path):
    """With the numbers with which it is committed, which its pages quote."""
    if missing := [name for name in NEEDED[1:] if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[data,plot,test]'")
    (tmp_path / "short.ipynb").write_text(json.dumps(committed(repo)))
    ended = launch.mpirun(
        None, ["-c", EXECUTE], cwd=tmp_path, env={"MPLBACKEND": "agg"}, timeout=450
    )
    assert ended.returncode == 0, ended.stderr
    found = code(json.loads((tmp_path / "run.ipynb").read_text()))
    said_by = [printed(cell) for cell in found]
    assert "AUC" in said_by[1] and "<svg" in json.dumps(found[1]["outputs"])
    assert "True holdout_loss has not improved by more than 0.01" in said_by[2]
    assert "600 True\nbest: iteration" in said_by[3] and "last: iteration 600" in said_by[3]
    best, begins_at = said_by[4].split()
    assert best == begins_at and "stopped by the caller" in said_by[5]
    assert "report.html True" in said_by[6]
    usual, tuned = (float(line.split()[-1]) for line in said_by[7].splitlines()[-2:])
    assert "alpha" in said_by[7] and tuned < 0.5 * usual


def test_watching_is_committed_as_it_ran(repo):
    notebook = committed(repo)
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    links = re.findall(r"\]\((\.\.[^)#]*)", text)
    assert links and all((repo / "examples" / "notebooks" / link).exists() for link in links)
    for word in ("callback", "progress=True", "best=", "resume=", "write_report", 'steps="auto"'):
        assert word in text
    cells = code(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])
    assert len(json.dumps(notebook)) < 400_000

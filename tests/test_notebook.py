"""examples/two_losses.ipynb runs from top to bottom, here for fewer iterations, and is committed with its output."""

import importlib.util
import json
import re

import pytest

import launch

NEEDED = ("torch", "sklearn", "matplotlib", "nbclient", "ipykernel")
EXECUTE = """
import json, nbformat
from nbclient import NotebookClient
notebook = nbformat.read("short.ipynb", as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, "run.ipynb")
"""


def said(cell):
    return "".join("".join(output.get("text", [])) for output in cell.get("outputs", []) if output["output_type"] == "stream")


@pytest.fixture
def notebook(repo):
    return json.loads((repo / "examples" / "two_losses.ipynb").read_text(encoding="utf-8"))


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
    ended = launch.mpirun(None, ["-c", EXECUTE], cwd=tmp_path, env={"MPLBACKEND": "agg"}, timeout=450)
    assert ended.returncode == 0, ended.stderr
    *_, launched, compared = (cell for cell in json.loads((tmp_path / "run.ipynb").read_text())["cells"] if cell["cell_type"] == "code")
    if launch.mpiexec():
        assert "exit code 0" in said(launched)
        assert said(compared).count("True") == 3


def test_it_is_committed_as_it_ran(notebook, repo):
    """With every output, none of them an error, and small; its links lead somewhere."""
    links = re.findall(r"\]\((\.\.[^)#]*)", "".join("".join(cell["source"]) for cell in notebook["cells"]))
    assert links and all((repo / "examples" / link).exists() for link in links)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])
    assert len(json.dumps(notebook)) < 400_000
    assert said(cells[-1]).count("True") == 3

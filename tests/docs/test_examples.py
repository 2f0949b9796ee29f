"""Every file of examples/ runs, here for a few iterations (the demo: test_demo.py;
hyper_cleaning_conv: test_torch.py)."""

import os
import runpy
import shutil

import numpy as np
import pytest
from scipy.optimize import minimize

import mpidbo
from mpidbo import cli
from mpidbo.problems.projections import simplex
from mpidbo.storage import read_run
from support import ROOT
from support.pages import blocks, run_line

STORIES = sorted((ROOT / "examples").glob("*/README.md"))
SHORT = {
    "own_problem/my_problem": ["run.iterations=600"],
    "sun_dsbo/sun_dsbo": ["run.iterations=1000"],
    "topology_per_level/topology_per_level": ["run.iterations=200"],
    "compressed_messages/compressed_messages": ["run.iterations=300"],
    "slurm/long_run": ["run.iterations=60", "run.evaluate_every=30"],
    "hyper_cleaning/hyper_cleaning_mnist": [
        "run.iterations=60",
        "run.evaluate_every=30",
        "problem.hidden=[16]",
        "problem.n_train=2000",
        "problem.n_validation=500",
        "steps.alpha=100",
    ],
}
BETTER = {
    "own_problem/my_problem": "error",
    "sun_dsbo/sun_dsbo": "distance",
    "topology_per_level/topology_per_level": "distance",
    "compressed_messages/compressed_messages": "distance",
    "slurm/long_run": "upper_loss",
    "hyper_cleaning/hyper_cleaning_mnist": "upper_loss",
}
"""The metric that must at least halve."""


def run(line):
    """A command in this process, without MPI."""
    args = cli.parser().parse_args([str(word) for word in line])
    return args.call(args, None)


def shell(page):
    """The lines of all shell blocks of a page; without one its data are not at hand."""
    return "".join(body for language, body, _ in blocks(page) if language == "sh")


def story(page):
    """A page whose commands are run, with the marks of what it needs."""
    name = page.parent.name
    marks = [pytest.mark.torch] if name in ("hyper_cleaning_conv", "language_model") else []
    marks += [pytest.mark.slow] if name != "compressed_messages" else []
    return pytest.param(page, id=name, marks=marks)


def test_all_are_run(repo):
    folder = repo / "examples"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml")}
    assert files == {
        "demo/demo",
        "group_weights/group_weights",
        "hyper_cleaning/study_mnist",
        "hyper_cleaning_conv/hyper_cleaning_conv",
        "language_model/language_model",
        *SHORT,
    }
    table = (folder / "README.md").read_text()
    gallery = (repo / "docs" / "gallery.md").read_text()
    assert all(f"[{path.parent.name}](" in table for path in folder.glob("*/*.[tp]*"))
    assert all(f"(../examples/{page.parent.name}/README.md)" in gallery for page in STORIES)


@pytest.mark.parametrize("page", [story(page) for page in STORIES if shell(page)])
def test_stories(page, repo, tmp_path, monkeypatch):
    """The commands of a page in their order, with few iterations; they write its figure.

    The transformer is a smaller one.
    """
    shutil.copytree(repo / "examples", tmp_path / "examples")
    network = tmp_path / "examples" / "language_model" / "language_model.py"
    whole = network.read_text(encoding="utf-8")
    small = whole.replace("problem = problem_of()", "problem = problem_of(width=16, layers=1)")
    assert small != whole
    network.write_text(small, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    figure = tmp_path / "examples" / page.parent.name / "figure.png"
    lines = [line for line in shell(page).splitlines() if line.startswith("mp")]
    drawn = [line for line in lines if line.endswith("figure.png")]
    if drawn:
        figure.unlink()
    for line in lines:
        run_line(line.partition(" > ")[0])
    assert figure.exists() == page.with_name("figure.png").exists()


@pytest.mark.parametrize("name", SHORT)
def test_configurations(repo, tmp_path, monkeypatch, shared_data, name):
    monkeypatch.chdir(tmp_path)  # paths are relative to the file
    settings = list(SHORT[name])
    if name == "hyper_cleaning/hyper_cleaning_mnist":
        settings.append(f"problem.data={shared_data('mnist')}")
    line = ["run", os.path.relpath(repo / "examples" / f"{name}.toml"), "--out", tmp_path / "run"]
    assert run([*line, *(word for text in settings for word in ("--set", text))]) == 0
    found = read_run(tmp_path / "run").columns[BETTER[name]]
    assert found[-1] < 0.5 * found[0]


@pytest.mark.slow
def test_the_study(repo, tmp_path, shared_data):
    settings = [
        "study.seeds=1",
        "tune.budget=4",
        "tune.iterations=2",
        "run.iterations=8",
        "run.evaluate_every=4",
        "problem.n_train=400",
        "problem.n_validation=100",
        f"problem.data={shared_data('mnist')}",
    ]
    line = ["compare", repo / "examples" / "hyper_cleaning" / "study_mnist.toml", "--out", tmp_path]
    assert run([*line, *(word for text in settings for word in ("--set", text))]) == 0
    assert len(list(tmp_path.glob("*/*/seed-0/done"))) == 6 and (tmp_path / "curves.png").exists()


def test_my_problem_is_right(repo):
    assert run(["check", f"{repo / 'examples' / 'own_problem' / 'my_problem.py'}:Ridge"]) == 0


def test_group_weights(repo, tmp_path, monkeypatch):
    """Against scipy: y* is a projection, and the maximum over y is a convex function of x."""
    path = str(repo / "examples" / "group_weights" / "group_weights.py")
    assert run(["check", f"{path}:GroupWeights"]) == 0
    assert (
        run(
            [
                "run",
                repo / "examples" / "group_weights" / "group_weights.toml",
                "--out",
                tmp_path / "run",
            ]
        )
        == 0
    )
    found = mpidbo.load(tmp_path / "run")
    module = runpy.run_path(path)
    n = len(found.x)
    team = [module["GroupWeights"](agent, n, xp=np, seed=0) for agent in range(n)]

    def mean(name, x, y):
        return np.mean([getattr(agent, name)(x, y, None) for agent in team], axis=0)

    def best(x):
        y = np.full(4, 0.25)
        return simplex(y + mean("f_y", x, y) / module["SMOOTHING"])

    least = minimize(
        lambda x: mean("f", x, best(x)),
        np.zeros(10),
        jac=lambda x: mean("f_x", x, best(x)),
        options={"gtol": 1e-9},
    )
    y = best(least.x)
    assert (y == 0).any()
    assert np.abs(found.x - least.x).max() < 1e-5 and np.abs(found.y - y).max() < 1e-5
    assert found.columns["phi"][-1] == pytest.approx(least.fun, abs=1e-8)


@pytest.mark.long
def test_solve_on_ranks_as_alone(mpi, repo):
    alone, ranks = (
        mpi(n, [*(["-m", "mpi4py"] if n else []), repo / "examples" / "solve" / "solve.py", "600"])
        for n in (0, 2)
    )
    assert alone.returncode == 0, alone.stderr
    assert ranks.returncode == 0, ranks.stderr
    assert alone.stdout == ranks.stdout
    last = {line[:29].strip(): float(line.split()[-2]) for line in alone.stdout.splitlines()[3:]}
    assert last["SPARKLE-ED"] < 0.07 and last["D-SOBA"] > 0.1


def test_my_problem_on_ranks(mpi, repo, tmp_path):
    done = mpi(
        3,
        [
            "-m",
            "mpidbo",
            "run",
            repo / "examples" / "own_problem" / "my_problem.toml",
            "--out",
            tmp_path / "run",
            "--set",
            "run.iterations=50",
        ],
    )
    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "run").iteration == 50

"""`mpidbo new`: every folder that it makes runs as it is."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mpidbo
from mpidbo import cli, config
from mpidbo.cli.new import command as starter
from mpidbo.config import toml as reading
from mpidbo.storage import files, trees
from support import launch
from support.nested import same
from support.runs import same as same_files

pytest.importorskip(
    "sklearn", reason="the starters' data are scikit-learn's: pip install 'mpidbo[data]'"
)
EACH = [
    "numpy",
    *(pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("torch", "jax")),
]


@pytest.fixture(scope="module")
def starters(tmp_path_factory):
    """starters(framework) -> its folder, made once, or a skip."""
    place = tmp_path_factory.mktemp("new")

    def folder(framework):
        pytest.importorskip(framework)
        if not (place / framework).exists():
            with pytest.MonkeyPatch.context() as here:
                here.chdir(place)
                assert cli.main(["new", framework, "--framework", framework]) == 0
        return place / framework

    return folder


@pytest.fixture
def inside(starters, monkeypatch):
    """inside(framework): the same, as the working folder."""

    def enter(framework):
        monkeypatch.chdir(starters(framework))
        return Path.cwd()

    return enter


def ran(out, *settings):
    """The run of the working folder's configuration, for 100 iterations."""
    words = [word for text in ("run.iterations=100", *settings) for word in ("--set", text)]
    assert cli.main(["run", "config.toml", "--out", str(out), "--resume", "never", *words]) == 0
    return mpidbo.load(out)


@pytest.mark.parametrize("framework", EACH)
def test_derivatives(inside, framework, capsys):
    """Of the full batch and of draws; every method has what it needs."""
    inside(framework)
    for words in ([], ["--set", "batch=5"]):
        assert cli.main(["check", "losses.py:problem", *words]) == 0
        printed = capsys.readouterr().out
        assert (
            len(re.findall("  ok  ", printed)) == (12 if words else 11)
            and "WRONG" not in printed
            and "    not " not in printed
        )


@pytest.mark.parametrize("framework", EACH)
def test_it_runs(inside, tmp_path, framework):
    inside(framework)
    found = ran(tmp_path / "out")
    assert found.history["upper_loss"].iloc[-1] < 0.4 * found.history["upper_loss"].iloc[0]
    assert found.history["test_accuracy"].iloc[-1] > 0.9 and found.config.run.agents == 8
    assert (
        {*found.y_tree} == {"weight", "bias"}
        and found.y_tree["weight"].shape == (30,)
        and found.y_tree["bias"].shape == ()
    )
    assert (
        ran(tmp_path / "drawn", "problem.batch=5").history["upper_loss"].iloc[-1]
        < 0.5 * found.history["upper_loss"].iloc[0]
    )


@pytest.mark.parametrize("framework", EACH[1:])
def test_the_task_is_the_same(inside, tmp_path, framework):
    inside("numpy")
    by_hand = ran(tmp_path / "numpy")
    inside(framework)
    automatic = ran(tmp_path / framework)
    assert np.allclose(automatic.x, by_hand.x, rtol=0, atol=1e-9) and np.ptp(by_hand.x) > 0.1
    assert np.allclose(
        automatic.history["test_accuracy"], by_hand.history["test_accuracy"], rtol=0, atol=1e-6
    )


@pytest.mark.long
def test_on_ranks_as_alone(mpi, inside, tmp_path):
    inside("numpy")
    ran(tmp_path / "alone")
    done = mpi(
        2,
        [
            "-m",
            "mpi4py",
            "-m",
            "mpidbo",
            "run",
            "config.toml",
            "--out",
            tmp_path / "ranks",
            "--set",
            "run.iterations=100",
        ],
        cwd=Path.cwd(),
    )
    assert done.returncode == 0, done.stderr
    assert same_files(tmp_path / "alone", tmp_path / "ranks")
    assert same(*(trees.read(tmp_path / name / files.TREES)[0] for name in ("alone", "ranks")))


@pytest.mark.parametrize("framework", EACH)
def test_configuration(inside, capsys, framework):
    """All keys are known, also those that stand there as comments."""
    folder = inside(framework)
    text = (folder / "config.toml").read_text()
    uncommented, n = re.subn(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)
    assert n == 3
    (folder / "all.toml").write_text(uncommented)
    for name in ("config.toml", "all.toml"):
        assert config.check(reading.load(folder / name)).run.out == str(folder / "runs" / "first")
        assert cli.main(["run", name, "--dry-run"]) == 0
        assert "8 agents" in capsys.readouterr().out


@pytest.mark.parametrize("framework", EACH)
def test_files(inside, framework):
    """Nothing is left of the templates, and README.md describes every file."""
    folder = inside(framework)
    names = {path.name for path in folder.iterdir() if path.is_file()} - {"all.toml"}
    assert names == {"losses.py", "config.toml", "job.sbatch", "README.md"}
    readme = (folder / "README.md").read_text()
    assert all(name in readme for name in names - {"README.md"}) and readme.startswith(
        f"# {framework}\n"
    )
    assert not re.search(r"^@|\$\w", readme + (folder / "losses.py").read_text(), re.MULTILINE)
    assert (f"mpidbo[{framework}]" in readme) == (framework != "numpy")
    for words in re.findall(
        r"^ {4}(?:mpiexec -n 4 )?mpidbo (.*?)(?: {3}.*)?$", readme, re.MULTILINE
    ):
        cli.parser().parse_args(words.split())


@pytest.mark.long
def test_job_script(mpi, starters, tmp_path):
    """It is that of `mpidbo jobscript` and runs, with the launcher of this machine for srun."""
    folder = shutil.copytree(starters("numpy"), tmp_path / "other")
    script = (folder / "job.sbatch").read_text()
    assert (
        "#SBATCH --job-name=numpy\n" in script
        and f"set -- {starters('numpy')}/config.toml" in script
    )
    bash = shutil.which("bash")
    assert subprocess.run([bash, "-n", folder / "job.sbatch"], timeout=30).returncode == 0
    launcher = " ".join(launch.command(2, [])[:-1])
    env = launch.environment(
        {"LAUNCH": launcher, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    )
    done = subprocess.run(
        [bash, "job.sbatch", "--out", "run", "--set", "run.iterations=20"],
        cwd=folder,
        env=env,
        timeout=100,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert mpidbo.load(folder / "run").finished and "finished: " in done.stdout


def test_which_framework(tmp_path, monkeypatch, capsys):
    """The first that is installed, which is said; another by request, and what it lacks."""
    monkeypatch.chdir(tmp_path)
    for here, name in (
        ({"torch", "jax", "numpy", "sklearn"}, "PyTorch"),
        ({"jax", "numpy", "sklearn"}, "JAX"),
        ({"numpy"}, "NumPy"),
    ):
        monkeypatch.setattr(starter, "_installed", here.__contains__)
        assert cli.main(["new", name]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(
            f"{name}: losses.py (in {name}, which is installed; "
            "--framework torch|jax|numpy chooses), config.toml"
        )
        assert ("pip install" in printed) == (
            name == "NumPy"
        ) and f"    cd {name}\n    mpidbo check losses.py:problem\n" in printed
    assert cli.main(["new", "asked", "--framework", "torch"]) == 0
    printed = capsys.readouterr().out
    assert (
        "pip install 'mpidbo[torch]'    # torch is not installed here\n" in printed
        and "mpidbo[data]" in printed
    )
    assert "import torch" in (tmp_path / "asked" / "losses.py").read_text()


def test_what_is_installed():
    assert starter._installed("numpy") and not starter._installed("no_such_module")
    assert starter._installed("torch") == (importlib.util.find_spec("torch") is not None)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-n1", "a/b", "a b", "/tmp", "a\n"])
def test_names_that_are_none(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "--framework", "numpy", "--", name]) == 2
    assert capsys.readouterr().err == (
        f"mpidbo: new: {starter.shown(name)} is not a name for a folder; "
        "use letters, digits, - _ and ., such as my-study\n"
    )
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("mine")
    for name in ("mine", "file"):
        assert cli.main(["new", name]) == 2
        assert (
            capsys.readouterr().err
            == f"mpidbo: new: {tmp_path / name} exists already; choose another name\n"
        )
    assert (tmp_path / "file").read_text() == "mine" and [*(tmp_path / "mine").iterdir()] == []
    assert cli.main(["new", "n" * 300]) == 2
    assert (
        "cannot be made (File name too long); choose another name or folder"
        in capsys.readouterr().err
    )


def test_templates_are_part_of_the_package(repo):
    """What setup.cfg puts into a wheel."""
    text = (repo / "setup.cfg").read_text()
    patterns = re.search(
        r"^mpidbo = (.*)$", text.partition("[options.package_data]")[2], re.MULTILINE
    )[1].split(", ")
    package = repo / "mpidbo"
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    assert {
        path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    } <= shipped

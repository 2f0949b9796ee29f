"""Step sizes that are found do not depend on the number of ranks, and neither does the run."""

import pytest

from mpidbo import cli
from mpidbo.storage import files
from support.runs import QUADRATIC, same, toml

AUTO = {
    **{key: QUADRATIC[key] for key in QUADRATIC if key != "steps.alpha"},
    "run.agents": 5,
    "steps": "auto",
}
CASES = {
    "sparkle": {},
    "own graph of x": {"method.name": "sun-dsbo-gt", "topology.upper": {"name": "complete"}},
    "graphs that change": {"topology.name": "matching", "method.strategy": "gt"},
    "links that fail": {"topology.name": "ring", "topology.drop": 0.2, "method.strategy": "gt"},
    "compressed": {
        "method.strategy": {"name": "choco", "compress": "random-k", "k": 0.4},
        "run.iterations": 60,
    },
    "personalized": {"method.name": "maml"},
    "two losses of one variable": {"method.name": "single-level"},
    "pilots that diverge": {"problem": {"name": "compositional"}},
    "small batches": {
        "problem": {"name": "hyper-cleaning", "data": "digits", "batch": 4, "ridge": 0.1},
        "method.name": "f2sa",
    },
}


def with_case(case):
    """A configuration; a whole [problem] takes the place of the quadratic one."""
    tables = {**AUTO, **CASES[case]}
    whole = "problem" in tables
    return {key: tables[key] for key in tables if not (whole and key.startswith("problem."))}


def tuned(run, path, out):
    """What `mpidbo tune` prints and writes; `run` is the command on some ranks."""
    text = run(["tune", str(path), "--out", str(out)])
    return text.replace(str(out), ""), out.read_bytes()


def ranks(mpi, n):
    """The command on n ranks, which returns what they print."""

    def run(words):
        done = mpi(n, ["-m", "mpidbo", *words])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def alone(capsys):
    """The command in this process, which returns what it prints."""

    def run(words):
        assert cli.main(words) == 0
        return capsys.readouterr().out

    return run


def test_tune_on_two_ranks(mpi, alone, tmp_path):
    path = toml(tmp_path, with_case("sparkle"))
    one, two = (
        tuned(alone, path, tmp_path / "1.toml"),
        tuned(ranks(mpi, 2), path, tmp_path / "2.toml"),
    )
    assert one == two


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.slow if i else pytest.mark.long)
        for i, case in enumerate(CASES)
    ],
)
def test_a_run_on_two_ranks(case, mpi, alone, tmp_path):
    path = toml(tmp_path, with_case(case))
    for name, run in (("1", alone), ("2", ranks(mpi, 2))):
        run(["run", str(path), "--out", str(tmp_path / name)])
    assert same(tmp_path / "1", tmp_path / "2")
    one, two = [(tmp_path / name / files.CONFIG).read_text() for name in "12"]
    assert "[tuning]" in one and one == two.replace(f"{tmp_path}/2", f"{tmp_path}/1")
    # The pilots leave no trace: a run that is given the numbers has the same bits.
    alone(["run", str(tmp_path / "1" / files.CONFIG), "--out", str(tmp_path / "3")])
    assert same(tmp_path / "1", tmp_path / "3")

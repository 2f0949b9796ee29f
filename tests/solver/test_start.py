"""Where a run starts, by arguments of `solve`, and that its files know it."""

import logging

import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.problems import Quadratic
from mpidbo.storage import files
from support.runs import kept, same

RUN = {"agents": 2, "iterations": 12, "evaluate_every": 4}
X, Y = np.arange(5.0), np.linspace(-1, 1, 5)


class Layers(Quadratic):
    def start(self):
        return np.full(5, 0.25), np.full(5, 0.5)

    def x_tree(self, x):
        return {"first": x[3:].astype(np.float32), "rest": [x[:3].reshape(3, 1), None]}


TREE = {"first": X[3:], "rest": (X[:3, None].tolist(), None)}


def first(**arguments):
    """The start of a run."""
    with mpidbo.Solver(**{"problem": Layers, **RUN, **arguments}) as solver:
        progress = next(solver)
    return progress.x_mean, progress.y_mean


@pytest.mark.parametrize(
    ("arguments", "x", "y"),
    [
        ({}, 0.25, 0.5),
        ({"x0": X}, X, 0.5),
        ({"y0": Y.tolist()}, 0.25, Y),
        ({"x0": TREE, "y0": tuple(Y)}, X, Y),
        ({"x0": X.astype(np.int32), "dtype": "float32"}, X, 0.5),
    ],
)
def test_arrays_and_trees(arguments, x, y):
    found = first(**arguments)
    assert np.array_equal(found[0], np.broadcast_to(x, 5))
    assert np.array_equal(found[1], np.broadcast_to(y, 5))


def test_long_vectors_have_places_in_any_type():
    from mpidbo.problems import vector_of

    class Half:
        def x_tree(self, x):
            return [x[::-1].astype(np.float16)]

    x = np.random.default_rng(0).standard_normal(5000)
    assert np.array_equal(vector_of(Half(), "x", [x[::-1]], 5000, "x0"), x)


@pytest.mark.torch
def test_a_module():
    torch = pytest.importorskip("torch")
    losses = mpidbo.from_torch(
        f=lambda x, y, batch: (x * x).sum() + y.weight.sum(),
        g=lambda x, y, batch: (y(batch) ** 2).sum() + y.weight.square().sum() * x.exp().sum(),
        x0=torch.zeros(3),
        y0=torch.nn.Linear(2, 1),
        data=[*np.random.default_rng(0).standard_normal((2, 8, 2))],
    )
    given = {"weight": torch.full((1, 2), 3.0), "bias": np.array([4.0])}
    progress = next(mpidbo.Solver(losses, **RUN, x0=torch.ones(3), y0=given))
    assert progress.y_tree["weight"].tolist() == [[3.0, 3.0]]
    assert progress.y_tree["bias"].tolist() == [4.0] and progress.x_mean.tolist() == [1.0] * 3
    other = torch.nn.Linear(2, 1)
    progress = next(mpidbo.Solver(losses, **RUN, y0=other))
    assert np.allclose(progress.y_tree["weight"], other.weight.detach().numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x0": np.ones(4)}, r"x0: an array of shape \(4,\), not a dict with first and rest"),
        ({"y0": np.ones(4)}, r"y0: shape \(4,\) does not fit; give an array of shape \(5,\)"),
        ({"x0": {"first": X[3:]}}, "x0: rest is missing; give a dict with first and rest"),
        ({"x0": {**TREE, "b": 1}}, "x0: b is not known; give a dict with first and rest"),
        ({"x0": {**TREE, "rest": X[:3]}}, r"x0: rest: an array of shape \(3,\), not a list of 2"),
        ({"x0": X * np.nan}, "x0: not finite"),
        ({"x0": X * 1j}, "x0: complex128, not real numbers"),
        ({"y0": "zeros"}, "y0: .* is not an array of numbers"),
        ({"x0": X, "start": "a.h5"}, "x0: start gives both x and y; leave one of the two out"),
        ({"start": 3}, "start: 3 is not an earlier run; give a Result"),
        ({"start": "y" * 300}, r"start: .*: cannot be read \(File name too long\); give a run's"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(mpidbo.UserError, match=message):
        first(**arguments)


class Squared(Quadratic):
    def x_tree(self, x):
        return x**2


def test_a_form_that_is_no_rearrangement():
    with pytest.raises(mpidbo.UserError, match="is not a rearrangement of the vector"):
        first(problem=Squared, x0={"a": X})
    assert first(problem=Squared, x0=X)[0].tolist() == X.tolist()


def test_an_earlier_run(tmp_path):
    earlier = mpidbo.solve("quadratic", **RUN, out=tmp_path / "a")
    earlier.save(tmp_path / "b.h5")
    starts = [earlier, mpidbo.load(tmp_path / "a"), tmp_path / "a", str(tmp_path / "b.h5")]
    found = [first(problem="quadratic", start=start) for start in starts]
    assert all(np.array_equal(x, earlier.x_mean) for x, _ in found)
    assert all(np.array_equal(y, earlier.y_mean) for _, y in found)


def test_a_folder_keeps_the_start(tmp_path, monkeypatch):
    """Its config.toml can be run, and another start is another run."""
    out = tmp_path / "out"
    run = {"problem": "quadratic", **RUN, "out": out, "x0": X, "y0": Y}
    whole = mpidbo.solve(**{**run, "out": tmp_path / "whole"})
    mpidbo.solve(**run, callback=lambda progress: progress.iteration == 4)
    assert kept(out) == [4]
    other, start = "holds another run, which differs in run.start", (out / files.START).read_bytes()
    for change in ({"x0": -X}, {"y0": None}, {"x0": None, "y0": None}):
        with pytest.raises(mpidbo.UserError, match=other):
            mpidbo.solve(**{**run, **change}, resume="auto")
        assert (out / files.START).read_bytes() == start
    result = mpidbo.solve(**run, resume="must")
    assert np.array_equal(result.x, whole.x) and same(tmp_path / "whole", out)
    again = mpidbo.solve(**run, resume="auto")
    assert np.array_equal(again.x, whole.x) and again.nit == 12 and again.success
    assert again.history["upper_loss"].tolist() == whole.history["upper_loss"].tolist()
    with pytest.raises(mpidbo.UserError, match=other):
        mpidbo.solve(**{**run, "x0": -X}, resume="auto")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", str(out / "config.toml"), "--out", str(tmp_path / "copy")]) == 0
    assert same(tmp_path / "whole", tmp_path / "copy")
    assert cli.main(["run", str(out / "config.toml"), "--out", str(out), "--resume", "never"]) == 0
    assert same(tmp_path / "whole", out) and (out / files.START).is_file()


def test_resume(tmp_path, caplog):
    run = {"problem": "quadratic", **RUN, "out": tmp_path / "out"}
    with pytest.raises(mpidbo.UserError, match="holds no checkpoint"):
        mpidbo.solve(**run, resume="must")
    first = mpidbo.solve(**run, resume="auto", checkpoint={"every": 3, "keep": 4})
    assert kept(tmp_path / "out") == [3, 6, 9, 12]
    with caplog.at_level(logging.INFO, "mpidbo"):
        longer = mpidbo.solve(**{**run, "iterations": 20}, resume="auto", checkpoint=0)
    assert "resuming from iteration 12" in caplog.messages and longer.nit == 20
    whole = mpidbo.solve("quadratic", **{**RUN, "iterations": 20})
    assert np.array_equal(longer.x, whole.x) and not np.array_equal(first.x, whole.x)
    with pytest.raises(mpidbo.UserError, match=r"holds another run, which differs in run\.seed"):
        mpidbo.solve(**run, resume="auto", seed=5)
    with pytest.warns(UserWarning, match=r"held a run, and is now .*out\.1") as caught:
        mpidbo.solve(**run)
    assert caught[0].filename == __file__, "the warning is at the line of the caller"


def test_the_number_of_agents_is_that_of_the_first_start(tmp_path):
    mpidbo.solve("quadratic", agents=3, iterations=2, out=tmp_path / "out")
    result = mpidbo.solve("quadratic", iterations=4, out=tmp_path / "out", resume="auto")
    assert result.config.run.agents == 3 and result.nit == 4


SCRIPT = """
import sys
from mpi4py import MPI
import numpy as np
import mpidbo
sys.path.insert(0, {tests!r})
from solver.test_start import RUN, X

comm = MPI.COMM_WORLD
x0 = X + (comm.rank == 1) if len(sys.argv) > 2 else X
result = mpidbo.solve("quadratic", **{{**RUN, "agents": 3}}, x0=x0, out=sys.argv[1], resume="must",
                      comm=comm, gather=False)
assert result.x.shape == (1, 5)
again = mpidbo.solve("quadratic", **{{**RUN, "agents": 3}}, x0=x0, out=sys.argv[1], resume="auto",
                     comm=comm, gather=False)
assert np.array_equal(again.x, result.x) and again.success
"""


@pytest.mark.long
def test_on_several_ranks(mpi, repo, tmp_path):
    """Begun in one process; a start that is not the same on every rank is refused."""
    run = {"problem": "quadratic", **RUN, "agents": 3, "x0": X}
    for name in ("out", "whole"):
        mpidbo.solve(
            **run,
            out=tmp_path / name,
            callback=lambda progress, name=name: name == "out" and progress.iteration == 8,
        )
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(repo / "tests")))
    done = mpi(3, ["-m", "mpi4py", script, tmp_path / "out", "different"])
    assert done.returncode != 0 and "solve: ranks disagree: x is float64 array (5,)" in done.stderr
    done = mpi(3, ["-m", "mpi4py", script, tmp_path / "out"])
    assert done.returncode == 0, done.stderr
    assert same(tmp_path / "whole", tmp_path / "out")

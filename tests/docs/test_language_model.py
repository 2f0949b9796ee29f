"""examples/language_model, with a small network and little text."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mpidbo[torch]'")

from mpidbo.storage import read_run
from support.runs import kept, same

pytestmark = [pytest.mark.torch, pytest.mark.long]
SMALL = """
import sys
sys.path.insert(0, {folder!r})
from language_model import problem_of
lengths = {{"length": 700, "validation": 200, "test": 100}}
problem = problem_of(width=8, layers=1, heads=2, context=16, batch=2, **lengths)
"""


@pytest.fixture
def start(mpi, repo, tmp_path):
    """start(ranks, out, **settings): run the example's configuration, to iteration 6."""
    folder = repo / "examples" / "language_model"
    (tmp_path / "small.py").write_text(SMALL.format(folder=str(folder)))

    def start(ranks, out, **settings):
        settings = {"iterations": 6, "evaluate_every": 3, **settings}
        words = ["--set", f"problem.name={tmp_path / 'small.py'}:problem"]
        for name, value in settings.items():
            words += ["--set", f"run.{name}={value}"]
        words += ["--set", "checkpoint.every=3", "--out", tmp_path / out]
        done = mpi(ranks, ["-m", "mpidbo", "run", folder / "language_model.toml", *words])
        assert done.returncode == 0, done.stderr
        return tmp_path / out

    return start


def test_resumed_on_other_ranks_it_has_the_same_bits(start):
    alone = start(0, "alone")
    resumed = start(2, "resumed", iterations=3)
    assert kept(resumed) == [3]
    start(4, "resumed")
    assert same(alone, resumed)
    found = read_run(resumed)
    weights = np.array([found.columns[f"weight_{name}"] for name in ("numpy", "scipy", "noise")])
    assert (weights[:, 0] == 0.25).all() and (weights[:, -1] != 0.25).all()
    assert found.columns["test_loss"][-1] < found.columns["test_loss"][0]

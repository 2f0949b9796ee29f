"""Samples that are held out: chosen by seed and agent, seen by no loss, and judged by the metrics;
without the option everything is as it was."""

import numpy as np
import pytest

import mpidbo
from mpidbo.errors import UserError
from mpidbo.problems.autodiff.batches import Source
from mpidbo.problems.data.holdout import parted
from mpidbo.problems.lookup import problem_class

SAMPLED = {
    "hyper-cleaning": {"n_train": 90, "n_validation": 60},
    "domain-reweighting": {"n_train": 90, "n_validation": 60},
    "hyper-representation": {"n_train": 90, "n_validation": 60, "hidden": [5]},
    "logistic-tuning": {"n_train": 90, "n_validation": 60, "features": 4},
    "australian": {"n_train": 30, "n_validation": 40},
}
AGENTS = 3


def team(name, options, australian, **more):
    if name == "australian":
        options = {**options, **australian}
    elif name != "logistic-tuning":
        pytest.importorskip("sklearn")
    cls = problem_class(name)
    made = [cls(i, AGENTS, xp=np, seed=4, **{**options, **more}) for i in range(AGENTS)]
    rng = np.random.default_rng(1)
    return made, [start + rng.standard_normal(start.size) / 3 for start in made[0].start()]


@pytest.mark.parametrize(("name", "options"), SAMPLED.items())
def test_of_shipped_problems(name, options, australian):
    """The validation samples are parted; each part has the loss of a problem with it alone."""
    whole, (x, y) = team(name, options, australian)
    parts, _ = team(name, options, australian, holdout=0.25)
    for all_of_it, agent in zip(whole, parts, strict=True):
        everything, n = all_of_it.validation, len(all_of_it.validation)
        assert all_of_it.held_out is None
        assert len(agent.held_out) == max(1, int(n / 4 + 0.5)) == n - len(agent.validation)
        rows = {row.tobytes() for part in (agent.validation, agent.held_out) for row in part.X}
        assert rows == {row.tobytes() for row in everything.X}
        assert (agent.train.X == all_of_it.train.X).all() and agent.dims == all_of_it.dims
        found = agent.metrics(x, y)
        assert found.keys() - all_of_it.metrics(x, y).keys() == {"holdout_loss", "holdout_accuracy"}
        all_of_it.validation = agent.held_out
        assert found["holdout_loss"] == all_of_it.f(x, y, None) != agent.f(x, y, None)
        all_of_it.test = agent.held_out
        assert found["holdout_accuracy"] == all_of_it.metrics(x, y)["test_accuracy"]


@pytest.mark.parametrize(("name", "options"), SAMPLED.items())
def test_no_loss_of_shipped_problems_sees_them(name, options, australian):
    """With NaN in their place all oracles and draws are the same."""
    agents, (x, y) = team(name, options, australian, holdout=0.25, batch=4)
    poisoned, _ = team(name, options, australian, holdout=0.25, batch=4)
    for agent, other in zip(agents, poisoned, strict=True):
        other.held_out.X[:] = np.nan
        sample, same = (one.draw(np.random.default_rng(2)) for one in (agent, other))
        assert all((a == b).all() for a, b in zip(sample, same, strict=True))
        for oracle in ("f", "g", "f_x", "f_y", "g_x", "g_y"):
            found, expected = (
                np.asarray(getattr(one, oracle)(x, y, sample)) for one in (other, agent)
            )
            assert found.tobytes() == expected.tobytes(), oracle
        assert np.isnan(other.metrics(x, y)["holdout_loss"])


@pytest.mark.parametrize(
    ("share", "samples", "held_out"),
    [(0.2, 10, 2), (0.25, 10, 3), (0.001, 10, 1), (0.999, 10, 9), (0.5, 2, 1)],
)
def test_how_many(share, samples, held_out):
    left, out = parted(samples, share, seed=1, agent=2, where="")
    assert len(out) == held_out and sorted([*left, *out]) == list(range(samples))
    assert (np.diff(left) > 0).all() and (np.diff(out) > 0).all()
    again = parted(samples, share, seed=1, agent=2, where="")
    assert all((a == b).all() for a, b in zip((left, out), again, strict=True))


def test_seeds_and_agents_choose_differently():
    chosen = {
        (seed, agent): tuple(parted(40, 0.25, seed=seed, agent=agent, where="")[1])
        for seed in range(3)
        for agent in range(3)
    }
    assert len(set(chosen.values())) == 9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"holdout": 1}, "problem.holdout: 1 is not a share of the upper level's samples; give a"),
        ({"holdout": -0.1}, "problem.holdout: -0.1 is not a share"),
        ({"holdout": "half"}, 'problem.holdout: "half" is not a number'),
        (
            {"holdout": 0.5, "n_validation": 4},
            "validation samples of agent 0: of 1 sample none can be held out; set problem.holdout ="
            " 0, or give every agent at least two",
        ),
    ],
)
def test_mistakes(options, words):
    problem = {"name": "logistic-tuning", "n_train": 40, **options}
    with pytest.raises(UserError) as caught:
        mpidbo.solve(problem, agents=4, iterations=1)
    assert words in str(caught.value)


# losses in PyTorch and JAX


class Rows:
    """A map-style data set."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, i):
        return tuple(array[i] for array in self.arrays)


def entries(form, seed, poisoned=None):
    """Features and labels of each agent, with NaN in some rows."""
    rng = np.random.default_rng(seed)
    found = []
    for agent in range(AGENTS):
        A, b = rng.standard_normal((10 + agent, 2)), rng.standard_normal(10 + agent)
        if poisoned is not None:
            A[poisoned[agent]] = np.nan
        found.append({"arrays": (A, b), "dict": {"A": A, "b": b}, "data set": Rows((A, b))}[form])
    return found


@pytest.fixture(
    params=[
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("jax", marks=pytest.mark.jax),
    ]
)
def made(request):
    """made(form, has_own, ...): a problem of losses in PyTorch or JAX."""
    pytest.importorskip(request.param)
    make = getattr(mpidbo, f"from_{request.param}")

    def residuals(y, batch):
        A, b = (batch["A"], batch["b"]) if isinstance(batch, dict) else batch
        return A @ y - b

    def f(x, y, batch):
        return (residuals(y, batch) ** 2).mean()

    def g(x, y, batch):
        return f(x, y, batch) + (1 + (x**2).sum()) * (y**2).sum()

    def metrics(x, y, batch):
        return {"error": abs(residuals(y, batch)).mean()}

    def problem(form, has_own=True, poisoned=None, holdout=0.3, **more):
        held = {"val_data": entries(form, 2, poisoned)} if has_own else {}
        data = entries(form, 1, None if has_own else poisoned)
        return make(
            f, g, 0.5 * np.ones(2), np.zeros(2), data, holdout=holdout, metrics=metrics,
            **held, **more,
        )  # fmt: skip

    return problem


FORMS = ["arrays", "dict", "data set"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("has_own", [True, False])
def test_no_loss_sees_them(form, has_own, made):
    """With NaN in their place a run is the same, and the metrics on them are NaN."""
    chosen = [parted(10 + i, 0.3, seed=5, agent=i, where="")[1] for i in range(AGENTS)]
    clean, poisoned = (
        mpidbo.solve(made(form, has_own, rows, batch=3), iterations=6, evaluate_every=3, seed=5)
        for rows in (None, chosen)
    )
    for name in "xyz":
        assert getattr(clean, name).tobytes() == getattr(poisoned, name).tobytes(), name
    for name in ("upper_loss", "lower_loss", "error"):
        assert np.isfinite(clean.history[name]).all()
        assert clean.history[name].tobytes() == poisoned.history[name].tobytes(), name
    for name in ("holdout_loss", "holdout_error"):
        assert np.isfinite(clean.history[name]).all() and np.isnan(poisoned.history[name]).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_metrics_are_of_the_samples(form, made):
    cls = made(form)
    for agent in range(AGENTS):
        one = cls(agent, AGENTS, xp=np, seed=5)
        A, b = entries("arrays", 2)[agent]
        left, out = parted(len(b), 0.3, seed=5, agent=agent, where="")
        x, y = np.array([0.1, 0.2]), np.array([0.3, -0.4])
        loss = [((A[rows] @ y - b[rows]) ** 2).mean() for rows in (left, out)]
        found = one.metrics(x, y)
        assert one.f(x, y, None) == pytest.approx(loss[0], rel=1e-12)
        assert found["holdout_loss"] == pytest.approx(loss[1], rel=1e-12)
        assert found["holdout_error"] == pytest.approx(abs(A[out] @ y - b[out]).mean(), rel=1e-12)
        assert found["error"] == pytest.approx(abs(A[left] @ y - b[left]).mean(), rel=1e-12)
        option = made(form, holdout=0.0)(agent, AGENTS, xp=np, seed=5, holdout=0.3)
        assert option.metrics(x, y) == found


def test_none_by_default(made):
    one = made("arrays", holdout=0.0)(0, AGENTS, xp=np, seed=5)
    assert one.metrics(*one.start()).keys() == {"error"} and one.held_out is None


def test_a_batch_has_to_fit_what_is_left(made):
    made("arrays", has_own=False, batch=7)(0, AGENTS, xp=np, seed=5)
    words = "problem.batch: 8 samples in a draw, but data of agent 0 has 7"
    with pytest.raises(UserError, match=words):
        made("arrays", has_own=False, batch=8)(0, AGENTS, xp=np, seed=5)
    with pytest.raises(UserError, match=r"problem\.holdout: 2 is not a share"):
        made("arrays", holdout=2)(0, AGENTS, xp=np, seed=5)


def test_data_without_samples():
    class Framework:
        def opened(self, entry):
            return entry

    with pytest.raises(UserError, match="or set batch and holdout to 0"):
        Source(3.0, Framework(), agent=0, name="data", batch=0, key="batch", holdout=0.5)

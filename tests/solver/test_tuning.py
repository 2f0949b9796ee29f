"""steps = "auto": the search, what it is given, and what a run makes of it."""

import math
import re
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import tomli_w

import mpidbo
from mpidbo import config
from mpidbo.algorithms import METHODS, STRATEGIES, Power
from mpidbo.config import first_size
from mpidbo.errors import UserError
from mpidbo.reports import describe_tuning, show
from mpidbo.solver import Pilots, set_up, stable_lower_steps, tuned
from mpidbo.solver.step_search import MAX_DIVERGED, MAX_EXTENSIONS, RATIOS, counted, lengths, search
from mpidbo.solver.stopping import Stopping
from mpidbo.storage import files, read_run
from support.runs import QUADRATIC, run, same, toml

AUTO = {**{key: QUADRATIC[key] for key in QUADRATIC if key != "steps.alpha"}, "steps": "auto"}


def firsts(steps):
    """The first value of each step size, of which some fall."""
    return {key: first_size(value) for key, value in steps.items()}


def valley(at, wall=math.inf):
    """A judgement that is least at an alpha, and infinite from another one on."""
    return lambda alpha, iterations: (
        math.inf if alpha >= wall else math.log(alpha / at) ** 2 / iterations
    )


def found_by(judge, first):
    return search(judge, judge, first, 2000)


@pytest.mark.parametrize("at", [1e-7, 3e-3, 0.011, 1.0, 2e5])
def test_search_finds_the_least_however_far_it_is(at):
    found = found_by(valley(at), 0.01)
    assert 1 / RATIOS[-1] < found.alpha / at < RATIOS[-1]


def test_a_winner_is_never_at_the_edge_of_its_round():
    found = found_by(valley(37.0), 0.01)
    for length in lengths(2000)[:-1]:
        tried = {t.alpha: t.value for t in found.trials if t.iterations == length}
        best = min(tried, key=tried.get)
        assert min(tried) < best < max(tried)
        assert len(tried) == len([t for t in found.trials if t.iterations == length])


def test_divergent_pilots_are_worse_than_all_others():
    wall = 0.5
    found = found_by(valley(10.0, wall), 0.01)
    assert wall / RATIOS[-1] <= found.alpha < wall
    assert any(math.isinf(trial.value) for trial in found.trials)


def test_search_ends_without_a_least():
    found = found_by(lambda alpha, iterations: -alpha, 1.0)
    assert found.alpha > 8.0**MAX_EXTENSIONS and len(found.trials) == 3 * (3 + MAX_EXTENSIONS) + 1
    found = found_by(lambda alpha, iterations: math.inf, 1.0)
    assert math.isinf(found.value) and len(found.trials) == 3 + MAX_DIVERGED


def test_a_flat_judgement_prefers_the_larger():
    found = found_by(lambda alpha, iterations: float(alpha > 1), 0.01)
    assert 1 / RATIOS[-1] < found.alpha <= 1


def test_a_budget_ends_the_rounds_and_the_best_so_far_is_run_for_longer():
    left = iter([True] * 4 + [False])
    found = search(valley(37.0), valley(37.0), 0.64, 2000, lambda length: next(left))
    assert [trial.iterations for trial in found.trials] == [16] * 4 + [160]
    best = min(found.trials[:-1], key=lambda trial: trial.value)
    assert found.alpha == found.trials[-1].alpha == best.alpha == pytest.approx(0.64 * 64)
    assert found.ended == 16


def test_without_a_value_that_works_a_budget_does_not_end_a_round():
    first = iter([True])
    found = search(valley(1.0, 0.001), valley(1.0), 1.0, 2000, lambda length: next(first, False))
    assert found.alpha < 0.001 and found.ended == 16


def test_two_larger_values_are_tried_at_first():
    """Where phi is large for an alpha in between."""
    found = found_by(lambda alpha, iterations: {0.01: 2.0, 0.08: 9.0}.get(alpha, 1 / alpha), 0.01)
    assert found.alpha > 0.08


def spectral_radius(strategy, w, a):
    """Of the step of a strategy as a linear map of (s, memory), for the eigenvalue w of W and
    gradients a s."""

    def stepped(s, m):
        step, answer = strategy(s, a * s, m), None
        try:
            while True:
                sent = step.send(answer)
                answer = tuple(w * v for v in sent) if isinstance(sent, tuple) else w * sent
        except StopIteration as end:
            return end.value

    start = strategy.start(np.ones((1, 1)))
    size = 1 + len(start)
    columns = []
    for unit in np.eye(size):
        s, *parts = (np.full((1, 1), entry) for entry in unit)
        s, m = stepped(s, type(start)(*parts))
        columns.append([float(part[0, 0]) for part in (s, *m)])
    return abs(np.linalg.eigvals(np.array(columns))).max()


SYMMETRIC = [
    name for name, row in STRATEGIES.items() if row.weights == ("W",) and row.compression is None
]


@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("least", [-0.9, -0.6, -0.3, 0.0, 0.4])
def test_the_limits_are_those_of_the_recursions(name, least):
    strategy = STRATEGIES[name]
    bound = strategy.min_eigenvalue
    if bound is not None and least < bound(1):
        return  # refused with this strategy
    limit = strategy.max_step(least)
    assert 0 < limit <= 2
    spectrum = [*np.linspace(least, 1, 60)]
    below = max(spectral_radius(strategy, w, 0.99 * limit) for w in spectrum)
    above = max(spectral_radius(strategy, w, 1.01 * limit) for w in spectrum)
    assert below < 1 + 1e-6 and above > 1 + 1e-5, (below, above)


class Bowls(mpidbo.Problem):
    """f = |y - 1|^2 / 2, g = sum_j h_j (y_j - x_j)^2 / 2 with h of 1, ..., 4 times the agent's."""

    dims = (4, 4)

    def __init__(self, agent, n_agents, *, xp, seed):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.h = np.arange(1.0, 5) * (1 + agent / 10)

    def f(self, x, y, sample):
        return (y - 1) @ (y - 1) / 2

    def g(self, x, y, sample):
        return (y - x) @ (self.h * (y - x)) / 2

    def f_x(self, x, y, sample):
        return 0 * x

    def f_y(self, x, y, sample):
        return y - 1

    def g_x(self, x, y, sample):
        return self.h * (x - y)

    def g_y(self, x, y, sample):
        return self.h * (y - x)

    def g_yy(self, x, y, v, sample):
        return self.h * v

    def g_xy(self, x, y, v, sample):
        return -self.h * v


class FirstOrder(Bowls):
    g_yy = None
    g_xy = None


L = 1.1 * 4 * 1.3
"""1.1 times the largest curvature of four agents of Bowls."""


def planned(problem, method, topology="ring", **steps):
    tables = {
        "problem": {"name": problem},
        "method": {"name": method},
        "topology": topology if isinstance(topology, dict) else {"name": topology},
        "run": {"agents": 4, "iterations": 200},
        "steps": steps,
    }
    return set_up(config.check(tables))


@pytest.mark.parametrize(
    ("problem", "method", "topology", "beta", "gamma"),
    [
        (Bowls, "sparkle-ed", "ring", 1 / L, 1 / L),
        # W of a lazy ring of four has the eigenvalues 1, 2/3, 2/3 and 1/3
        (Bowls, "sparkle-extra", "ring", 0.5 / L, 0.5 / L),
        (Bowls, "sparkle-non-gt", "ring", 4 / 9 / L, 4 / 9 / L),
        # not lazy: 1, 1/3, 1/3 and -1/3
        (Bowls, "sparkle-gt", {"name": "ring", "lazy": False}, 1 / L, 1 / L),
        (Bowls, "sparkle-dgd", {"name": "ring", "lazy": False}, 1 / 3 / L, 1 / 3 / L),
        # the others take local steps in between
        (Bowls, "sparkle-gt", {"name": "ring", "every": 2}, 0.5 / L, 0.5 / L),
        (FirstOrder, "sun-dsbo", "ring", 1 / (L + 1), 1 / (L + 1)),
        (FirstOrder, "f2sa", "ring", 1 / L, 1 / L),
        (Bowls, "adasdbo", "ring", 1.0, 1.0),
    ],
)
def test_steps_of_the_lower_level(problem, method, topology, beta, gamma):
    with planned(problem, method, topology) as setup:
        found = stable_lower_steps(setup, ["beta", "gamma"])
    assert found.steps["beta"] == pytest.approx(beta, rel=1e-3)
    assert found.steps["gamma"] == pytest.approx(gamma, rel=1e-3)


def test_they_keep_a_run_stable():
    """The largest curvature and the smallest eigenvalue at once, which the limits are for."""
    for method in ("sparkle-extra", "sparkle-non-gt", "sparkle-dgd", "d-soba-semi-gt"):
        with planned(Bowls, method, {"name": "ring", "lazy": method[-5:] == "extra"}) as setup:
            steps = stable_lower_steps(setup, ["beta", "gamma"]).steps
        topology = {"name": "ring", "lazy": method[-5:] == "extra"}
        result = mpidbo.solve(
            Bowls, method, topology, agents=4, steps={"alpha": 0.02, **steps}, iterations=400
        )
        assert result.history["phi"][-1] < 0.1 * result.history["phi"][0], method


def test_a_run_is_the_same_as_with_the_numbers_given():
    given = {"agents": 4, "iterations": 60, "evaluate_every": 20}
    topology = {"name": "ring", "drop": 0.2}
    problem = {"name": "quadratic", "noise": 0.2}
    auto = mpidbo.solve(problem, "sparkle-gt", topology, steps="auto", **given)
    steps = dict(auto.config.steps)
    assert steps["theta"] == 0.2 and auto.config.auto == ()
    assert auto.config.tuning["found"] == {key: steps[key] for key in ("alpha", "beta", "gamma")}
    other = mpidbo.solve(problem, "sparkle-gt", topology, steps=steps, **given)
    assert (auto.x == other.x).all() and (auto.y == other.y).all()
    counted = [name for name in auto.history if not name.startswith("seconds")]
    for name in counted:  # no column knows of the pilots
        assert np.array_equal(auto.history[name], other.history[name], equal_nan=True), name
    assert other.config.tuning == {}


def test_the_record():
    result = mpidbo.solve("quadratic", agents=4, steps="auto", iterations=60)
    record = result.config.tuning
    assert record["judge"] == "phi" and record["at_start"] == result.history["phi"][0]
    pilots = record["pilot"]
    steps = result.config.steps
    last = [pilot for pilot in pilots if pilot["iterations"] == pilots[-1]["iterations"]]
    best = min(last, key=lambda pilot: pilot["value"])
    found = firsts(record["found"])
    assert {key: best[key] for key in found} == found
    assert best["value"] < record["at_start"]
    # A pilot that continues where it was takes no more than the iterations that it lacked.
    assert 0 < record["iterations"] < sum(pilot["iterations"] for pilot in pilots)
    assert record["calls"] > 5 * record["iterations"]
    assert record["share"] == pytest.approx(record["calls"] / (5 * 60), rel=0.01)
    text = ", ".join(f"{key} = {value:g}" for key, value in found.items())
    assert f"found: {text}\n" in f"{result!r}\n"
    # The pilots say of their step sizes what runs say.
    length = best["iterations"]
    assert length == 64  # and looked at more closely
    parts = (0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    constant = {**steps, **found}
    again = mpidbo.solve("quadratic", agents=4, steps=constant, iterations=length, evaluate_every=1)
    phi = dict(zip(again.history["iteration"], again.history["phi"], strict=True))
    value = sum(phi[math.ceil(part * 64)] for part in parts) / 9
    assert best["value"] == pytest.approx(value, rel=1e-3)  # the accuracy of a pilot's phi
    with planned("quadratic", "sparkle", **dict.fromkeys(steps, "auto")) as setup:
        fresh = Pilots(setup, Stopping(setup.agents))
        assert best["value"] == fresh.score(constant, length, parts)


def test_a_run_without_iterations():
    """What the search took has no share of it."""
    result = mpidbo.solve("quadratic", agents=4, steps="auto", iterations=0)
    assert "share" not in result.config.tuning and "found: alpha" in repr(result)


@pytest.mark.parametrize(("calls", "ended"), [(0, False), (20, True), (60, True)])
def test_the_search_keeps_to_its_budget(monkeypatch, calls, ended):
    """A phi that takes more calls ends it sooner; the record says so."""

    class Dear(Pilots):
        def _metric(self, k, state):
            value = super()._metric(k, state)
            self.judging += calls * self.setup.agents.n
            return value

    monkeypatch.setattr("mpidbo.solver.tuning.Pilots", Dear)
    with planned("quadratic", "sparkle", alpha="auto", beta="auto", gamma="auto") as setup:
        run = replace(setup.config.run, iterations=2000)
        record = tuned(replace(setup, config=replace(setup.config, run=run))).config.tuning
    assert record["calls"] <= 0.3 * 5 * 2000
    assert ("ended_before" in record) == ended
    assert len(record["pilot"]) > 3 and record["pilot"][-1]["iterations"] == 160


def test_some_and_the_others_given():
    result = mpidbo.solve(
        "quadratic", agents=4, steps={"alpha": 0.05, "beta": "auto"}, iterations=30
    )
    steps = result.config.steps
    assert steps["alpha"] == 0.05 and steps["gamma"] == 0.1
    assert result.config.tuning["found"].keys() == {"beta"}
    assert len(result.config.tuning["pilot"]) == 1
    schedule = {"kind": "staircase", "start": 0.3, "factor": 0.5, "every": 10}
    result = mpidbo.solve(
        "quadratic", agents=4, steps={"alpha": "AUTO", "gamma": schedule}, iterations=30
    )
    assert result.config.steps["gamma"]["factor"] == 0.5 and result.config.steps["beta"] == 0.1


def test_a_default_that_varies_keeps_its_shape():
    result = mpidbo.solve("quadratic", "f2sa", agents=4, steps="auto", iterations=30)
    alpha = result.config.steps["alpha"]
    assert alpha["kind"] == "power" and alpha["exponent"] == -0.3333
    assert alpha["start"] in [pilot["alpha"] for pilot in result.config.tuning["pilot"]]


class Bending(Bowls):
    """g has a curvature of about 0.15 at the start and 100 beyond the minimiser."""

    def start(self):
        return np.zeros(4), np.full(4, -1.0)

    def parts(self, x, y):
        """d, and the positive part of d, smoothed, with its derivatives."""
        d = y - x
        r = np.sqrt(d**2 + 0.09)
        return d, (d + r) / 2, (1 + d / r) / 2, 0.045 / r**3

    def g(self, x, y, sample):
        d, s, _, _ = self.parts(x, y)
        return np.sum(0.005 * d**2 + 50 * s**2 - d)

    def g_y(self, x, y, sample):
        d, s, ds, _ = self.parts(x, y)
        return 0.01 * d + 100 * s * ds - 1

    def g_x(self, x, y, sample):
        return -self.g_y(x, y, sample)

    def g_yy(self, x, y, v, sample):
        _, s, ds, dds = self.parts(x, y)
        return (0.01 + 100 * (ds**2 + s * dds)) * v

    def g_xy(self, x, y, v, sample):
        return -self.g_yy(x, y, v, sample)


class Overflowing(Bowls):
    """f and g overflow where anything moves."""

    def f_x(self, x, y, sample):
        return np.full(4, 1e200)

    def g_y(self, x, y, sample):
        return np.full(4, 1e200)


def test_beta_is_reduced_where_every_pilot_diverges():
    """Where the curvature at the start says little of that along the run."""
    result = mpidbo.solve(Bending, agents=4, steps="auto", iterations=40, evaluate_every=40)
    record = result.config.tuning
    tried = [pilot["beta"] for pilot in record["pilot"]]
    assert tried[0] > 4 > first_size(result.config.steps["beta"]) == tried[-1]
    assert math.isinf(record["pilot"][0]["value"])
    assert result.history["phi"][-1] < result.history["phi"][0]


def test_where_nothing_works():
    with pytest.raises(UserError, match=r'^steps: "auto" finds no step size .* give numbers'):
        mpidbo.solve(Overflowing, agents=2, steps="auto", iterations=10, checks="never")


def test_a_search_without_hope_ends(monkeypatch):
    """Where short pilots go well and all longer ones diverge, whatever alpha and beta are."""
    made = []

    class Failing(Pilots):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

        def metric(self, steps, k):
            value = super().metric(steps, k)
            return math.inf if k > 40 else value

    monkeypatch.setattr("mpidbo.solver.tuning.Pilots", Failing)
    with pytest.raises(UserError, match=r"finds no step size with which a run of 64 iterations"):
        mpidbo.solve("quadratic", agents=2, steps="auto", iterations=10)
    assert made[0].iterations < 2 * counted(10)


def test_a_diverging_pilot_is_a_row_of_the_record():
    result = mpidbo.solve("compositional", agents=4, steps="auto", iterations=10)
    values = [pilot["value"] for pilot in result.config.tuning["pilot"]]
    assert math.inf in values and min(values) < result.config.tuning["at_start"]


EVERYDAY = ("sparkle", "sun-dsbo", "single-level", "maml")


@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=[] if name in EVERYDAY else [pytest.mark.slow]) for name in METHODS],
)
def test_every_method(method):
    """It works, judged by what the method minimises, and gets somewhere."""
    policy = {"name": "policy-evaluation", "states": 5, "p": 3}
    problem = {"gda": "minimax", "dm-hsgd": "minimax", "dsgd": policy}.get(method, "quadratic")
    result = mpidbo.solve(problem, method, agents=3, steps="auto", iterations=50)
    record, rule = result.config.tuning, METHODS[method][0]
    judge = record["judge"]
    assert judge == ("phi" if rule.bilevel and not rule.personalized else "upper_loss")
    values = result.history[judge]
    assert values[-1] < values[0] == record["at_start"]


def test_losses_are_needed():
    class Without(Bowls):
        f = None

    with pytest.raises(UserError, match=r'^steps: "auto" judges step sizes by the upper loss'):
        mpidbo.solve(Without, agents=2, steps="auto", iterations=10)

    class Flat(Bowls):
        def g_yy(self, x, y, v, sample):
            return 0 * v

    with pytest.raises(
        UserError, match=r"^steps.beta: g_yy at the start gives 0, .* give a number"
    ):
        mpidbo.solve(Flat, agents=2, steps="auto", iterations=10, checks="never")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("automatic", '^steps: "automatic" is not a table; write steps = "auto", or '),
        (
            0.1,
            r"^steps: 0.1 is not a table of step sizes; write alpha = 0.1 in \[steps\]",
        ),
        (True, "^steps: true is not a table"),
        ({"alpha": "automatic"}, '^steps.alpha: "automatic" is not a number; .* or "auto"$'),
        ({"theta": "fast"}, '^steps.theta: "fast" is not a number'),
        ({"alfa": "auto"}, "^steps.alfa: unknown key; did you mean alpha"),
    ],
)
def test_wrong_words(steps, message):
    with pytest.raises(UserError, match=message):
        mpidbo.solve("quadratic", agents=2, steps=steps, iterations=10)


def test_a_step_size_that_the_method_lacks():
    with pytest.raises(UserError, match=r"^steps.gamma: not used by single-level"):
        mpidbo.solve("quadratic", "single-level", steps={"gamma": "auto"}, agents=2)


def test_a_restart_takes_the_numbers_of_the_folder(tmp_path, monkeypatch):
    path = toml(tmp_path, AUTO)
    run(path, tmp_path / "whole")
    run(path, tmp_path / "parts", run__iterations=14)
    first = tomllib.loads((tmp_path / "parts" / files.CONFIG).read_text())

    def never(*arguments):
        raise AssertionError("it tunes again")

    monkeypatch.setattr("mpidbo.solver.tuning.tune", never)
    run(path, tmp_path / "parts")
    second = tomllib.loads((tmp_path / "parts" / files.CONFIG).read_text())
    assert second["steps"] == first["steps"] and second["tuning"] == first["tuning"]
    whole = tomllib.loads((tmp_path / "whole" / files.CONFIG).read_text())
    assert whole["steps"] == first["steps"]  # a run that short is tuned as one of 31 iterations
    assert same(tmp_path / "parts", tmp_path / "whole")
    run(path, tmp_path / "parts")  # finished
    # config.toml is a configuration by itself, and another start may say the numbers
    run(tmp_path / "parts" / files.CONFIG, tmp_path / "again")
    assert same(tmp_path / "again", tmp_path / "whole")


def test_a_record_of_other_numbers_is_dropped(tmp_path):
    path = toml(tmp_path, AUTO)
    run(path, tmp_path / "a", run__iterations=10)
    own = tmp_path / "a" / files.CONFIG
    run(own, tmp_path / "b", run__seed=1)
    run(own, tmp_path / "c", steps__alpha=0.001)
    assert "tuning" in tomllib.loads((tmp_path / "b" / files.CONFIG).read_text())
    assert "tuning" not in tomllib.loads((tmp_path / "c" / files.CONFIG).read_text())


def test_a_folder_with_another_run(tmp_path, capsys, monkeypatch):
    """It is refused before any pilot."""
    path = toml(tmp_path, AUTO)
    run(path, tmp_path / "a", steps__alpha=0.01, steps__beta=0.1, steps__gamma=0.1)

    def never(*arguments):
        raise AssertionError("it tunes")

    monkeypatch.setattr("mpidbo.solver.tuning.tune", never)
    run(path, tmp_path / "a", code=2)
    assert 'holds another run, whose step sizes were not found by "auto"' in capsys.readouterr().err


def test_solve_in_a_folder(tmp_path, monkeypatch):
    given = {"agents": 4, "steps": "auto", "out": tmp_path / "a"}
    first = mpidbo.solve("quadratic", iterations=20, **given)

    def never(*arguments):
        raise AssertionError("it tunes again")

    monkeypatch.setattr("mpidbo.solver.tuning.tune", never)
    second = mpidbo.solve("quadratic", iterations=40, resume="auto", **given)
    assert second.config.steps == first.config.steps
    assert second.config.tuning == first.config.tuning
    loaded = mpidbo.load(tmp_path / "a")
    assert loaded.config.tuning == first.config.tuning
    # A table follows the numbers in TOML.
    assert "  (beta, gamma, alpha found by short runs)\n" in show(read_run(tmp_path / "a"))


def test_pilots_go_on_with_the_same_bits():
    with planned("quadratic", "sparkle", alpha=0.01) as setup:
        pilots = Pilots(setup, Stopping(setup.agents))
        steps = [{"alpha": alpha} for alpha in (0.01, 0.1, 0.3)]
        short = [pilots.score(each, 16) for each in steps]
        longer = [pilots.score(each, 32) for each in steps]
        assert short != longer
        fresh = Pilots(setup, Stopping(setup.agents))
        assert [fresh.score(each, 32) for each in steps] == longer
        # The last of the short ones, which was the best, continued.
        assert short[2] == min(short)
        assert pilots.cost().iterations == 3 * 16 + 2 * 32 + 16
        at = [fresh.metric(steps[0], k) for k in (8, 16, 32)]
        assert longer[0] == sum(at) / 3


def test_beta_follows_a_curvature_that_grows():
    """The search ends within its budget with a beta that the last pilot has shown to be stable."""
    tables = {
        "problem": {"name": "meta-learning"},
        "method": {"name": "sparkle"},
        "run": {"agents": 8, "iterations": 2000},
        "steps": "auto",
    }
    with set_up(config.check(tables)) as setup:
        found = tuned(setup).config
    record = found.tuning
    assert record["curvature_of_pilots"] > 2 * record["curvature"]
    assert f"\nalong the pilots it grew to {record['curvature_of_pilots']:.4g}, " in (
        describe_tuning(found)
    )
    first, last = record["pilot"][0], record["pilot"][-1]
    share = last["beta"] / (record["limits"]["beta"] / record["curvature_of_pilots"])
    assert first["beta"] > 2 * last["beta"] and share == pytest.approx(0.5, rel=0.01)
    assert math.isfinite(last["value"]) and last["iterations"] == 160
    assert record["calls"] <= 0.3 * 5 * 2000


def test_a_curvature_that_falls_again_needs_no_margin(monkeypatch):
    values = {16: 5.0, 8: 6.0}
    monkeypatch.setattr(Pilots, "curvature", lambda self, steps, k: values.get(k, 0.0))
    with planned("quadratic", "sparkle", alpha="auto", beta="auto", gamma="auto") as setup:
        run = replace(setup.config.run, iterations=2000)
        record = tuned(replace(setup, config=replace(setup.config, run=run))).config.tuning
    assert record["curvature_of_pilots"] == pytest.approx(1.1 * 5)
    beta = first_size(record["found"]["beta"])
    assert beta == pytest.approx(record["limits"]["beta"] / 5.5, rel=0.01)


def test_steps_fall_where_the_curvature_goes_on_growing(monkeypatch):
    """As 1/k^a from the last pilot on, where it grows as k^a there."""
    curvatures = {80: 0.5, 160: 0.9}  # in the second half of the last pilot

    def tables(iterations=2000, after=0.9):
        monkeypatch.setattr(Pilots, "curvature", lambda self, steps, k: (
            after if k == 160 else curvatures.get(k, 0.0)))  # fmt: skip
        with planned("quadratic", "sparkle", alpha="auto", beta="auto", gamma="auto") as setup:
            run = replace(setup.config.run, iterations=iterations)
            made = tuned(replace(setup, config=replace(setup.config, run=run)))
        return made.config, made.method

    found, method = tables()
    a = round(math.log2(0.9 / 0.5), 3)
    assert found.tuning["curvature_growth"] == a
    for key in ("alpha", "beta", "gamma"):
        first = found.tuning["pilot"][-1][key]
        assert found.steps[key]["exponent"] == -a and found.steps[key]["offset"] == 160
        assert getattr(method, key)(160) == pytest.approx(first * 2**-a)
    text = describe_tuning(found)
    assert "\nat the end of the last pilot it grows as k^0.848\nalpha falls as (1 + k/160)^" in text
    assert "\nbeta falls as (1 + k/160)^-0.848\n" in text
    assert config.check(tomllib.loads(tomli_w.dumps(found.tables()))).steps == found.steps

    first = found.tuning["pilot"][-1]["beta"]
    assert "curvature_growth" not in tables(iterations=160)[0].tuning  # stable to the end
    assert tables(after=0.4)[0].steps["beta"] == first  # it falls
    assert tables(after=50.0)[0].steps["beta"]["exponent"] == -6.64


def test_alpha_falls_where_it_is_found():
    steps = mpidbo.solve("quadratic", agents=4, steps="auto", iterations=10).config.steps
    assert steps["alpha"]["exponent"] == -0.5 and steps["alpha"]["offset"] == 64
    assert isinstance(steps["beta"], float) and isinstance(steps["gamma"], float)
    given = {"alpha": 0.05, "beta": "auto"}
    steps = mpidbo.solve("quadratic", agents=4, steps=given, iterations=10).config.steps
    assert steps["alpha"] == 0.05 and isinstance(steps["beta"], float)


SLOWLY = {"problem": "policy-evaluation", "agents": 8, "seed": 0, "evaluate_every": 500}


@pytest.mark.slow
def test_an_instability_that_grows_slowly_does_not_end_a_run():
    """With the same step sizes, but constant ones, it does."""
    given = {**SLOWLY, "iterations": 2000, "metrics": ["phi"], "progress": False}
    found = mpidbo.solve(steps="auto", **given)
    start, *_, end = found.history["phi"]
    assert end < 0.85 * start
    constant = mpidbo.solve(steps=firsts(found.config.steps), **given)
    assert constant.history["phi"][-1] > start


def test_a_run_that_diverges_names_a_quarter_of_what_was_found(monkeypatch):
    def growing(method, found):
        grown = {key: Power(value, exponent=4.0) for key, value in found.steps.items()}
        return replace(method, **grown)

    monkeypatch.setattr("mpidbo.solver.tuning._falling", growing)
    with pytest.raises(mpidbo.Diverged) as caught:
        mpidbo.solve("quadratic", agents=2, steps="auto", iterations=2000, progress=False)
    assert re.search(
        r'reduce the step sizes that "auto" found to a quarter: steps\.alpha\.start = \S+, '
        r"steps\.beta\.start = \S+, steps\.gamma\.start = \S+$",
        str(caught.value),
    )


@pytest.mark.slow
def test_a_run_whose_curvature_grows_does_not_diverge():
    given = {"method": "d-soba", "topology": "torus", "agents": 8, "iterations": 1000}
    found = mpidbo.solve("meta-learning", steps="auto", metrics=["phi"], progress=False, **given)
    assert found.config.tuning["curvature_growth"] > 0.3
    phi = found.history["phi"]
    assert np.isfinite(phi).all() and phi[-1] < 0.02 * phi[0]


@pytest.mark.slow
def test_step_sizes_that_fall_keep_a_run_stable_that_diverges_with_constant_ones():
    given = {"method": "d-soba", "topology": "torus", "agents": 8, "iterations": 300}
    constant = {"alpha": 0.32, "beta": 0.0586, "gamma": 0.0586}
    with pytest.raises(mpidbo.Diverged):
        mpidbo.solve("meta-learning", steps=constant, progress=False, **given)
    falling = {
        key: {"kind": "power", "start": value, "exponent": -0.679, "offset": 80.0}
        for key, value in constant.items()
    }
    result = mpidbo.solve("meta-learning", steps=falling, metrics=["phi"], progress=False, **given)
    assert result.history["phi"][-1] < 0.02 * result.history["phi"][0]


def test_larger_steps_of_the_lower_level_are_tried_where_alpha_is_known():
    with planned("nonconvex-toy", "sun-dsbo", alpha="auto", beta="auto", gamma="auto") as setup:
        run = replace(setup.config.run, iterations=2000)
        record = tuned(replace(setup, config=replace(setup.config, run=run))).config.tuning
    by_length = {}
    for pilot in record["pilot"]:
        by_length.setdefault(pilot["iterations"], []).append(pilot)
    *_, before, larger = by_length[32]
    assert larger["beta"] == pytest.approx(1.5 * before["beta"], rel=0.01)
    same = [pilot for pilot in by_length[32] if pilot["alpha"] == larger["alpha"]]
    assert [pilot is larger for pilot in same] == [False, True]
    better = larger["value"] < same[0]["value"]
    assert better and first_size(record["found"]["beta"]) == larger["beta"]


def test_a_pilot_that_leaves_the_region_of_the_start_counts_as_diverged(monkeypatch):
    """Where g is far more curved than at the start."""

    def curvature(self, steps, k):
        return 20.0 if steps["alpha"] > 0.1 else 0.0

    monkeypatch.setattr(Pilots, "curvature", curvature)
    with planned("quadratic", "sparkle", alpha="auto", beta="auto", gamma="auto") as setup:
        record = tuned(setup).config.tuning
    assert first_size(record["found"]["alpha"]) <= 0.1
    for pilot in record["pilot"]:
        assert not (pilot["alpha"] > 0.1 and math.isfinite(pilot["value"]))


def test_methods_that_keep_y_away_from_its_minimiser():
    """As f2sa does, from a start at y*(x0) = 0: this is not a y that is lost."""
    with planned("linear-regression", "f2sa", alpha="auto", beta="auto", gamma="auto") as setup:
        record = tuned(setup).config.tuning
    assert math.isfinite(record["pilot"][0]["value"])


def test_a_judgement_is_given_up_that_takes_far_more_than_those_before(monkeypatch):
    limits = []
    original = Pilots._metric

    def noted(self, k, state):
        point = self.measures.point

        def spy(k, state, accuracy):
            limits.append(accuracy.calls)
            return point(k, state, accuracy)

        monkeypatch.setattr(self.measures, "point", spy)
        value = original(self, k, state)
        monkeypatch.setattr(self.measures, "point", point)
        return value

    monkeypatch.setattr(Pilots, "_metric", noted)
    with planned("quadratic", "sparkle", alpha=0.01) as setup:
        pilots = Pilots(setup, Stopping(setup.agents))
        pilots._most_calls = 0
        pilots.score({"alpha": 1e9}, 16)  # it diverges, and sets no measure
        assert pilots._most_calls == 0 and pilots._of_judgements[1:] == []
        pilots.score({"alpha": 0.01}, 16)
        pilots._most_calls = 40 * setup.agents.n
        pilots.score({"alpha": 0.02}, 16)
    assert limits[0] == math.inf and limits[1] == 500 and limits[-1] == 160


def test_a_winner_that_diverges_is_replaced_by_smaller_values():
    def confirm(alpha, iterations):
        return math.inf if alpha > 10 else alpha

    settled = []
    found = search(valley(37.0), confirm, 0.01, 2000, settle=lambda *winner: settled.append(winner))
    winner, *others = [trial.alpha for trial in found.trials if trial.iterations == 160]
    assert [winner / alpha for alpha in others] == [4, 16] and found.alpha == others[-1] < 10
    assert [length for _, length in settled] == [16, 32, 64] and settled[-1][0] == winner


def test_judgements_are_expected_to_grow_as_they_did(monkeypatch):
    with planned("quadratic", "sparkle", alpha=0.01) as setup:
        pilots = Pilots(setup, Stopping(setup.agents))
        pilots._of_judgements = [7, 10, 10, 20]
        assert pilots.cost().of_judgement == 40
        pilots._of_judgements = [7, 90, 40, 20]  # on average 50
        assert pilots.cost().of_judgement == 50
        pilots._of_judgements = [30]
        assert pilots.cost().of_judgement == 30

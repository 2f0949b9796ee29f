"""Where the methods go: to the closed-form solution, or to a bias of known size."""

import numpy as np
import pytest

import mpidbo
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.parallel.agents import Agents
from mpidbo.problems import Averaged
from mpidbo.problems.metrics import hypergradient
from mpidbo.problems.oracle import Oracle
from mpidbo.problems.quadratic import Quadratic
from support.closed_form import QUADRATIC, STEPS, Exact, N, solve
from support.dense import Twisted

EXACT = [name for name, row in STRATEGIES.items() if row.corrected]
BIASED = [name for name, row in STRATEGIES.items() if not row.corrected]
FOUR_BITS = {
    "beer": {"name": "beer", "compress": "quantize", "bits": 4, "gamma": 0.6},
    "lead": {"name": "lead", "compress": "quantize", "bits": 4},
}
"""Of the rows with compressed messages, whose vectors have 3 and 4 entries here."""


@pytest.fixture(scope="module")
def exact():
    return Exact()


@pytest.mark.parametrize(
    "schedule", ["gauss-seidel", pytest.param("jacobi", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("row", EXACT)
def test_sparkle_reaches_the_solution(row, schedule, exact):
    strategy = FOUR_BITS.get(row, row)
    result = solve({"name": "sparkle", "strategy": strategy, "schedule": schedule}, 1300)
    x = exact.solution()
    assert result.history["distance"][-1] < 1e-9 < 0.1 < result.history["distance"][0]
    assert np.abs(result.x - x).max() < 1e-9
    assert np.abs(result.y - exact.y(x)).max() < 1e-8
    assert np.abs(exact.H @ result.z.T - (exact.B @ exact.y(x) - exact.Bb)[:, None]).max() < 1e-8


@pytest.mark.parametrize(
    ("lower", "upper", "topology"),
    [
        ("ed", "gt", {"upper": {"name": "path"}, "lower": {"name": "erdos-renyi", "seed": 1}}),
        ("gt", "extra", "star"),
        ("centralized", "ed", "torus"),
        ("semi-gt", "non-gt", {"name": "exponential", "directed": True}),
    ],
)
def test_mixed_strategies_and_graphs(lower, upper, topology):
    """The bias does not depend on which two corrected rows meet, nor where."""
    result = solve(
        {"name": "sparkle", "lower": lower, "upper": upper}, 1500, topology=topology, n=6
    )
    assert result.history["distance"][-1] < 1e-9


@pytest.mark.parametrize(
    "schedule", ["gauss-seidel", pytest.param("jacobi", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("row", BIASED)
def test_plain_rows_do_not(row, schedule):
    result = solve({"name": "sparkle", "strategy": row, "schedule": schedule}, 600)
    assert 0.02 < result.history["distance"][-1] < 0.2
    alike = solve(
        {"name": "sparkle", "strategy": row, "schedule": schedule},
        1300,
        {**QUADRATIC, "heterogeneity": 0.0},
    )
    assert alike.history["distance"][-1] < 1e-9


@pytest.mark.parametrize(("lower", "upper"), [("sgd", "ed"), ("ed", "sgd")])
def test_one_plain_level_is_enough_for_a_bias(lower, upper):
    assert solve(f"sparkle-{lower}-{upper}", 800).history["distance"][-1] > 0.005


@pytest.mark.slow
def test_bias_of_d_soba():
    """It falls with the step sizes, towards linearly, and with the heterogeneity."""
    steps = {key: STEPS[key] / np.array([1, 2, 4, 8]) for key in ("alpha", "beta", "gamma")}
    found = [
        solve(
            "d-soba",
            700 * 2**i,
            steps={key: float(values[i]) for key, values in steps.items()} | {"theta": 1.0},
        ).history["distance"][-1]
        for i in range(4)
    ]
    ratios = np.divide(found[:-1], found[1:])
    assert found[0] > 0.02 and (np.diff(ratios) > 0).all() and 1.7 < ratios[-1] < 2.1
    milder = [
        solve("d-soba", 700, {**QUADRATIC, "heterogeneity": h}).history["distance"][-1]
        for h in (0.5, 0.25, 0.05)
    ]
    assert milder[0] > 1.5 * milder[1] > 1.5 * 3 * milder[2] > 0
    assert solve("d-soba", 1300, {**QUADRATIC, "heterogeneity": 0.0}).history["distance"][-1] < 1e-9


@pytest.mark.parametrize(
    "table",
    [{}, {"variant": "first-order"}, {"variant": "first-order", "scheme": "forward"}],
    ids=str,
)
@pytest.mark.parametrize("row", ["ed", "semi-gt"])
def test_no_bias_of_d_soba_with_a_corrected_row(row, table):
    """With differences to their rounding."""
    result = solve({"name": "d-soba", "strategy": row, **table}, 1600)
    assert result.history["distance"][-1] < (1e-8 if table else 1e-9)


@pytest.mark.parametrize("row", EXACT)
def test_single_level_reaches_its_minimiser(row, exact):
    table = {"name": "single-level", "upper": FOUR_BITS.get(row, row)}
    result = solve(table, 600, steps={"alpha": 0.2})
    assert np.abs(result.x - np.linalg.solve(exact.A, exact.Aa)).max() < 1e-9
    assert "distance" not in result.history  # of another problem


@pytest.mark.parametrize("row", BIASED)
def test_single_level_with_plain_rows_does_not(row, exact):
    result = solve(f"single-level-{row}", 600, steps={"alpha": 0.2})
    assert np.abs(result.x - np.linalg.solve(exact.A, exact.Aa)).max() > 0.02


def test_soba(exact):
    result = solve("soba", 1300)
    assert np.abs(result.x - exact.solution()).max() < 1e-9 and np.ptp(result.x, axis=0).max() == 0


MU, LAM = (0.1, 0.03, 0.01), 0.7


@pytest.fixture(scope="module")
def penalised():
    """SUN-DSBO's results at each mu, with steps of x that go as 1/mu."""
    return [
        solve(
            {"name": "sun-dsbo", "mu": mu, "lam": LAM},
            1500,
            steps={"alpha": 0.05 / mu, "beta": 0.5, "gamma": 0.5},
            metrics=["refined_residual"],
        )
        for mu in MU
    ]


def test_sun_dsbo_reaches_its_penalised_solution(penalised, exact):
    for mu, result in zip(MU, penalised, strict=True):
        for found, expected in zip(
            (result.x, result.y, result.t), exact.penalty(mu, LAM), strict=True
        ):
            assert np.abs(found - expected).max() < 1e-6


def test_bias_of_sun_dsbo_is_linear_in_mu(penalised, exact):
    found = [result.history["distance"][-1] for result in penalised]
    assert 0.85 < np.polyfit(np.log(MU), np.log(found), 1)[0] < 1.1
    limit = [np.linalg.norm(exact.penalty(mu, LAM)[0] - exact.solution()) for mu in (1e-4, 1e-5)]
    assert np.log10(limit[0] / limit[1]) == pytest.approx(1, abs=1e-3)
    assert found[-1] / MU[-1] == pytest.approx(limit[-1] / 1e-5, rel=0.1)


def test_residual_of_sun_dsbo(penalised, exact):
    """G - V at the averages: exact when refined, else at most that; it falls with mu squared."""
    found = [result.history["refined_residual"] for result in penalised]
    for mu, rows, result in zip(MU, found, penalised, strict=True):
        x, y, t = exact.penalty(mu, LAM)
        assert rows[-1] == pytest.approx(
            exact.g(x, y) - exact.g(x, t) - (t - y) @ (t - y) / (2 * LAM), rel=1e-3
        )
        X, Y, T = (rows.mean(axis=0) for rows in (result.x, result.y, result.t))
        assert result.history["residual"][-1] == pytest.approx(
            exact.g(X, Y) - exact.g(X, T) - (T - Y) @ (T - Y) / (2 * LAM), rel=1e-9
        )
        assert (rows >= 0).all() and (result.history["residual"] <= rows + 1e-12).all()
        x, y, t = (
            np.zeros(3),
            np.zeros(4),
            np.linalg.solve(exact.H + np.eye(4) / LAM, exact.c),
        )  # at the start t = y = 0
        assert rows[0] == pytest.approx(-exact.g(x, t) - t @ t / (2 * LAM), rel=1e-10)
        assert result.history["residual"][0] == 0
    last = [rows[-1] for rows in found]
    assert last[0] > 5 * last[1] > 25 * last[2] > 0


def test_sun_dsbo_with_plain_rows_is_biased(exact):
    result = solve(
        {"name": "sun-dsbo-se", "mu": 0.1}, 1500, steps={"alpha": 0.5, "beta": 0.5, "gamma": 0.5}
    )
    assert np.abs(result.x - exact.penalty(0.1, 1.0)[0]).max() > 0.05
    assert np.abs(result.x.mean(axis=0) - exact.penalty(0.1, 1.0)[0]).max() > 0.005


TOY = {
    "name": "sun-dsbo",
    "mu": {"kind": "power", "start": 0.5, "exponent": -0.49},
    "lam": 0.9,
}  # mu = 1 / (2 (k+1)^0.49)


@pytest.mark.parametrize(("n", "heterogeneity", "iterations"), [(1, 0.0, 8000), (4, 0.1, 2000)])
def test_sun_dsbo_on_a_nonconvex_lower_level(n, heterogeneity, iterations):
    """From -6, over many lower minimisers, to 3 pi/4: as close as mu, which falls as 1/sqrt(k)."""
    result = mpidbo.solve(
        {"name": "nonconvex-toy", "heterogeneity": heterogeneity},
        TOY,
        "ring",
        n,
        dict.fromkeys(("alpha", "beta", "gamma"), 0.3),
        iterations,
        evaluate_every=iterations // 4,
    )
    history = result.history
    assert history["distance"][0] > 8
    assert history["distance"][-1] < 0.42 / iterations**0.49
    assert history["distance"][1] / history["distance"][-1] == pytest.approx(4**0.49, rel=0.03)
    assert (
        np.abs(result.x - 0.75 * np.pi).max() < 0.01
        and np.abs(result.y - 0.75 * np.pi - 2).max() < 0.01
    )


@pytest.mark.slow
def test_sun_dsbo_on_a_nonconvex_lower_level_for_longer():
    result = mpidbo.solve(
        "nonconvex-toy", TOY, "ring", 1, dict.fromkeys(("alpha", "beta", "gamma"), 0.3), 60000
    )
    assert result.history["distance"][-1] < 2.4e-3


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_hypergradient_norm_of_the_quadratic(noise, exact):
    """It is the norm of the closed-form gradient at the mean of x, also in a noisy run."""
    result = solve("sparkle-ed", 40, {**QUADRATIC, "noise": noise}, metrics=["hypergradient_norm"])
    norms = [np.linalg.norm(exact.gradient(x)) for x in (np.zeros(3), result.x.mean(axis=0))]
    assert result.history["hypergradient_norm"] == pytest.approx(norms, rel=1e-9)
    at_solution = hypergradient(
        Averaged(Oracle(exact.team, Agents(N)), Agents(N)), exact.solution(), np.ones(4)
    )
    assert np.linalg.norm(at_solution) < 1e-10


@pytest.mark.parametrize("problem", ["quadratic", "twisted"])
def test_hypergradient_is_the_derivative_of_phi(problem, exact):
    """Central differences of Phi, its inner minimum by Newton's method in dense matrices."""
    team = (
        exact.team if problem == "quadratic" else [Twisted(i, N, xp=np, seed=1) for i in range(N)]
    )
    rng = np.random.default_rng(2)
    x, y0 = rng.standard_normal(3), rng.standard_normal(4)

    def mean(name, *point):
        return sum(getattr(agent, name)(*point, None) for agent in team) / N

    def phi(x):
        y = y0
        for _ in range(12):
            y = y - np.linalg.solve(
                np.stack([mean("g_yy", x, y, e) for e in np.eye(4)], axis=1), mean("g_y", x, y)
            )
        assert np.linalg.norm(mean("g_y", x, y)) < 1e-12
        return mean("f", x, y)

    found = hypergradient(Averaged(Oracle(team, Agents(N)), Agents(N)), x, y0)
    expected = [(phi(x + 1e-5 * e) - phi(x - 1e-5 * e)) / 2e-5 for e in np.eye(3)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    if problem == "quadratic":
        np.testing.assert_allclose(found, exact.gradient(x), rtol=1e-10)


def test_hypergradient_stops_at_the_first_negative_curvature():
    """NaN and one warning, after few products; the run is otherwise the same."""
    asked = []

    class Saddle(Quadratic):
        def g_yy(self, x, y, v, sample):
            asked.append(1)
            return np.linspace(-1, 3, len(v)) * v

        def g_y(self, x, y, sample):
            return np.linspace(-1, 3, len(y)) * y + x.sum()

        def g(self, x, y, sample):
            return float(y @ (np.linspace(-1, 3, len(y)) * y)) / 2 + x.sum() * y.sum()

        @classmethod
        def stacked(cls, agents):
            return None

    averaged = Averaged(Oracle([Saddle(0, 1, xp=np, seed=0, q=60)], Agents(1)), Agents(1))
    with pytest.warns(
        UserWarning,
        match=r"hypergradient_norm: g_yy has the curvature -0\.\d+ where .* strongly convex in y",
    ) as seen:
        for _ in range(2):
            assert np.isnan(hypergradient(averaged, np.zeros(5), np.zeros(60))).all()
            assert np.isnan(hypergradient(averaged, np.ones(5), np.ones(60))).all()
    assert (
        len(seen) == 1 and len(asked) < 4 * 700
    )  # each solver of y* takes up to 200 steps; conjugate gradients took 700 each

"""The verdicts on claims, on planted numbers: how often they are wrong."""

import numpy as np
import pytest
from scipy import stats

from mpidbo.studies.claims.comparison import EFFECT, Comparison, as_good, better
from mpidbo.studies.claims.finding import FAILS, HOLDS, UNDECIDED, findings, verdict
from mpidbo.studies.claims.statistics import LEVEL, holm, interval, p_value, region

EXPERIMENTS, SEEDS = 400, 10


def judged(*values, low=0.0, high=np.inf, effect=0.0):
    return findings(Comparison("", "", np.array(v), low, high, effect) for v in values)


@pytest.mark.parametrize("n", [5, 9, 15])
def test_the_region_of_three_quarters(n):
    """Of 9 seeds the quantiles are values of seeds: one is left out at each end."""
    values = np.random.default_rng(n).normal(1, 2, (n, 3))
    assert region(values, 0.75) == pytest.approx(np.quantile(values, [0.125, 0.875], axis=0))
    values[:, 0][np.argsort(values[:, 0])[-1]] = np.inf
    low, high = region(values, 0.75)
    assert np.isfinite(low).all() and np.isfinite(high[1:]).all()
    assert np.isfinite(high[0]) == (n >= 9)
    values[:, 0] = np.inf
    assert region(values, 0.75)[:, 0].tolist() == [np.inf, np.inf]


@pytest.mark.parametrize(("level", "left_out"), [(0.9, 1), (0.95, 0), (0.999, None)])
def test_the_interval_of_the_mean_or_of_the_median(level, left_out):
    values = np.random.default_rng(0).normal(1, 2, 8)
    expected = stats.t.interval(level, 7, values.mean(), stats.sem(values))
    assert interval(values, level) == pytest.approx(expected)
    values[3] = np.inf
    if left_out is None:  # eight seeds are not enough
        assert interval(values, level) == (-np.inf, np.inf)
        return
    coverage = 1 - 2 * stats.binom.cdf(left_out, 8, 0.5)
    assert coverage >= level > 1 - 2 * stats.binom.cdf(left_out + 1, 8, 0.5)
    assert interval(values, level) == (np.sort(values)[left_out], np.inf)
    assert interval(-values, level) == (-np.inf, -np.sort(values)[left_out])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.2, 0.9], HOLDS),
        ([-1.0, -1.2, -0.9], FAILS),
        ([1.0, -1.0, 0.3], UNDECIDED),
        ([0.1, 0.5, -0.3], UNDECIDED),
        ([np.inf] + [1.0] * 5, HOLDS),
        ([np.inf] + [-1.0] * 9, UNDECIDED),  # where one of the others has diverged
        ([-np.inf] + [1.0] * 9, UNDECIDED),
        ([np.inf, 1.0, 1.0], UNDECIDED),  # the median of three may be anywhere
        ([np.inf] + [0.0] * 9, UNDECIDED),
        ([np.inf] * 6, HOLDS),
        ([-np.inf] * 6, FAILS),
        ([np.nan, 1.0, 1.0], UNDECIDED),
        ([1.0], UNDECIDED),
        ([0.0, 0.0, 0.0], UNDECIDED),
        ([0.5, 0.5, 0.5], HOLDS),
    ],
)
def test_the_interval_against_a_bound(values, expected):
    (finding,) = judged(values)
    assert finding.verdict == expected
    first, last = finding.interval
    assert (first > 0) == (expected == HOLDS) and (last < 0) == (expected == FAILS)


def test_the_p_value_is_where_the_interval_meets_a_bound():
    rng = np.random.default_rng(1)
    for low, high in ((0.0, np.inf), (-1.0, 2.0), (-np.inf, 3.0)):
        values = rng.normal(0.7, 0.5, 9)
        p = p_value(values, low, high)
        for level, inside in ((1 - 1.01 * p, True), (1 - 0.99 * p, False)):
            first, last = interval(values, level)
            assert (low < first and last < high) is inside


def test_as_good_as_better_and_by_a_factor():
    noise = np.random.default_rng(2).normal(0, 0.01, 20)
    theirs = 10.0**noise

    def verdicts(factor):
        ours = theirs * 10 ** (0.3 * noise[::-1]) / factor
        pairs = (theirs, ours)
        made = (as_good("", "", *pairs), better("", "", *pairs), better("", "", *pairs, times=2))
        return [findings([comparison])[0].verdict for comparison in made]

    assert verdicts(1.0) == [HOLDS, FAILS, FAILS]  # an advantage below 5 %, if any
    assert verdicts(1.2) == [HOLDS, HOLDS, FAILS]
    assert verdicts(3.0) == [HOLDS, HOLDS, HOLDS]
    assert verdicts(0.8) == [FAILS, FAILS, FAILS]


def test_holms_levels():
    assert holm([0.2, 0.01, 0.02], 0.95) == pytest.approx([0.05, 0.05 / 3, 0.05 / 2])
    assert holm([0.04, 0.03, 0.02], 0.95) == pytest.approx([0.05 / 3] * 3)
    assert holm([], 0.95) == []


def test_the_worst_finding_decides():
    good, bad, open_ = [1.0, 1.1, 0.9], [-1.0, -1.1, -0.9], [1.0, -1.0, 0.1]
    cases = ((good, good), (good, open_), (good, open_, bad), ())
    assert [verdict(judged(*case)) for case in cases] == [HOLDS, UNDECIDED, FAILS, UNDECIDED]


def rate(wrong, draw, **bounds):
    """How many experiments get a verdict that is wrong, and the most that chance explains."""
    rng = np.random.default_rng(3)
    count = sum(wrong(judged(*draw(rng), **bounds)) for _ in range(EXPERIMENTS))
    return count, stats.binom.ppf(0.999, EXPERIMENTS, 1 - LEVEL)


def holds(found):
    return verdict(found) == HOLDS


DRAWS = {
    "normal": lambda rng, mean, m: rng.normal(mean, 1, (m, SEEDS)),
    "heavy tails": lambda rng, mean, m: mean + rng.standard_t(3, (m, SEEDS)),
    "some diverged": lambda rng, mean, m: (
        np.where(rng.random((m, SEEDS)) < 0.2, rng.choice([-np.inf, np.inf], (m, SEEDS)), mean)
        + rng.normal(0, 1, (m, SEEDS))
    ),
}


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_method_against_itself_hardly_ever_holds(draw, m):
    count, most = rate(holds, lambda rng: draw(rng, 0.0, m))
    assert count <= most


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_planted_false_claim_does_not_hold(draw):
    """Three findings are true, one is false by the standard deviation of a seed."""
    shift = np.array([[3.0], [3.0], [3.0], [-1.0]])
    count, _ = rate(holds, lambda rng: draw(rng, 0.0, 4) + shift)
    assert count <= 0.01 * EXPERIMENTS


@pytest.mark.parametrize(("kind", "deviation"), [("normal", 1), ("heavy tails", 3**0.5)])
def test_a_planted_true_claim_holds(kind, deviation):
    """All findings are true by two standard deviations of a seed."""
    count, _ = rate(holds, lambda rng: DRAWS[kind](rng, 2 * deviation, 4))
    assert count >= 0.9 * EXPERIMENTS


def test_no_finding_of_many_is_wrong_in_more_than_5_of_100_experiments():
    """Means at the bound, where neither verdict is right."""

    def wrong(found):
        return any(finding.verdict != UNDECIDED for finding in found)

    count, most = rate(wrong, lambda rng: rng.normal(0, 1, (8, SEEDS)))
    assert count <= most


def test_equivalence_is_not_shown_by_a_lack_of_seeds():
    """Outside the bounds by nothing: within them in 5 of 100 at most."""
    count, most = rate(holds, lambda rng: rng.normal(EFFECT, 1, (1, 3)), low=-1, high=EFFECT)
    assert count <= most

"""Draws of all agents of a rank."""

import dataclasses

import numpy as np
import pytest

from mpidbo.parallel import Agents
from mpidbo.problems import Oracle, Problem, Quadratic

N = 3
X, Y = np.ones((N, 2)), np.ones((N, 4))


class OneByOne(Quadratic):
    """The same agents without stacked oracles."""

    stacked = Problem.stacked


@pytest.fixture(params=[Quadratic, OneByOne])
def oracle(request):
    agents = [request.param(i, N, xp=np, seed=0, p=2, q=4, noise=1.0) for i in range(N)]
    return Oracle(agents, Agents(N))


def test_a_draw_stays_as_it_was_made(oracle):
    first = oracle.draw(0, 0)
    before = first.g_y(X, Y)
    second, full = oracle.draw(0, 1), oracle.full()
    assert first is not second
    np.testing.assert_array_equal(first.g_y(X, Y), before)
    for other in (second, full):
        assert not np.array_equal(other.g_y(X, Y), before)
    np.testing.assert_array_equal(oracle.draw(0, 0).g_y(X, Y), before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.samples = second.samples


def test_draws_of_some_agents_leave_those_of_all(oracle):
    of_all = oracle.draw(5)
    of_some = oracle.draw(5, active=np.array([True, False, True]))
    rows = of_some.g_yy(X, Y, Y)
    np.testing.assert_array_equal(rows[1], 0)
    np.testing.assert_array_equal(rows[[0, 2]], of_all.g_yy(X, Y, Y)[[0, 2]])
    assert oracle.calls["g_yy"] == 2 + N


def test_a_draw_keeps_its_way_of_calling_the_agents(oracle):
    """Batching may be chosen later, and changes no bits."""
    before = oracle.draw(0)
    expected = before.f_x(X, Y)
    oracle.enable_batching("never", X[0], Y[0])
    assert not oracle.stacked
    np.testing.assert_array_equal(before.f_x(X, Y), expected)
    np.testing.assert_array_equal(oracle.draw(0).f_x(X, Y), expected)


def test_a_twin_counts_for_itself(oracle):
    oracle.draw(0).f_x(X, Y)
    twin = oracle.twin()
    twin.draw(0).f_x(X, Y)
    twin.draw(0).f_y(X, Y)
    assert (oracle.calls["f_x"], oracle.calls["f_y"]) == (N, 0)
    assert (twin.calls["f_x"], twin.calls["f_y"]) == (N, N)

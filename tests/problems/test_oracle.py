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


def test_full_batches_are_known(oracle):
    exact = [OneByOne(i, N, xp=np, seed=0, p=2, q=4) for i in range(N)]
    some = np.array([True, False, True])
    assert oracle.full().is_full and not oracle.draw(0).is_full
    assert Oracle(exact, Agents(N)).draw(0).is_full
    assert not Oracle(exact, Agents(N)).draw(0, active=some).is_full


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


class Kept(OneByOne):
    """Its answers, or arrays that share their numbers, stay with the problem in some way."""

    how = "new"

    def g_y(self, x, y, sample):
        answer = 2 * y
        if self.how == "attribute":
            self.answer = answer
        elif self.how == "list":
            self.answers = [answer]
        elif self.how == "view of it":
            self.part = answer[:1]
        elif self.how == "memoryview":
            self.memory = memoryview(answer)
        elif self.how == "view":
            self.buffer = np.concatenate([answer, answer])
            answer = self.buffer[: len(answer)]
        elif self.how == "closure":
            self.later = lambda: answer
        elif self.how == "matrix":
            self.buffer = np.stack([answer, answer])
            answer = self.buffer[0]
        elif self.how == "argument":
            self.row, answer = y, y
        self.made = id(answer) if self.how == "new" else None
        return answer


@pytest.fixture(autouse=True)
def every_row_is_long(monkeypatch):
    """Short answers are copied without a look."""
    monkeypatch.setattr("mpidbo.problems.oracle.LONG", 1)


KEPT = ["attribute", "list", "view of it", "memoryview", "view", "closure", "matrix", "argument"]


def one_agent(how):
    problem = type("Kept", (Kept,), {"how": how})(0, 1, xp=np, seed=0, p=2, q=4)
    return problem, Oracle([problem], Agents(1))


@pytest.mark.parametrize("how", KEPT)
def test_an_answer_that_someone_else_holds_is_copied(how):
    problem, oracle = one_agent(how)
    x, y = (np.arange(float(d))[None] for d in oracle.dims)
    row = oracle.full().g_y(x, y)
    expected = row.copy()
    for held in (
        getattr(problem, "answer", None),
        *getattr(problem, "answers", ()),
        getattr(problem, "part", None),
        getattr(problem, "buffer", None),
        getattr(problem, "row", None),
        problem.later() if how == "closure" else None,
    ):
        if held is not None:
            held[:] = 7.5
    if how == "memoryview":
        np.asarray(problem.memory)[:] = 7.5
    assert np.array_equal(row, expected)


def test_an_answer_that_nobody_holds_is_taken_as_it_is():
    problem, oracle = one_agent("new")
    x, y = (np.arange(float(d))[None] for d in oracle.dims)
    row = oracle.full().g_y(x, y)
    assert id(row) == problem.made
    assert row.base is None, "numpy reuses the memory of arrays that own it"

"""Warnings point at the user's own line."""

import pytest

import mpidbo
from mpidbo.problems import Quadratic


class Doubled(Quadratic):
    """Whose stacked oracle is that of Quadratic."""

    def g_y(self, x, y, sample):
        return 2 * super().g_y(x, y, sample)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("problem", "settings", "message"),
    [
        ("quadratic", {"dtype": "float32"}, "in float32"),
        ("quadratic", {"topology": {"name": "ring", "drop": 0.7}}, "links that fail"),
        (Doubled, {"checks": "never"}, "stacked g_y gives other bits"),
        ("quadratic", {"topology": "matching"}, "may diverge on matching"),
    ],
)
@pytest.mark.parametrize("call", [mpidbo.solve, mpidbo.Solver])
def test_the_line_is_that_of_the_call(call, problem, settings, message):
    with pytest.warns(UserWarning, match=message) as caught:
        call(problem, agents=4, iterations=2, **settings)
    assert {warning.filename for warning in caught} == {__file__}

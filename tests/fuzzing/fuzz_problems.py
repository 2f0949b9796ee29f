"""Problems of a user's own for fuzz.py: a right one, and for each mistake in one of its
attributes a class `Wrong_ATTRIBUTE_MISTAKE`."""

from typing import Any

import numpy as np

import mpidbo


class OwnMistake(Exception):
    """What a user's own code raises, and keeps its traceback."""


class Right(mpidbo.Problem):
    """f_i = |x - i|^2/2 + |y|^2/2, g_i = |y - (x_1, x_2)|^2/2."""

    dims = (3, 2)

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        size: int = 1,
        widths: tuple[int, ...] = (2,),
        names: Any = ("a",),
        rate: float = 0.5,
        flag: bool = False,
        text: str = "",
        data: Any = None,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)

    def draw(self, rng):
        return rng.standard_normal(2) / 10

    def f(self, x, y, sample):
        return float((x - self.agent) @ (x - self.agent) + y @ y) / 2

    def g(self, x, y, sample):
        return float((y - x[:2]) @ (y - x[:2])) / 2

    def f_x(self, x, y, sample):
        return x - self.agent

    def f_y(self, x, y, sample):
        return y.copy()

    def g_x(self, x, y, sample):
        return np.array([x[0] - y[0], x[1] - y[1], 0.0])

    def g_y(self, x, y, sample):
        return y - x[:2] + (0 if sample is None else sample)

    def g_yy(self, x, y, v, sample):
        return v.copy()

    def g_xy(self, x, y, v, sample):
        return np.array([-v[0], -v[1], 0.0])

    def metrics(self, x, y):
        return {"size": float(x @ x)}


def raising(self: Any, *args: Any, **named: Any) -> Any:
    raise OwnMistake("in the user's code")


def returning(value: Any) -> Any:
    return lambda self, *args, **named: value


MISTAKES: dict[str, Any] = {
    "three": 3,
    "text": "f",
    "none": None,
    "list": [1, 2],
    "array": np.ones(2),
    "nothing": lambda: 0.0,
    "alone": lambda self: 0.0,
    "many": lambda self, a, b, c, d, e, f: 0.0,
    "keyword": lambda self, x, y, *, z: 0.0,
    "static": staticmethod(lambda x, y, sample: 0.0),
    "property": property(lambda self: 3),
    "class": int,
    "raises": raising,
    "returns_none": returning(None),
    "returns_text": returning("zero"),
    "returns_long_text": returning("z" * 5000),
    "returns_list": returning([1.0, 2.0]),
    "returns_nested": returning([[1.0], [2.0, 3.0]]),
    "returns_texts": returning(["a", "b"]),
    "returns_complex": returning(np.ones(2) * 1j),
    "returns_one_complex": returning(1j),
    "returns_integers": returning(np.ones(2, int)),
    "returns_objects": returning(np.array([None, {}], object)),
    "returns_float32": returning(np.ones(2, np.float32)),
    "returns_bool": returning(True),
    "returns_bytes": returning(b"ab"),
    "returns_dict": returning({"a": 1}),
    "returns_class": returning(int),
    "returns_function": returning(returning),
    "returns_generator": lambda self, *args: (a for a in (1.0, 2.0)),
    "returns_column": returning(np.ones((2, 1))),
    "returns_empty": returning(np.zeros(0)),
    "returns_scalar": returning(np.float64(1)),
    "returns_nan": returning(np.full(2, np.nan)),
    "returns_inf": returning(float("inf")),
    "returns_huge": returning(10**400),
    "returns_dates": returning(np.array(["2020-01-01"] * 2, "M8[D]")),
    "returns_numerals": returning(["1", "2"]),
    "returns_records": returning(np.zeros(2, [("a", float)])),
}
ATTRIBUTES = (
    "f",
    "g",
    "f_x",
    "f_y",
    "g_x",
    "g_y",
    "g_yy",
    "g_xy",
    "draw",
    "metrics",
    "start",
    "solution",
    "dims",
    "steps",
    "agents",
    "paths",
    "project_x",
    "stacked",
    "x_tree",
    "__init__",
)
WRONG = [f"Wrong_{attribute}_{mistake}" for attribute in ATTRIBUTES for mistake in MISTAKES]
REFUSED = [
    f"Wrong_{attribute}_{mistake}"
    for attribute in ("f", "g", "f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy", "start", "stacked")
    for mistake in MISTAKES
    if mistake != "raises"
]
"""Those of whose mistakes the user's own code notices nothing."""
for _attribute in ATTRIBUTES:
    for _mistake, _value in MISTAKES.items():
        _name = f"Wrong_{_attribute}_{_mistake}"
        globals()[_name] = type(_name, (Right,), {_attribute: _value, "__module__": __name__})

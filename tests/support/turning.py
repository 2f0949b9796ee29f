"""A quadratic problem with a metric that is best in the middle of a run."""

from typing import Any

from mpidbo.problems import Quadratic


class Turning(Quadratic):
    """`closeness`, of the square of the average y to a target, which it passes.

    For the runs of `support.runs` the default is passed at iteration 15.
    """

    def __init__(self, *agents: int, target: float = 0.75, **options: Any) -> None:
        super().__init__(*agents, **options)
        self.target = target

    def metrics(self, x: Any, y: Any) -> dict[str, float]:
        return {"closeness": -abs(float(y @ y) - self.target)}

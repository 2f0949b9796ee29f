"""The claim on mixed strategies: floats until an error stays."""

import numpy as np

from mpidbo.studies.claims.mixed_strategies import counted, reached


class Recorded:
    """What an Outcome tells, from numbers."""

    def column(self, method: str, topology: str, name: str = "") -> np.ndarray:
        if name == "floats":
            return np.array([[0.0, 10, 20, 30]] * 3)
        return 1 - np.array([[1, 0.5, 0.1, 0.1], [1, 0.1, 0.5, 0.1], [1, 0.5, 0.5, 0.5]])


def test_the_floats_are_those_after_which_the_mean_error_stays_good() -> None:
    floats = reached(Recorded(), "any", np.array([0.2, 0.2, 0.2]))      # type: ignore[arg-type]
    assert floats.tolist() == [20, 30, np.inf]
    assert reached(Recorded(), "any", np.array([0.25, 0.25, 0.5])).tolist() == [10, 10, 10]      # type: ignore[arg-type]
    assert counted(floats).endswith("1 of 3 never") and "never" not in counted(floats[:2])

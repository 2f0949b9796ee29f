"""The claim on mixed strategies: floats until an error stays."""

import numpy as np

from mpidbo.studies.claims.mixed_strategies import floats_until, in_millions


class Recorded:
    """What an Outcome tells, from numbers."""

    def column(self, method: str, topology: str, name: str = "") -> np.ndarray:
        if name == "floats":
            return np.array([[0.0, 10, 20, 30]] * 3)
        return 1 - np.array([[1, 0.5, 0.1, 0.1], [1, 0.1, 0.5, 0.1], [1, 0.5, 0.5, 0.5]])


def test_the_floats_are_those_after_which_the_mean_error_stays_good() -> None:
    floats = floats_until(Recorded(), "any", np.array([0.2, 0.2, 0.2]))  # type: ignore[arg-type]
    assert floats.tolist() == [20, 30, np.inf]
    targets = np.array([0.25, 0.25, 0.5])
    assert floats_until(Recorded(), "any", targets).tolist() == [10, 10, 10]  # type: ignore[arg-type]
    assert in_millions(floats).endswith("1 of 3 never") and "never" not in in_millions(floats[:2])

"""The check of a problem sees what is planted, and nothing where there is nothing."""

from typing import Any

import numpy as np
import pytest

from mpidbo.problems.checks import Finding, check, report
from mpidbo.problems.quadratic import Quadratic


class Slip(Quadratic):
    """A quadratic problem with one mistake, chosen by name."""

    def __init__(self, mistake: str) -> None:
        super().__init__(0, 3, xp=np, seed=0, noise=0.1)
        self.mistake, self.drawn, self.kept = mistake, 0, np.zeros(5)
        if mistake.startswith("no "):
            setattr(self, mistake[3:], None)

    def draw(self, rng: np.random.Generator) -> Any:
        self.drawn += 1
        return super().draw(rng) * (self.drawn if self.mistake == "draw" else 1)

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        u = super().f_x(x, y, sample)
        return {
            "f_x": 1.001 * u,
            "f_x drawn": super().f_x(x, y, None),
            "f_x shape": u[:, None],
            "f_x nan": u * np.nan,
            "f_x type": u.astype(np.float32),
        }.get(self.mistake, u)

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        u = super().f_y(x, y, sample)
        if self.mistake == "f_y modifies":
            y -= 1
        if self.mistake == "f_y modifies sample" and sample is not None:
            sample[0] += 1
        if self.mistake == "f_y reuses":
            self.kept[:] = u
            return self.kept
        if self.mistake == "f_y raises":
            raise KeyError("nothing here")
        if self.mistake == "f_y forgetful":
            self.drawn += 1
            return u + 1e-12 * self.drawn
        return u

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return (-1 if self.mistake == "g_x" else 1) * super().g_x(x, y, sample)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return super().g_y(x, y, sample) + (0.01 * x if self.mistake == "g_y" else 0)

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        skew = np.triu(np.ones((5, 5)), 1)
        return super().g_yy(x, y, v, sample) + (
            1e-4 * (skew - skew.T) @ v if self.mistake == "g_yy" else 0
        )

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return -self.P @ v if self.mistake == "g_xy" else super().g_xy(x, y, v, sample)

    def start(self) -> tuple[Any, Any]:
        x, y = super().start()
        return (x[1:], y) if self.mistake == "start" else (x, y)


def wrong(findings: list[Finding]) -> set[str]:
    return {finding.name for finding in findings if not finding.ok}


@pytest.mark.parametrize(
    ("mistake", "caught", "words"),
    [
        ("none", set(), ""),
        ("f_x", {"f_x"}, "differences of f in x"),
        ("f_x drawn", {"f_x"}, "drawn sample"),
        ("f_x shape", {"f_x"}, "shape (5, 1), not (5,)"),
        ("f_x type", {"f_x"}, "float32"),
        ("f_x nan", {"f_x"}, "finite"),
        ("f_y modifies", {"f_y"}, "modifies its arguments"),
        ("f_y modifies sample", {"f_y"}, "modifies its arguments"),
        ("f_y reuses", {"f_y"}, "not new"),
        ("f_y forgetful", {"f_y"}, "other bits"),
        ("f_y raises", {"f_y"}, "KeyError"),
        ("g_x", {"g_x"}, "differences of g in x"),
        ("g_y", {"g_y", "g_xy"}, "differences of g in y"),
        ("g_yy", {"g_yy", "g_yy symmetric"}, "differences of g_y in y"),
        ("g_xy", {"g_xy"}, "differences of g_y in x"),
        ("draw", {"draw"}, "rng"),
        ("start", {"dims, start"}, "(4,), (5,)"),
    ],
)
def test_check_catches(mistake: str, caught: set[str], words: str) -> None:
    findings = check(Slip(mistake), rng=np.random.default_rng(0))
    assert wrong(findings) == caught, report(findings)
    assert words in report(findings)


@pytest.mark.parametrize(
    ("oracle", "silent"),
    [
        ("g_yy", {"g_yy"}),
        ("f", {"f", "f_x", "f_y"}),
        ("g", {"g", "g_x", "g_y"}),
        ("g_y", {"g_y", "g_yy", "g_xy"}),
    ],
)
def test_missing_is_no_failure(oracle: str, silent: set[str]) -> None:
    findings = check(Slip(f"no {oracle}"), rng=np.random.default_rng(0))
    assert not wrong(findings)
    assert {finding.name for finding in findings if np.isnan(finding.error)} == silent
    assert "missing" in report(findings)


class Kinked(Quadratic):
    """f and g with ReLU kinks, a thousand of them in y."""

    def __init__(self) -> None:
        super().__init__(0, 1, xp=np, seed=0)
        self.rows = np.random.default_rng(0).standard_normal((1000, 5))

    def g(self, x: Any, y: Any, sample: Any) -> float:
        return super().g(x, y, sample) + float((np.maximum(self.rows @ y, 0) ** 2).mean())

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return super().g_y(x, y, sample) + 2 * (np.maximum(self.rows @ y, 0) @ self.rows) / 1000

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        active = (self.rows @ y > 0) * (self.rows @ v)
        return super().g_yy(x, y, v, sample) + 2 * (active @ self.rows) / 1000

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return super().f(x, y, sample) + float(np.maximum(self.rows @ y, 0).mean())

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return super().f_y(x, y, sample) + ((self.rows @ y > 0) @ self.rows) / 1000


@pytest.mark.parametrize("seed", range(5))
def test_check_bears_kinks(seed: int) -> None:
    findings = check(Kinked(), rng=np.random.default_rng(seed), points=5)
    assert not wrong(findings), report(findings)

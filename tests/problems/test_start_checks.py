"""What a run refuses before it begins, and what it must not refuse."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.problems.quadratic import Quadratic


class Slip(Quadratic):
    """A quadratic problem with one mistake of agent 1 (of agent 0 where derivatives are
    compared)."""

    noise, mistake, who = 0.1, "", 1

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed, noise=self.noise)
        self.drawn, self.kept, self.wrong = (
            0,
            np.zeros(5),
            self.mistake if agent == self.who else "",
        )

    @classmethod
    def stacked(cls, agents: list[Any]) -> Any:
        return None


def slip(name: str, act: Any, *, who: int = 1, noise: float = 0.1) -> type[Slip]:
    """The problem whose agent `who` answers act(self, right answer, x, y, [v,] sample) for the
    oracle `name`."""
    right = getattr(Slip, name)

    def wrong(self: Any, *at: Any) -> Any:
        return act(self, right(self, *at), *at) if self.agent == who else right(self, *at)

    return type("Slip", (Slip,), {name: wrong, "noise": noise})


def run(problem: Any, method: Any = "sparkle-gt", **more: Any) -> Any:
    more = {"agents": 2, "iterations": 2} | more
    return mpidbo.solve(problem, method, **more)


def added(part: Any, by: float, answer: Any) -> Any:
    part += by
    return answer


def counted(self: Any) -> int:
    self.drawn += 1
    return self.drawn


def buffered(self: Any, answer: Any) -> Any:
    self.kept[: answer.size] = answer
    return self.kept[: answer.size]


MISTAKES = [
    (
        "x in place",
        slip("f_x", lambda self, u, x, y, s: added(x, 1, u)),
        r"Slip.f_x: agent 1 changes x in place",
    ),
    (
        "y in place",
        slip("g_y", lambda self, u, x, y, s: added(y, -1e-9, u)),
        r"g_y: agent 1 changes y in place",
    ),
    (
        "v in place",
        slip("g_yy", lambda self, u, x, y, v, s: added(v, 1, u)),
        r"g_yy: agent 1 changes v in place",
    ),
    (
        "in place, without effect here",
        slip("f_y", lambda self, u, x, y, s: u + 0 * np.clip(y, -99, 99, out=y)),
        r"f_y: agent 0 changes an argument in place",
    ),
    (
        "an empty selection in place",
        slip("f_y", lambda self, u, x, y, s: (y.__setitem__(y > 99, 0), u)[1]),
        r"an argument in place",
    ),
    (
        "random",
        slip("f_y", lambda self, u, x, y, s: u + np.random.standard_normal(u.size)),
        r"f_y: agent 1 returns other numbers .*eval",
    ),
    (
        "a counter",
        slip("g_xy", lambda self, u, x, y, v, s: u + 1e-3 * counted(self)),
        r"g_xy: agent 1 returns other numbers",
    ),
    (
        "a running mean",
        slip("g_y", lambda self, u, x, y, s: buffered(self, 0.9 * self.kept + 0.1 * u).copy()),
        r"g_y: agent 1 returns other",
    ),
    (
        "the sample in place",
        slip("f_y", lambda self, u, x, y, s: added(s, 1, u)),
        r"agent 1 .*other",
    ),
    (
        "own data in place",
        slip("f_x", lambda self, u, x, y, s: added(self.P, 1e-3, u)),
        r"agent 1 returns other numbers",
    ),
    (
        "a random draw",
        slip("draw", lambda self, s, rng: s + np.random.standard_normal(s.shape)),
        r"draw: agent 1 draws another sample",
    ),
    (
        "a draw that counts",
        slip("draw", lambda self, s, rng: s * counted(self)),
        r"draw: agent 1 draws another sample",
    ),
    (
        "nan",
        slip("f_y", lambda self, u, x, y, s: u * np.nan),
        r"f_y: agent 1 is not finite at the start",
    ),
    (
        "infinite",
        slip("g_yy", lambda self, u, x, y, v, s: u + np.inf),
        r"g_yy: agent 1 is not finite at the start",
    ),
    (
        "a wrong sign",
        slip("f_x", lambda self, u, x, y, s: -u, who=0),
        r"f_x: agent 0 does not return the derivative of f in x",
    ),
    (
        "a factor",
        slip("g_y", lambda self, u, x, y, s: 2 * u, who=0),
        r"g_y: agent 0 does not return the derivative of g in y",
    ),
    (
        "zeros",
        slip("g_yy", lambda self, u, x, y, v, s: 0 * u, who=0),
        r"g_yy: agent 0 does not return the derivative of g_y in y",
    ),
    (
        "a product's sign",
        slip("g_xy", lambda self, u, x, y, v, s: -u, who=0),
        r"g_xy: agent 0 does not return the derivative of g_y in x",
    ),
    (
        "x in place in a loss",
        slip("f", lambda self, u, x, y, s: added(x, 1, u), who=0),
        r"f: agent 0 changes x in place",
    ),
    (
        "a projection in place",
        type("Slip", (Slip,), {"project_x": lambda self, x: np.clip(x, 0, 1, out=x)}),
        r"project_x: agent 0 changes x in place",
    ),
    (
        "a random loss",
        slip("f", lambda self, u, x, y, s: u + np.random.standard_normal(), who=0),
        r"f: agent 0 returns other numbers",
    ),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("problem", "words"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES]
)
def test_a_mistake_is_refused(problem: Any, words: str, dtype: str) -> None:
    with pytest.raises(mpidbo.UserError, match=words):
        run(problem, dtype=dtype)


def test_float32_sees_gross_mistakes_and_float64_small_ones() -> None:
    problem = slip("f_y", lambda self, u, x, y, s: 1.003 * u, who=0)
    run(problem, dtype="float32")
    with pytest.raises(mpidbo.UserError, match="not return the derivative of f in y"):
        run(problem)


def test_checks_can_be_left_out() -> None:
    assert run(MISTAKES[-1][1], checks="never").iteration == 2
    with pytest.raises(mpidbo.UserError, match=r"run.checks: .* is none of start, never"):
        run("quadratic", checks="always")


@pytest.mark.parametrize("name", ["g_yy", "g_xy"])
def test_an_oracle_that_the_method_does_not_call_is_not_checked(name: str) -> None:
    run(slip(name, lambda self, u, *at: 0 * u, who=0), "f2sa")


@pytest.mark.parametrize("name", ["f_x", "f_y"])
def test_a_missing_loss_is_compared_with_nothing(name: str) -> None:
    run(type("Slip", (slip(name, lambda self, u, x, y, s: 1.5 * u, who=0),), {"f": None}))


# What must not be refused, nor warned of


class Own(mpidbo.Problem):
    """|Ay - b| in some form, made by hand; `noisy` agents draw rows."""

    dims, batch, scale = (2, 4), 0, 1.0

    def __init__(
        self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        rng = np.random.default_rng([seed, agent])
        self.A, self.b = (
            rng.standard_normal((400, 4)).astype(dtype),
            rng.standard_normal(400).astype(dtype),
        )

    def draw(self, rng: np.random.Generator) -> Any:
        return rng.choice(400, self.batch) if self.batch else None

    def rows(self, sample: Any) -> Any:
        return (self.A, self.b) if sample is None else (self.A[sample], self.b[sample])

    def phi(self, r: Any) -> Any:
        return r**2 / 2, r, np.ones_like(r)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        A, b = self.rows(sample)
        return self.scale * float(self.phi(A @ y - b)[0].mean() + np.exp(x[0]) * (y @ y) / 2)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        A, b = self.rows(sample)
        return self.scale * (A.T @ self.phi(A @ y - b)[1] / len(b) + np.exp(x[0]) * y)

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.scale * np.array([np.exp(x[0]) * (y @ y) / 2, 0], x.dtype)

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        A, b = self.rows(sample)
        return self.scale * (A.T @ (self.phi(A @ y - b)[2] * (A @ v)) / len(b) + np.exp(x[0]) * v)

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self.scale * np.array([np.exp(x[0]) * (y @ v), 0], x.dtype)

    def f(self, x: Any, y: Any, sample: Any) -> float:
        A, b = self.rows(sample)
        return self.scale * float(self.phi(b - A @ y)[0].mean() + (x @ x))

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.scale * 2 * x

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        A, b = self.rows(sample)
        return -self.scale * (A.T @ self.phi(b - A @ y)[1] / len(b))


def own(**changes: Any) -> type[Own]:
    return type("Own", (Own,), changes)


def kinked(value: Any, slope: Any, bend: Any = np.zeros_like) -> type[Own]:
    return own(phi=lambda self, r: (value(r), slope(r), bend(r)))


class Counting(Own):
    """Keeps count, and something of the last call, which changes no number."""

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        self.last = super().g_y(x, y, sample)
        return self.last


class Buffered(Own):
    """Returns a view of its own buffer, which the next call overwrites: a run copies it."""

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        self.buffer = getattr(self, "buffer", np.zeros(8, y.dtype))
        self.buffer[:4] = super().g_y(x, y, sample)
        return self.buffer[:4]


class Remembering(Own):
    """A sample is a dict, in which oracles leave what others use."""

    batch = 7

    def draw(self, rng: np.random.Generator) -> Any:
        return {"rows": super().draw(rng), "at": object()}

    def rows(self, sample: Any) -> Any:
        if sample is None:
            return super().rows(None)
        if "kept" not in sample:
            sample["kept"] = super().rows(sample["rows"])
        return sample["kept"]


class Serial(Remembering):
    """Samples have a serial number, which no oracle uses."""

    def draw(self, rng: np.random.Generator) -> Any:
        self.serial = getattr(self, "serial", 0) + 1
        return {**super().draw(rng), "serial": self.serial}


class Positive(Own):
    """x is to be positive; outside nothing is defined."""

    def start(self) -> Any:
        return np.full(2, 0.01), np.zeros(4)

    def project_x(self, x: Any) -> Any:
        return np.maximum(x, 0.001)

    def f(self, x: Any, y: Any, sample: Any) -> float:
        assert x.min() > 0
        return super().f(x, y, sample) + float(np.log(x).sum())

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        assert x.min() > 0
        return super().f_x(x, y, sample) + 1 / x


class Boundary(Own):
    """The start lies where the gradient jumps, and x stays on one side of that."""

    def project_x(self, x: Any) -> Any:
        return np.maximum(x, 0)

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return super().f(x, y, sample) + float(np.abs(x).sum())

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return super().f_x(x, y, sample) + (x >= 0) - (x < 0)


class Root(Own):
    """f_y is not defined at the start, which y leaves at once; a method may not ask for it
    there."""

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return super().f(x, y, sample) + float(np.sqrt(y @ y))

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return super().f_y(x, y, sample) + y / np.sqrt(y @ y)


class Compiled(Own):
    """An oracle in Cython may take no read-only arguments."""

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        if not x.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return super().f_x(x, y, sample)


class WholeLosses(Own):
    """f and g look at all data, whatever the sample."""

    batch = 7

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return super().f(x, y, None)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        return super().g(x, y, None)


class WithoutSamples(WholeLosses):
    """f and g are of all data and take nothing else."""

    def f(self, x: Any, y: Any, sample: Any) -> float:
        assert sample is None
        return super().f(x, y, None)


class Never(Own):
    """The oracles of a method know drawn samples alone."""

    batch = 7

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        assert sample is not None
        return super().f_y(x, y, sample)


class Rounded(Own):
    """f is told to three digits."""

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return round(super().f(x, y, sample), 3)


class Zero(Own):
    """Losses that nobody wrote."""

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return 0.0


class Cancelling(Own):
    """f is a small difference of large numbers."""

    def f(self, x: Any, y: Any, sample: Any) -> float:
        large = x.dtype.type(1e6)
        return float((large + x.dtype.type(super().f(x, y, sample))) - large)


class Masked(Own):
    """A label that is missing is NaN, and left out."""

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.labels = self.b.copy()
        self.labels[3] = np.nan
        self.b = np.nan_to_num(self.labels)


class Missing(Positive):
    """Draws from a domain's edge: near the start nothing is finite."""

    project_x = None

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return Own.f(self, x, y, sample) + float(np.log(x).sum())

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return Own.f_x(self, x, y, sample) + 1 / x + 0 * np.log(x)


def soft(r: Any) -> Any:
    return 1 / (1 + np.exp(np.clip(-1000 * r, -80, 80)))


HARMLESS = {
    "smooth": Own,
    "drawn": own(batch=7),
    "L1": kinked(np.abs, np.sign),
    "hinge": kinked(lambda r: np.maximum(1 - r, 0), lambda r: -1.0 * (r < 1)),
    "squared hinge": kinked(
        lambda r: np.maximum(r, 0) ** 2, lambda r: 2 * np.maximum(r, 0), lambda r: 2.0 * (r > 0)
    ),
    "Huber": kinked(
        lambda r: np.where(abs(r) < 1, r**2 / 2, abs(r) - 0.5),
        lambda r: np.clip(r, -1, 1),
        lambda r: 1.0 * (abs(r) < 1),
    ),
    "saturated": kinked(
        soft,
        lambda r: 1000 * soft(r) * (1 - soft(r)),
        lambda r: 1e6 * soft(r) * (1 - soft(r)) * (1 - 2 * soft(r)),
    ),
    "flat": kinked(np.zeros_like, np.zeros_like),
    "huge": own(scale=1e8),
    "tiny": own(scale=1e-12),
    "tiniest": own(scale=1e-200),
    "large constant": own(f=lambda self, x, y, s: Own.f(self, x, y, s) + 1e8),
    "negated": own(
        g=lambda self, x, y, s: -Own.g(self, x, y, s),
        g_y=lambda self, x, y, s: -Own.g_y(self, x, y, s),
        g_yy=lambda self, x, y, v, s: -Own.g_yy(self, x, y, v, s),
        g_xy=lambda self, x, y, v, s: -Own.g_xy(self, x, y, v, s),
    ),
} | {
    cls.__name__: cls
    for cls in (
        Counting,
        Buffered,
        Remembering,
        Serial,
        Positive,
        Boundary,
        Compiled,
        WholeLosses,
        WithoutSamples,
        Never,
        Rounded,
        Zero,
        Cancelling,
        Masked,
        Missing,
    )
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_may_be_right_is_not_refused(name: str, dtype: str) -> None:
    """Every warning is an error here."""
    for seed in range(3):
        run(
            HARMLESS[name],
            steps=dict.fromkeys(("alpha", "beta", "gamma"), 1e-12),
            seed=seed,
            dtype=dtype,
            evaluate_every=9,
        )


class Apart(Own):
    """Products of a sample of their own: another estimate of the same Hessian."""

    batch = 7

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return super().g_yy(x, y, v, None if sample is None else (sample + 1) % 400)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (Root, r"Root.f_y: agent 0 is not finite at the start \(see: mpidbo check\)"),
        (
            slip("g_y", lambda self, u, x, y, s: u + 1e-13 * counted(self)),
            "g_y: agent 1 returns other bits when it is called again",
        ),
        (
            Apart,
            (
                r"Apart.g_yy: agent 0 does not return the derivative of g_y in y: .*, at a drawn "
                r"sample"
            ),
        ),
    ],
)
def test_a_doubt_is_a_warning(problem: Any, words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        run(problem)


RANKS = """
from mpi4py import MPI
import mpidbo, test_start_checks as tests
for problem in (tests.MISTAKES[0][1], tests.Apart):
    try:
        mpidbo.solve(problem, "sparkle-gt", agents=3, iterations=2, comm=MPI.COMM_WORLD)
    except mpidbo.UserError as error:
        print(MPI.COMM_WORLD.rank, error)
"""


def test_ranks_agree_on_a_refusal_and_one_of_them_warns(mpi: Any, repo: Any, tmp_path: Any) -> None:
    (tmp_path / "ranks.py").write_text(RANKS)
    done = mpi(
        3,
        [tmp_path / "ranks.py"],
        env={
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), str(repo / "tests"), os.environ.get("PYTHONPATH", "")]
            )
        },
    )
    assert done.returncode == 0, done.stderr
    found = sorted(line.partition(" changes x in place")[0] for line in done.stdout.splitlines())
    assert found == [f"{rank} problem Slip.f_x: agent 1" for rank in range(3)]
    assert done.stderr.count("at a drawn sample") == 1


def bits(result: Any) -> Any:
    counts = {
        name: values.tolist()
        for name, values in result.history.items()
        if name.startswith(("calls_", "upper", "lower"))
    }
    return [result.x.tobytes(), result.y.tobytes(), counts]


@pytest.mark.parametrize("problem", ["quadratic", "hyper-cleaning", own(batch=7)])
def test_the_run_is_the_same_without_checks(problem: Any) -> None:
    """Trajectory, calls counted and random numbers."""
    found = []
    for checks in ("start", "never"):
        np.random.seed(3)
        found.append(
            [bits(run(problem, iterations=7, evaluate_every=1, checks=checks)), np.random.rand()]
        )
    assert found[0] == found[1]


def test_check_looks_at_all_agents(capsys: Any, tmp_path: Any) -> None:
    """Not at the first one alone, which may be right."""
    (tmp_path / "mine.py").write_text("""
from mpidbo.problems.quadratic import Quadratic

class Fine(Quadratic):
    def __init__(self, agent, n_agents, *, xp, seed):
        super().__init__(agent, n_agents, xp=xp, seed=seed)

class Mine(Fine):
    def f_y(self, x, y, sample):
        return super().f_y(x, y, sample) * (float("nan") if self.agent == 2 else 1)

    @classmethod
    def stacked(cls, agents):
        return None
""")
    assert cli.main(["check", f"{tmp_path / 'mine.py'}:Mine", "--agents", "3"]) == 1
    assert "Mine.f_y: agent 2 is not finite at the start" in capsys.readouterr().out
    assert cli.main(["check", f"{tmp_path / 'mine.py'}:Fine", "--agents", "3"]) == 0
    assert "the start of a run, 3 agents" in capsys.readouterr().out

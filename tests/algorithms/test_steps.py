"""Every shipped problem makes progress with its default step sizes, those of docs/methods.md."""

import re
import warnings
from importlib.util import find_spec
from types import MappingProxyType

import numpy as np
import pytest

import mpidbo
from mpidbo import cli, config
from mpidbo.algorithms import METHODS
from mpidbo.config.toml import load
from mpidbo.errors import UserError
from mpidbo.problems import PROBLEMS
from mpidbo.problems.lookup import problem_class
from mpidbo.storage import read_arrays
from support import ROOT

PAGE = ROOT / "docs" / "methods.md"
ITERATIONS = 300
# What falls, and to which share of where it began at least.
FALLS = {
    "quadratic": ("distance", 0.5),
    "linear-regression": ("distance", 0.5),
    "policy-evaluation": ("distance", 0.5),
    "policy-evaluation-residual": ("distance", 0.5),
    "nonconvex-toy": ("upper_loss", 0.95),
    "logistic-tuning": ("upper_loss", 0.5),
    "hyper-cleaning": ("upper_loss", 0.5),
    "hyper-representation": ("upper_loss", 0.5),
    "australian": ("upper_loss", 0.9),
    "meta-learning": ("upper_loss", 0.5),
    "domain-reweighting": ("upper_loss", 0.5),
    "minimax": ("distance", 0.1),
    "compositional": ("distance", 0.3),
    "unbounded-dissimilarity": ("distance", 0.1),
}
SAMPLED = {"hyper-cleaning", "hyper-representation", "domain-reweighting"}
SMALL = {name: {"n_train": 300, "n_validation": 200} for name in SAMPLED}


def needs(name):
    return (
        [pytest.mark.skipif(not find_spec("sklearn"), reason="needs sklearn")]
        if name in SAMPLED | {"australian"}
        else []
    )


def test_all_are_here():
    assert FALLS.keys() == PROBLEMS.keys()


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize("agents", [pytest.param(1, marks=pytest.mark.slow), 6])
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in PROBLEMS])
def test_progress_with_the_name_alone(name, agents, tmp_path):
    options = "".join(f"{key} = {value}\n" for key, value in SMALL.get(name, {}).items())
    (tmp_path / "a.toml").write_text(f'[problem]\nname = "{name}"\n{options}')
    settings = [
        f"run.agents={agents}",
        f"run.iterations={ITERATIONS}",
        f"run.evaluate_every={ITERATIONS}",
    ]
    words = [word for setting in settings for word in ("--set", setting)]
    assert cli.main(["run", str(tmp_path / "a.toml"), "--out", str(tmp_path / "run"), *words]) == 0
    history, _ = read_arrays(tmp_path / "run" / "history.h5")
    figure, share = FALLS[name]
    assert history[figure][-1] < share * history[figure][0], history[figure]


@pytest.mark.parametrize(
    "method",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("d-soba", "soba")), "sparkle-gt"],
)
@pytest.mark.parametrize(
    "name", [name for name in PROBLEMS if name not in SAMPLED | {"australian", "nonconvex-toy"}]
)
def test_progress_of_the_family(name, method):
    history = mpidbo.solve(
        name, method, agents=6, iterations=ITERATIONS, evaluate_every=ITERATIONS
    ).history
    figure = FALLS[name][0]
    assert history[figure][-1] < 0.9 * history[figure][0], history[figure]


def test_the_table_of_the_page():
    _, _, text = PAGE.read_text(encoding="utf-8").partition("## Default step sizes")
    text, _, _ = text.partition("\n## ")
    rows = {
        name: dict(zip(("alpha", "beta", "gamma"), map(float, numbers.split(" | ")), strict=True))
        for name, numbers in re.findall(r"^\| `([\w-]+)` \| ([\d. |]+?) \|$", text, re.MULTILINE)
    }
    printed = {
        name: {key: float(value) for key, value in problem_class(name).steps.items()}
        for name in PROBLEMS
    }
    assert rows == {name: steps for name, steps in printed.items() if steps}
    assert all(f"`{name}`" in text for name in PROBLEMS)


class Quick(problem_class("quadratic")):
    steps = MappingProxyType({"alpha": 0.07, "gamma": 0.3})


def resolved(problem, method, steps=None, **run):
    return mpidbo.solve(problem, method, agents=2, steps=steps, iterations=4, **run).config.steps


def test_which_methods_use_them():
    for method in ("sparkle", "d-soba-ed", "soba"):
        assert resolved(Quick, method) == {"alpha": 0.07, "beta": 0.1, "gamma": 0.3, "theta": 0.2}
    assert resolved(Quick, "sparkle", {"alpha": 0.01, "gamma": 0.2}) == {
        "alpha": 0.01,
        "beta": 0.1,
        "gamma": 0.2,
        "theta": 0.2,
    }
    assert resolved(Quick, "sun-dsbo")["alpha"] == 0.01
    assert {name for name, (rule, _) in METHODS.items() if rule.uses_problem_steps} == {
        "sparkle",
        "d-soba",
        "soba",
        "gda",
        "dm-hsgd",
    }


def test_config_toml_holds_the_numbers(tmp_path):
    mpidbo.solve("minimax", agents=2, iterations=2, out=str(tmp_path / "run"))
    tables = load(tmp_path / "run" / "config.toml")
    assert tables["steps"] == {"alpha": 0.05, "beta": 0.2, "gamma": 0.2, "theta": 0.2}
    assert config.check(tables).defaulted == ()


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"alpa": 0.1}, "steps.alpa: not a step size; did you mean alpha"),
        (10, "10 is not a table"),
        ({"alpha": "fast"}, "steps: alpha: .* is not a finite number"),
    ],
)
def test_wrong_steps_of_a_problem(steps, words):
    with pytest.raises(UserError, match=words):
        resolved(type("Wrong", (Quick,), {"steps": steps}), "sparkle")


@pytest.mark.skipif(not find_spec("sklearn"), reason="needs sklearn")
def test_domain_reweighting_finds_the_clean_sources():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for weights, start in (("softmax", 0.5), ("simplex", 0.5)):
            history = mpidbo.solve(
                {"name": "domain-reweighting", "weights": weights, **SMALL["domain-reweighting"]},
                "sparkle-ed-gt",
                agents=4,
                iterations=200,
                evaluate_every=200,
            ).history
            assert (
                history["clean_weight"][0] == pytest.approx(start)
                and history["clean_weight"][-1] > 0.9
            )


def test_meta_learning_finds_the_features():
    history = mpidbo.solve("meta-learning", agents=6, iterations=1000, evaluate_every=1000).history
    assert (
        history["representation_distance"][0] > 0.5 > 0.2 > history["representation_distance"][-1]
    )


@pytest.mark.usefixtures("records")
@pytest.mark.skipif(not find_spec("sklearn"), reason="needs sklearn")
def test_australian_on_a_floor():
    result = mpidbo.solve(
        {"name": "australian", "ridge": "floor", "floor": 0.2},
        "sparkle-ed-gt",
        agents=4,
        steps={"alpha": 20.0},
        iterations=300,
    )
    assert (
        np.abs(result.x).min() >= 0.2
        and (result.x == 0.2).any()
        and result.history["test_accuracy"][-1] > 0.85
    )

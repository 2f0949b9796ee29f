"""Names in any spelling, keys in the wrong section, and what other libraries call them: the same
words in a configuration, in `--set` and in Python."""

import tomllib
from typing import get_args

import numpy as np
import pytest

import mpidbo
from mpidbo import cli, config
from mpidbo.algorithms import METHODS, STRATEGIES
from mpidbo.algorithms.schedules import KINDS
from mpidbo.config.places import SYNONYMS, keys_of
from mpidbo.config.run_section import RUN_FIELDS
from mpidbo.errors import Synonyms, UserError, did_you_mean, known_as
from mpidbo.network import TOPOLOGIES, make
from mpidbo.problems import PROBLEMS, metric_names, problem_class
from mpidbo.storage import load
from mpidbo.studies import load_study

BASE = {
    "problem": {"name": "quadratic"},
    "run": {"agents": 4, "iterations": 4, "evaluate_every": 2},
}


def checked(**tables):
    return config.check(config.merged(BASE, tables)).tables()


def refused(**tables):
    with pytest.raises(UserError) as error:
        checked(**tables)
    return str(error.value)


def spellings(name):
    return {name.upper(), name.title(), name.replace("-", "_"), name.replace("-", "")}


def test_every_name_in_any_spelling():
    for registry in (METHODS, STRATEGIES, TOPOLOGIES, PROBLEMS, KINDS, metric_names()):
        for name in registry:
            for spelling in spellings(name):
                assert known_as(spelling, registry) == name
    assert known_as("ring", ["Ring", "ring"]) == "ring"  # the name itself comes first
    assert known_as("", ["ring"]) is known_as(3, ["ring"]) is known_as("rin", ["ring"]) is None


@pytest.mark.parametrize(
    ("given", "name", "lower", "upper"),
    [
        ("SPARKLE", "sparkle", "ed", "ed"),
        ("sparkle_ed", "sparkle", "ed", "ed"),
        ("Sparkle-GT-ED", "sparkle", "gt", "ed"),
        ("sparkle semi gt non_gt", "sparkle", "semi-gt", "non-gt"),
        ("D_SOBA", "d-soba", "sgd", "sgd"),
        ("dsoba-gt", "d-soba", "gt", "gt"),
        ("SUN_DSBO_SE", "sun-dsbo", "sgd", "sgd"),
        ("Ma-DSBO-Gt", "ma-dsbo", "non-gt", "dgd"),
    ],
)
def test_methods(given, name, lower, upper):
    table = checked(method={"name": given})["method"]
    assert (table["name"], table["lower"], table["upper"]) == (name, lower, upper)


def test_a_resolved_configuration_has_the_known_names():
    found = checked(
        problem={"name": "Hyper_Cleaning"},
        method={"name": "D_SOBA", "lower": "Semi_GT", "variant": "First_Order"},
        steps={"alpha": {"kind": "SQRT_N_over_T"}, "beta": {"kind": "InverseTime", "start": 1}},
        topology={"name": "Erdos Renyi", "upper": {"name": "STAR", "weights": "Metropolis"}},
        run={
            "dtype": "Float64",
            "metrics": "HyperGradient-Norm",
            "stop": {"metric": "Upper_Loss", "below": -1},
        },
    )
    exact = checked(
        problem={"name": "hyper-cleaning"},
        method={"name": "d-soba", "lower": "semi-gt", "variant": "first-order"},
        steps={"alpha": {"kind": "sqrt-n-over-t"}, "beta": {"kind": "inverse-time", "start": 1}},
        topology={"name": "erdos-renyi", "upper": {"name": "star", "weights": "metropolis"}},
        run={"metrics": "hypergradient_norm", "stop": {"metric": "upper_loss", "below": -1}},
    )
    assert found == exact and found["steps"]["alpha"]["horizon"] == 4


def test_options_of_a_problem():
    cls = problem_class("hyper_cleaning")
    options = {"name": "x", "split": "IID", "model": "MLP", "data": "Digits"}
    found = config.options_of(cls, options)
    assert found == {"name": "x", "split": "iid", "model": "mlp", "data": "digits"}


def test_topologies_by_themselves():
    assert (
        make("Adjusted_Ring", 6).W.toarray().tolist()
        == make("adjusted-ring", 6).W.toarray().tolist()
    )
    assert cli.main(["topology", "Ring", "-n", "4"]) == 0
    assert cli.main(["methods", "Sparkle_ED"]) == 0


def test_two_spellings_are_one_run(tmp_path, capsys):
    file = tmp_path / "a.toml"
    text = (
        'problem.name = "{}"\nmethod.name = "{}"\ntopology.name = "{}"\n'
        'steps.alpha = {{kind = "{}"}}\nrun = {{agents = 4, iterations = {}, evaluate_every = 2, '
        'stop = {{metric = "{}", above = 1e9}}}}\n'
    )
    run = ["run", str(file), "--out", str(tmp_path / "out")]
    file.write_text(
        text.format("quadratic", "sparkle-ed", "ring", "sqrt-n-over-t", 4, "upper_loss")
    )
    assert cli.main(run) == 0
    named = ("Quadratic", "SPARKLE_ED", "RING", "Sqrt-N-over-T")
    file.write_text(text.format(*named, 4, "Upper-Loss"))
    assert cli.main(run) == 0
    assert "already finished" in capsys.readouterr().out
    file.write_text(text.format(*named, 6, "Upper-Loss"))
    assert cli.main(run) == 0  # continues, with the horizon of its first start
    assert load(tmp_path / "out").iteration == 6
    tables = tomllib.loads((tmp_path / "out" / "config.toml").read_text())
    assert tables["problem"]["name"] == "quadratic" and tables["steps"]["alpha"]["horizon"] == 4


def test_a_metric_of_the_problem_in_a_stop_rule():
    class Scored(problem_class("quadratic")):
        def metrics(self, x, y):
            return {"Test_Accuracy": 1.0}

    rule = {"metric": "test-accuracy", "patience": 1}
    result = mpidbo.solve(Scored, agents=2, iterations=9, evaluate_every=1, stop=rule)
    assert result.iteration == 1 and "Test_Accuracy has not improved" in result.reason


def test_labels_of_a_study(tmp_path):
    (tmp_path / "s.toml").write_text(
        'problem.name = "quadratic"\n[study]\nmethods = ["SPARKLE"]\nstrategies = ["ED", "gt"]\n'
        'topologies = ["Ring"]\nmetric = "Distance"\n'
    )
    study = load_study(tmp_path / "s.toml", [])
    assert [group.label for group in study.groups] == ["sparkle-ed on ring", "sparkle-gt on ring"]
    assert study.metric == "distance"


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"method": {"alpha": 0.1}}, "method.alpha: is a step size; put it in [steps]"),
        ({"run": {"gamma": 0.1}}, "run.gamma: is a step size; put it in [steps]"),
        ({"theta": 0.1}, "theta: is a step size; put it in [steps]"),
        ({"iterations": 100}, "iterations: belongs to [run]; put it there"),
        ({"seed": 1}, "seed: belongs to [run] or [topology]; put it there"),
        ({"keep": 1}, "keep: belongs to [checkpoint]; put it there"),
        ({"run": {"lower": "ed"}}, "run.lower: belongs to [method] or [topology]"),
        ({"run": {"every": 5}}, "run.every: belongs to [checkpoint]"),
        ({"run": {"noise": 1.0}}, "run.noise: belongs to [problem]"),
        ({"steps": {"mu": 1}}, "steps.mu: belongs to [method]"),
        ({"topology": {"agents": 3}}, "topology.agents: belongs to [run]"),
        ({"topology": {"lower": {"dtype": "float32"}}}, "topology.lower.dtype: belongs to [run]"),
        ({"checkpoint": {"out": "a"}}, "checkpoint.out: belongs to [run]"),
        ({"method": {"lazy": True}}, "method.lazy: belongs to [topology]"),
        ({"run": {"method": "x"}}, "run.method: unknown key; here it is the section [method]"),
        # what other libraries call it
        ({"run": {"max_iter": 7}}, "here it is iterations = 7 in [run]"),
        ({"training": {"epochs": 7}}, "training: unknown section; here it is the section [run]"),
        ({"steps": {"Learning-Rate": 0.3}}, "here it is alpha = 0.3 in [steps]"),
        ({"lr": 0.3}, "lr: unknown section; here it is alpha = 0.3 in [steps]"),
        ({"steps": {"lr": "auto"}}, 'steps.lr: unknown key; here it is alpha = "auto" in [steps]'),
        ({"run": {"tune": True}}, 'here it is steps = "auto" at the top of the file'),
        ({"graph": {"name": "ring"}}, "graph: unknown section; here it is the section [topology]"),
        ({"topology": {"n_agents": 3}}, "here it is agents = 3 in [run]"),
        ({"run": {"log_every": "often"}}, "here it is evaluate_every = 50 in [run]"),
        (
            {"run": {"gtol": 1e-6}},
            'here it is stop = { metric = "hypergradient_norm", below = 1e-06 } in [run]',
        ),
        ({"run": {"batch_size": 3}}, "here it is batch = 3 in [problem]"),
        # elsewhere nothing is known of them
        ({"run": {"agent": 3}}, "run.agent: unknown key; did you mean agents?"),
        ({"Run": {"agents": 3}}, "Run: unknown section; did you mean run?"),
        ({"study": {"methods": []}}, "study: is of a study, which compares runs"),
    ],
)
def test_keys_in_the_wrong_place(tables, sentence):
    assert sentence in refused(**tables)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"iterations": 3}, "problem.iterations: belongs to [run]; put it there"),
        ({"alpha": 3}, "problem.alpha: is a step size; put it in [steps]"),
        ({"num_nodes": 3}, "problem.num_nodes: unknown key; here it is agents = 3 in [run]"),
        ({"heterogenity": 3}, "problem.heterogenity: unknown option of Quadratic; did you mean"),
    ],
)
def test_options_in_the_wrong_place(options, sentence):
    with pytest.raises(UserError) as error:
        mpidbo.solve({"name": "quadratic", **options}, agents=2, iterations=1)
    assert sentence in str(error.value)


def test_an_option_of_the_problem_is_no_mistake():
    class Own(problem_class("quadratic")):
        def __init__(self, agent, n_agents, *, iterations=3, lr=0.1, **options):
            super().__init__(agent, n_agents, **options)
            given.append((iterations, lr))

    given = []
    mpidbo.solve({"name": Own, "iterations": 5, "lr": 0.3}, agents=2, iterations=1)
    assert set(given) == {(5, 0.3)}


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"lr": 0.2}, 'steps={"alpha": 0.2}'),
        ({"learning_rate": [0.2]}, 'steps={"alpha": ...}'),
        ({"step_size": "Auto"}, 'steps={"alpha": "auto"}'),
        ({"tune": True}, 'steps="auto"'),
        ({"lr_y": 0.2}, 'steps={"beta": 0.2}'),
        ({"maxiter": 20}, "iterations=20"),
        ({"niter": 20}, "iterations=20"),
        ({"num_epochs": 20}, "iterations=20"),
        ({"tol": 1e-3}, 'stop={"metric": "hypergradient_norm", "below": 0.001}'),
        ({"num_agents": 20}, "agents=20"),
        ({"graph": "star"}, 'topology="star"'),
        ({"W": [[1]]}, "topology=..."),
        ({"batch_size": 20}, 'problem={"name": ..., "batch": 20}'),
        ({"random_state": 20}, "seed=20"),
        ({"precision": "double"}, 'dtype="float64"'),
        ({"accelerator": "gpu"}, 'device="cuda"'),
        ({"alpha": 0.2}, 'steps={"alpha": 0.2}'),
        ({"mu": 0.2}, 'method={"name": ..., "mu": 0.2}'),
        ({"drop": 0.2}, 'topology={"name": ..., "drop": 0.2}'),
        ({"noise": 0.2}, 'problem={"name": ..., "noise": 0.2}'),
    ],
)
def test_arguments_of_other_libraries(arguments, remedy):
    with pytest.raises(UserError) as error:
        mpidbo.solve("quadratic", agents=2, **{"iterations": 1, **arguments})
    word = next(iter(arguments))
    assert str(error.value) == f"solve: no argument is called {word}; here it is {remedy}"


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("device", "gpu", "cuda"),
        ("device", "cuda:0", "cuda"),
        ("dtype", "double", "float64"),
        ("dtype", "Single", "float32"),
        ("dtype", "float", "float64 or float32"),
        ("dtype", float, "float64 or float32"),
        ("dtype", np.float32, "float32"),
        ("dtype", np.dtype("float64"), "float64"),
        ("dtype", "float16", "float32"),
        ("buffers", "gpu", "device"),
        ("batched", True, "always"),
        ("checks", "none", "never"),
    ],
)
def test_values_of_other_libraries(key, value, remedy):
    with pytest.raises(
        UserError, match=rf"^run\.{key}: .* is none of .*; did you mean {remedy}\?$"
    ):
        mpidbo.solve("quadratic", agents=2, iterations=1, **{key: value})


def test_a_mode_of_another_library():
    stop = {"metric": "phi", "patience": 2, "mode": "minimize"}
    assert refused(run={"stop": stop}).endswith('"minimize" is none of min, max; did you mean min?')


def test_synonyms_of_values_lead_to_values():
    for field in RUN_FIELDS.values():
        kind, *marks = get_args(field.hint) or [None]
        for mark in marks:
            if isinstance(mark, Synonyms):
                words = {word for words in mark.values() for word in words.split()}
                assert set(mark) <= set(get_args(kind)) and not words & set(get_args(kind))


def test_other_arguments():
    with pytest.raises(UserError, match="no argument is called sed; did you mean seed"):
        mpidbo.solve("quadratic", sed=1)
    with pytest.raises(UserError, match="no argument is called zzz; known: problem, method, "):
        mpidbo.solve("quadratic", zzz=1)


def test_synonyms_lead_to_keys():
    words = [word for called in SYNONYMS for word in called.words.split()]
    assert len(words) == len(set(words))
    for section, key, _, _, _ in SYNONYMS:
        assert not section or not key or key in keys_of(section) or section == "problem"


@pytest.mark.parametrize(
    ("argument", "example"),
    [
        ("iterations=100", "--set run.iterations=100"),
        ("lr=0.3", "--set steps.alpha=0.3"),
        ("every=5", "--set checkpoint.every=5"),
        ("tol=1e-3", "--set \"run.stop={metric='upper_loss',below=1e-3}\""),
        ("steps.alpha", "--set steps.alpha=0.1"),
    ],
)
def test_set_without_a_section(argument, example):
    with pytest.raises(UserError) as error:
        config.parse_overrides([argument])
    assert str(error.value).endswith(f"; write for example {example}")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("loss", "did you mean upper_loss or lower_loss?"),
        ("Grad_Norm", "did you mean hypergradient_norm?"),
        ("gap", "did you mean distance?"),
        ("objective", "did you mean upper_loss?"),
        ("consensus", "did you mean consensus_x, consensus_y, consensus_z or consensus_t?"),
        ("zzz", "known: upper_loss, lower_loss"),
    ],
)
def test_metrics(name, remedy):
    assert remedy in refused(run={"metrics": name})
    if name not in ("consensus", "zzz"):  # a run knows its columns, and lists others
        with pytest.raises(UserError) as error:
            mpidbo.solve("quadratic", agents=2, iterations=1, stop={"metric": name, "below": 0})
        assert remedy in str(error.value)


def test_metrics_that_need_no_request():
    assert checked(run={"metrics": ["Upper_Loss", "consensus_x"]})["run"]["metrics"] == []


def test_did_you_mean():
    known = ["test_accuracy", "train_accuracy", "auc", "top_five"]
    assert did_you_mean("accuracy", known) == "did you mean test_accuracy or train_accuracy?"
    assert did_you_mean("TestAcuracy", known) == "did you mean test_accuracy?"
    assert did_you_mean("five", known) == "did you mean top_five?"
    assert did_you_mean("x", known) == f"known: {', '.join(known)}"

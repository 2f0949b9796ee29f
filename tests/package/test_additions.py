"""An addition is one file and one entry: problem, method, strategy, topology, metric, command.

The code of docs/adding.md is put into a copy of the package, with its line in the dictionary; it is
then listed, suggested for a misspelled name, accepted in configurations and run like any other.
"""

import json
import os
import re
import shutil

import pytest

from support import ROOT, launch

COMMANDS = """
import contextlib, io, json, sys
from mpidbo import cli

answers = []
for words in json.load(open(sys.argv[1])):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                code = cli.main(words)
            except SystemExit as end:
                code = end.code
    answers.append([code, out.getvalue() + err.getvalue()])
print(json.dumps(answers))
"""
RUN = {"run.agents": 8, "run.iterations": 20, "run.evaluate_every": 10}
GREETING = '''
"""A command that greets."""


def add_arguments(parser):
    parser.set_defaults(call=greet)
    parser.add_argument("name")


def greet(args, comm):
    print("hello", args.name)
    return 0
'''
# Name of the case -> words of a command, its exit code and what it prints.
CASES = {
    "a problem is listed": (["check"], 0, "saddle"),
    "a problem is checked": (["check", "saddle", "--set", "noise=0.1"], 0, ""),
    "a problem is suggested": (["check", "sadle"], 2, "did you mean saddle?"),
    "a problem is run": ({"problem.name": "saddle", "problem.dim": 2}, 0, "distance"),
    "a problem's keys are checked": (
        {"problem.name": "saddle", "problem.dimm": 2},
        2,
        "did you mean dim?",
    ),
    "a method is listed": (["methods"], 0, "ogda"),
    "a method is printed": (["methods", "ogda"], 0, "y+ = L-step(y, beta (2v - v-))"),
    "a method is suggested": ({"method.name": "ogdaa"}, 2, "did you mean ogda?"),
    "a method is run": ({"problem.name": "saddle", "method.name": "ogda"}, 0, "distance"),
    "a method takes strategies": (
        {"problem.name": "saddle", "method.name": "ogda-sgd"},
        0,
        "distance",
    ),
    "a method's keys are checked": (
        {"problem.name": "saddle", "method.name": "ogda", "steps.betta": 1.0},
        2,
        "did you mean beta?",
    ),
    "a strategy is listed": (["methods"], 0, "twice"),
    "a strategy is suggested": ({"method.lower": "twic"}, 2, "did you mean twice?"),
    "a strategy is run": ({"method.name": "sparkle-twice"}, 0, "consensus_x"),
    "a topology is listed": (["topology"], 0, "small-world"),
    "a topology is reported": (["topology", "small-world", "-n", "12"], 0, "small-world"),
    "a topology is suggested": ({"topology.name": "small-wrold"}, 2, "did you mean small-world?"),
    "a topology's option is used": (
        {"topology.name": "small-world", "topology.p": 0.4},
        0,
        "consensus_x",
    ),
    "a topology's keys are checked": (
        {"topology.name": "small-world", "topology.q": 0.4},
        2,
        "topology.q",
    ),
    "a metric is computed": ({"run.metrics": ["lower_gradient"]}, 0, "lower_gradient"),
    "a metric is suggested": (
        {"run.metrics": ["lower_gradien"]},
        2,
        "did you mean lower_gradient?",
    ),
    "a metric ends a run": (
        {"run.stop": {"metric": "lower_gradient", "below": 1e9}},
        0,
        "lower_gradient",
    ),
    "a command is listed": (["--help"], 0, "Greet somebody."),
    "a command is run": (["greet", "you"], 0, "hello you"),
}


def code_of(heading):
    """The Python blocks of a section of the page."""
    page = ROOT / "docs" / "adding.md"
    text = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def insert(file, before, text):
    """Put text before the first line that starts with `before`."""
    content = file.read_text(encoding="utf-8")
    at = re.search(f"^{re.escape(before)}", content, re.MULTILINE)
    assert at, f"{file.name} has no line {before}"
    file.write_text(content[: at.start()] + text + content[at.start() :], encoding="utf-8")


def add_entry(file, name, entry):
    """Put an entry at the beginning of a dictionary or tuple."""
    content = file.read_text(encoding="utf-8")
    changed = re.sub(
        rf"^({name}\b[^\n]*[{{(]\n)", rf"\1    {entry},\n", content, flags=re.MULTILINE
    )
    assert changed != content, f"{file.name} has no {name}"
    file.write_text(changed, encoding="utf-8")


def add_everything(package):
    """The six additions, each as docs/adding.md says under "To ship it"."""
    (package / "problems" / "saddle.py").write_text(code_of("A problem")[0], encoding="utf-8")
    add_entry(package / "problems" / "shipped.py", "PROBLEMS", '"saddle": "saddle:Saddle"')

    method = code_of("A method")[0].partition("METHODS[")[0].replace("METHODS, ", "")
    (package / "algorithms" / "ogda.py").write_text(method, encoding="utf-8")
    methods = package / "algorithms" / "methods.py"
    add_entry(methods, "SHIPPED", '"ogda": ("ogda:Ogda", {})')

    strategy = code_of("A strategy")[0].partition("def ")
    function, _, entry = "".join(strategy[1:]).partition("STRATEGIES")
    strategies = package / "algorithms" / "strategies.py"
    insert(strategies, "_ROWS = (", function)
    insert(
        strategies,
        "| centralized |",
        "| twice   | W^2 | 0         | W^2 | s+ = W^2(s - u)      |\n",
    )
    add_entry(strategies, "_ROWS", entry.partition(" = ")[2].strip())

    function = code_of("A topology")[0].partition("def ")
    graphs = package / "network" / "graphs.py"
    insert(graphs, "TOPOLOGIES", "".join(function[1:]).partition("TOPOLOGIES")[0])
    add_entry(graphs, "TOPOLOGIES", '"small-world": small_world')

    function = code_of("A metric")[0].partition("@metric")
    with (package / "problems" / "metrics.py").open("a", encoding="utf-8") as file:
        file.write("\n\n" + "".join(function[1:]).partition("\n\n\n")[0] + "\n")

    (package / "cli" / "greet.py").write_text(GREETING, encoding="utf-8")
    add_entry(
        package / "cli" / "program.py", "COMMANDS", '"greet": Command("greet", "Greet somebody.")'
    )


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Case -> exit code and output, of the copy of the package."""
    folder = tmp_path_factory.mktemp("additions")
    shutil.copytree(
        ROOT / "mpidbo", folder / "mpidbo", ignore=shutil.ignore_patterns("__pycache__")
    )
    add_everything(folder / "mpidbo")
    (folder / "empty.toml").touch()
    lines = []
    for i, (words, _, _) in enumerate(CASES.values()):
        if isinstance(words, dict):
            keys = {"problem.name": "quadratic", **RUN, **words}
            sets = [f"{key}={inline(value)}" for key, value in keys.items()]
            words = ["run", "empty.toml", "--out", f"out{i}"]
            words += [word for text in sets for word in ("--set", text)]
        lines.append(words)
    (folder / "lines.json").write_text(json.dumps(lines))
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = launch.mpirun(None, ["-c", COMMANDS, "lines.json"], cwd=folder, env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def inline(value):
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize("case", CASES)
def test_an_addition_is_one_file_and_one_entry(case, answers):
    _, code, expected = CASES[case]
    found, output = answers[case]
    assert found == code and expected in output, output

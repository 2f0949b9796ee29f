"""Values that no one expects in a configuration, or in a problem of one's own: a sentence of
bounded length, never a traceback."""

import io
import resource
import subprocess
import sys
import traceback
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from inspect import signature
from pathlib import Path
from typing import Any

import fuzz
import fuzz_cases
import fuzz_problems
import numpy as np
import pytest
import tomli_w

import mpidbo
from mpidbo import UserError, cli, config
from mpidbo.errors import MAX_MESSAGE, shown
from mpidbo.problems import PROBLEMS
from mpidbo.problems.lookup import make_problems, problem_class
from support import launch

HUGE = (2**31, 2**40, 2**62, 2**63 - 1)


def refused(**arguments: Any) -> str:
    """The sentence with which `solve` refuses."""
    with pytest.raises(UserError) as caught:
        mpidbo.solve(**{"problem": "quadratic", "agents": 3, "iterations": 2, **arguments})
    fuzz.judged(str(caught.value))
    return str(caught.value)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Two gigabytes more than now: sizes that no machine has fail at once."""
    pages = (
        int(Path("/proc/self/statm").read_text().split()[0])
        if Path("/proc/self/statm").exists()
        else 0
    )
    if not pages:
        pytest.skip("no /proc: how much memory is in use is not known")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 30), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def options(kind: type) -> list[tuple[str, str]]:
    """(problem, option) of all shipped problems with a default of that type."""
    return [
        (name, key)
        for name in PROBLEMS
        for key, p in signature(problem_class(name)).parameters.items()
        if type(p.default) is kind
    ]


@pytest.mark.parametrize("problem", ["hyper-cleaning", "hyper-representation"])
def test_widths_are_a_list_of_positive_whole_numbers(problem):
    for value in (
        5,
        5.0,
        "5",
        ["a"],
        [0],
        [True],
        [-1],
        [2, 0],
        [[3]],
        [1.5],
        {"a": 1},
        [float("nan")],
    ):
        table = {"name": problem, "n_train": 60, "n_validation": 40, "hidden": value} | (
            {"model": "mlp"} if problem == "hyper-cleaning" else {}
        )
        assert refused(problem=table).startswith("problem.hidden: ")


@pytest.mark.parametrize(("name", "key"), options(int))
def test_sizes_that_no_machine_has(name, key, little_memory, tmp_path):
    """No traceback of numpy's, whose words differ by size: out of memory, too large, not a C long.

    A batch may be larger than all.
    """
    for value in HUGE:
        table = {"name": name, **fuzz_cases.SMALL[name], key: value}
        if name == "australian":
            fuzz_cases.prepared(tmp_path)
            table["data"] = str(tmp_path / "records")
        try:
            mpidbo.solve(table, agents=2, iterations=1)
            assert key in ("batch", "val_batch")
        except UserError as error:
            fuzz.judged(str(error))
            assert key in str(error) or "out of memory" in str(error)


@pytest.mark.parametrize("name", PROBLEMS)
def test_numbers_whose_square_is_none(name):
    """1e300 in float64, 1e30 in float32, and infinity but where that is meant."""
    cls = problem_class(name)
    for key in [
        key for problem, key in options(float) if problem == name and key != "concentration"
    ]:
        for value, dtype in (
            (1e300, "float64"),
            (-1e300, "float64"),
            (float("inf"), "float64"),
            (10**400, "float64"),
            (1e30, "float32"),
        ):
            with pytest.raises(UserError, match=rf"problem.{key}: .* is out of range; ") as caught:
                make_problems(
                    cls, {"name": name, key: value}, range(1), 2, seed=0, dtype=np.dtype(dtype)
                )
            fuzz.judged(str(caught.value))


OBJECTS = [
    np.array([1.0, 2.0]),
    np.eye(2),
    Fraction(1, 3),
    Decimal("0.1"),
    1j,
    b"1",
    {1, 2},
    object(),
    int,
    date(2020, 1, 1),
    range(3),
    np.array(["1"]),
    {1: 2},
    {"a": object()},
    [None],
]


@pytest.mark.parametrize(
    "key",
    [
        "agents",
        "iterations",
        "seed",
        "max_seconds",
        "stall_timeout",
        "threads",
        "steps",
        "dtype",
        "device",
        "metrics",
        "start",
        "out",
        "stop",
        "method",
        "topology",
        "problem.p",
        "problem.noise",
        "method.lower",
        "method.schedule",
        "steps.alpha",
        "topology.drop",
        "topology.lazy",
    ],
)
def test_objects_where_numbers_and_names_belong(key):
    section, _, name = key.partition(".")
    given = {
        "problem": {"name": "quadratic"},
        "method": {"name": "sparkle"},
        "topology": {"name": "ring"},
        "steps": {},
    }
    for value in OBJECTS:
        refused(**{**given, section: {**given[section], name: value} if name else value})


@pytest.mark.parametrize(
    "number", [np.float64(0.05), np.float32(0.05), np.array(0.05), np.int64(1)]
)
def test_numbers_of_numpy_are_numbers(number):
    result = mpidbo.solve(
        {"name": "quadratic", "noise": number, "p": np.int64(3)},
        steps={"alpha": number},
        agents=np.int64(3),
        iterations=np.array(2),
    )
    plain = mpidbo.solve(
        {"name": "quadratic", "noise": number.item(), "p": 3},
        steps={"alpha": number.item()},
        agents=3,
        iterations=2,
    )
    np.testing.assert_array_equal(result.x, plain.x)


LONG = ["x" * 5000, "y/" * 2500, "a\0b", "a\ud800b", "a\nb" * 900, "\x1b[31m" * 500]


@pytest.mark.parametrize(
    "key",
    [
        "problem.name",
        "problem.data",
        "problem.path",
        "problem.split",
        "problem.x",
        "method.name",
        "method.lower",
        "method.x",
        "steps.alpha",
        "topology.name",
        "topology.file",
        "topology.weights",
        "topology.x",
        "run.dtype",
        "run.start",
        "run.stop",
        "run.metrics",
        "run.x",
        "run.device",
        "run.agents",
    ],
)
def test_long_and_unprintable_texts(key):
    section, _, name = key.partition(".")
    for text in LONG:
        given = {
            "problem": {"name": "hyper-cleaning", "data": "mnist"},
            "method": {},
            "topology": {},
            "steps": {},
            "run": {},
        }
        given[section] |= {text: 1} if name == "x" else {name: text}
        run = given.pop("run")
        assert refused(**given, **run).isprintable()


def test_a_file_whose_name_is_no_utf8(tmp_path, monkeypatch, capsys):
    """Such a name is an argument with half characters; config.toml cannot hold it, a terminal
    shows it as escapes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    Path("a.toml").write_text('[problem]\nname = "quadratic"\n[run]\nagents = 3\niterations = 2\n')
    for argument in (
        ["--set", "run.start=\udcff"],
        ["--set", "problem.name=\udcff.py:A"],
        ["--out", "\udcff"],
        ["--set", "\udcff.a=1"],
    ):
        assert cli.main(["run", "a.toml", *argument]) == 2
        fuzz.judged(capsys.readouterr().err.strip())
    assert cli.main(["run", "\udcff.toml"]) == 2


def test_a_terminal_that_is_not_utf8(tmp_path, monkeypatch):
    """A letter that it lacks is an escape."""
    (tmp_path / "a.toml").write_text('[problem]\nname = "quadratic"\n')
    done = subprocess.run(
        [sys.executable, "-m", "mpidbo", "where", "a.toml", "--out", "\xe9"],
        cwd=tmp_path,
        capture_output=True,
        env=launch.environment({"PYTHONIOENCODING": "ascii"}),
    )
    assert done.returncode == 0 and b"\\xe9" in done.stdout and not done.stderr
    for encoding, output in (
        ("ascii", b"Dagr\\xe9ou"),
        ("latin-1", b"Dagr\xe9ou"),
        ("utf-8", "Dagréou".encode()),
    ):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        assert cli.main(["methods", "soba"]) == 0
        stream.flush()
        assert output in stream.buffer.getvalue()


def test_what_toml_reads_and_python_does_not(tmp_path, monkeypatch, capsys):
    """A number of 5000 digits, lists in lists in lists."""
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    path = tmp_path / "a.toml"
    for value in ("1" * 5000, "[" * 5000 + "]" * 5000, "{a=" * 500 + "1" + "}" * 500):
        path.write_text(f"[problem]\nname = 'quadratic'\n[run]\nseed = {value}\n")
        assert cli.main(["run", str(path)]) == 2
        fuzz.judged(capsys.readouterr().err.strip())
        path.write_text("[problem]\nname = 'quadratic'\n")
        assert cli.main(["run", str(path), "--set", f"run.seed={value}"]) == 2
        fuzz.judged(capsys.readouterr().err.strip())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("attribute", fuzz_problems.ATTRIBUTES)
def test_a_problem_with_one_wrong_attribute(attribute):
    """It runs, where the mistake does no harm, or is refused in a sentence; what its own code
    raises is left to it."""
    for mistake in fuzz_problems.MISTAKES:
        name = f"Wrong_{attribute}_{mistake}"
        try:
            mpidbo.solve(getattr(fuzz_problems, name), agents=2, iterations=2, method="d-soba")
        except mpidbo.Diverged:
            assert name.endswith(("_nan", "_inf"))
        except UserError as error:
            fuzz.judged(str(error))
            assert name in str(error)
        except Exception as error:
            if traceback.extract_tb(error.__traceback__)[-1].filename != fuzz_problems.__file__:
                raise


@pytest.mark.parametrize("oracle", ["f", "g_y", "g_yy", "draw", "metrics"])
def test_what_a_problem_raises_keeps_its_traceback(oracle):
    with pytest.raises(fuzz_problems.OwnMistake):
        mpidbo.solve(getattr(fuzz_problems, f"Wrong_{oracle}_raises"), agents=2, iterations=2)


@pytest.mark.parametrize(
    "attribute", ["f", "g_xy", "draw", "metrics", "start", "solution", "stacked"]
)
def test_an_attribute_that_is_no_function(attribute):
    for name in ("three", "text", "list", "array", "property", "class"):
        with pytest.raises(
            UserError, match=rf"\.{attribute}: .* is not a function; define it as def {attribute}\("
        ):
            mpidbo.solve(
                getattr(fuzz_problems, f"Wrong_{attribute}_{name}"), agents=2, iterations=2
            )


@pytest.mark.parametrize("attribute", ["f", "g_y", "g_yy", "draw", "metrics"])
def test_a_signature_that_does_not_fit(attribute):
    for name in ("nothing", "alone", "many", "keyword"):
        with pytest.raises(
            UserError, match=rf"\.{attribute}: .*; define it as def {attribute}\(self, "
        ):
            mpidbo.solve(
                getattr(fuzz_problems, f"Wrong_{attribute}_{name}"), agents=2, iterations=2
            )


def test_messages_are_bounded_and_printable():
    """Whatever they quote; a problem's own too."""
    mine = str(
        UserError(
            "problem.path: "
            + "/deep" * 900
            + "; "
            + "words " * 900
            + "\n\ud800\x1b[31m; choose another"
        )
    )
    assert (
        len(mine) <= MAX_MESSAGE
        and mine.isprintable()
        and mine.startswith("problem.path: /deep")
        and mine.endswith("; choose another")
    )
    loop: list[Any] = []
    loop.append(loop)
    for value in (
        "x" * 9999,
        [0.5] * 9999,
        {"a" * 999: "b" * 999},
        loop,
        10**9999,
        "\ud800",
        object(),
        np.zeros((99, 99)),
    ):
        assert len(shown(value)) <= 80 and shown(value).isprintable()
    assert [
        shown(v)
        for v in ("a", 1, True, ["a", 0.5], Fraction(1, 3), np.eye(2), 10**9999, int, object())
    ] == [
        '"a"',
        "1",
        "true",
        '["a", 0.5]',
        "1/3",
        "an array of shape (2, 2) and type float64",
        "an int",
        "the class int",
        "an object",
    ]


def test_a_schedule_that_overflows_diverges():
    """A power of Python's own raises where numpy's is infinite."""
    with pytest.raises(mpidbo.Diverged, match=r"reduce steps.alpha|steps"):
        mpidbo.solve(
            "quadratic",
            steps={"alpha": {"kind": "power", "start": 0.1, "exponent": 1e300}},
            agents=3,
            iterations=9,
        )


def test_how_many_is_bounded():
    for key, value in {"agents": 2**31, "threads": 2**40, "stall_timeout": 1e300}.items():
        assert f"run.{key}: {value} is out of range; give at least" in refused(**{key: value})
    for value in (10**400, float("nan"), "x", 2**62):
        refused(stall_timeout=value)
    assert (
        "method.T: 1099511627776 is out of range; give at least 1 and at most 1000000"
        in refused(method={"name": "ma-dsbo", "T": 2**40})
    )
    config.check(
        {"problem": {"name": "quadratic"}, "run": {"agents": 10**6, "iterations": 2**63 - 1}}
    )


@pytest.mark.parametrize(
    "key",
    ["metric", "out", "target", "better", "seeds", "methods", "strategies", "topologies", "x"],
)
def test_odd_values_in_a_study(key, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    base = {"problem": {"name": "quadratic"}, "run": {"agents": 3, "iterations": 2}}
    for value in (5.5, True, [0.5], {"a": 1}, [], date(2020, 1, 1), float("nan"), 2**62, [[]]):
        study = {"methods": ["sparkle"], key: value}
        Path("study.toml").write_text(tomli_w.dumps({**base, "study": study}))
        if (key, value) == ("target", 5.5) or (key in ("target",) and value == 2**62):
            continue
        assert cli.main(["compare", "study.toml"]) == 2, value
        fuzz.judged(capsys.readouterr().err.strip())


@pytest.mark.parametrize(
    "line",
    [
        "topology ring -n 1099511627776",
        "topology complete -n 999999",
        f"topology {'x' * 5000} -n 4",
        "check quadratic --agents 1099511627776",
        "check quadratic --seed 18446744073709551616",
        "check quadratic --set p=1099511627776",
        f"check {'x' * 5000}.py:A",
        f"show {'x' * 5000}",
        f"plot {'y/' * 2500}",
        "show study.toml",
        f"data path {'x' * 5000}",
        f"reproduce {'x' * 5000}",
        f"methods {'x' * 5000}",
        f"where {'x' * 5000}",
        f"jobscript slurm {'x' * 5000}",
    ],
)
def test_odd_arguments_of_commands(line, little_memory, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    Path("study.toml").write_text("[study]\n")
    assert cli.main(line.split()) == 2
    fuzz.judged(capsys.readouterr().err.strip())

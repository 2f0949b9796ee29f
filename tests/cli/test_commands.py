"""The commands except `run`: what they print and draw, and their messages.

They run in this process, without MPI, where none is needed.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import termios
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import mpidbo
from mpidbo import cli, config, reports
from mpidbo._text import aligned, quantity
from mpidbo.algorithms import METHODS, communication_cost, communication_formula
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.cli import program
from mpidbo.cli.doctor import command as doctor
from mpidbo.cli.doctor.findings import Finding
from mpidbo.cli.doctor.job_checks import check_gossip
from mpidbo.network import TOPOLOGIES, make
from mpidbo.network.graphs import NOT_LAZY
from mpidbo.reports import catalogue, topology_figure
from mpidbo.solver.bar import ProgressBar
from mpidbo.storage import read_run
from support import launch

DAMAGED = "cannot be read (it is not an HDF5 file or it is damaged)"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of three runs: a and b differ in the method, c is a with another topology."""
    folder = tmp_path_factory.mktemp("runs")
    for name, method, topology in (
        ("a", "sparkle-ed-gt", "ring"),
        ("b", "sun-dsbo", "ring"),
        ("c", "sparkle-ed-gt", "complete"),
    ):
        mpidbo.solve(
            {"name": "quadratic", "noise": 0.1},
            method=method,
            topology=topology,
            agents=4,
            iterations=60,
            evaluate_every=10,
            steps={"alpha": 0.002},
            metrics=["hypergradient_norm"],
            out=folder / name,
        )
    return folder


def printed(capsys, *words, code=0):
    """What a command prints; on stderr where it fails."""
    assert cli.main([str(word) for word in words]) == code
    out, err = capsys.readouterr()
    if code == 2:
        assert out == "" and err.startswith(("mpidbo: ", "usage: "))
        return err
    assert err == ""
    return out


# the table of commands


def test_a_command_is_a_module_and_an_entry(tmp_path, monkeypatch, capsys):
    (tmp_path / "greeting.py").write_text(
        "def add_arguments(parser):\n"
        "    parser.set_defaults(call=greet)\n"
        "    parser.add_argument('name')\n"
        "def greet(args, comm):\n"
        "    print('hello', args.name, comm)\n"
        "    return 0\n"
    )
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    summary = "Greet somebody."
    monkeypatch.setitem(program.COMMANDS, "greet", program.Command("greeting", summary))
    assert printed(capsys, "greet", "you") == "hello you None\n"
    with pytest.raises(SystemExit) as end:
        cli.parser().parse_args(["greet", "--help"])
    assert end.value.code == 0 and summary in capsys.readouterr().out
    assert summary in printed(capsys, "--help")
    assert "great: no such command; did you mean greet?" in printed(capsys, "great", code=2)


def test_help_imports_no_command():
    code = (
        "import sys; from mpidbo import cli; cli.main(['--help']); "
        "print([name for name in ('numpy', 'h5py', 'scipy') if name in sys.modules])"
    )
    assert launch.mpirun(None, ["-c", code]).stdout.endswith("\n[]\n")


# plot


def test_labels_of_a_problems_own_metrics():
    names = ("test_accuracy", "auc", "weight_noise")
    assert [reports.axis_label(name) for name in names] == ["test accuracy", "AUC", "weight noise"]


def test_one_run_in_a_figure(runs):
    figure = reports.draw_curves([read_run(runs / "a")])
    axes = {ax.get_ylabel(): ax for ax in figure.axes if ax.get_ylabel()}
    assert list(axes) == [
        "upper loss f",
        "Φ(x), y solved for",
        "distance to x*",
        "|grad Φ|",
        "consensus distance",
    ]
    assert [line.get_label() for line in axes["consensus distance"].lines] == ["x", "y", "z"]
    assert (
        axes["consensus distance"].get_yscale() == "log"
        and axes["upper loss f"].get_yscale() == "linear"
    )
    x, y = axes["distance to x*"].lines[0].get_data()
    assert x.tolist() == list(range(0, 61, 10))
    assert np.array_equal(y, read_run(runs / "a").columns["distance"])
    assert "sparkle-ed-gt on quadratic: ring of 4 agents" == figure.get_suptitle()


def test_a_figure_for_one_column_of_a_page(runs, tmp_path):
    """Panels below each other, and a line at the target of the first metric."""
    found = [read_run(runs / name) for name in "ab"]
    metrics = ["distance", "upper_loss"]
    figure = reports.draw_curves(found, metrics, target=0.25, column=True)
    assert figure.get_figwidth() == 3.4
    above, below = figure.axes
    assert above.get_position().y0 > below.get_position().y0
    assert above.yaxis.label.get_size() == 8
    assert above.lines[-1].get_ydata() == [0.25, 0.25] and len(below.lines) == 2
    words = ["--metric", *metrics, "--target", 0.25, "--column", "--out", tmp_path / "a.pdf"]
    assert cli.main(["plot", *map(str, [runs / "a", runs / "b", *words])]) == 0
    reports.save(figure, tmp_path / "b.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_a_run_that_diverged_in_a_figure(runs):
    """It ends in a cross, and leaves the axis to the others."""
    found = [read_run(runs / name) for name in "ab"]
    largest = found[0].columns["distance"].max()
    values = largest * np.array([1, 2, 8, 11, 1e150, np.nan, np.nan])
    wild = replace(found[1], diverged="it did", columns={**found[1].columns, "distance": values})
    (ax,) = reports.draw_curves([found[0], wild], ["distance"]).axes
    _, curve, cross = ax.lines
    assert cross.get_marker() == "x" and cross.get_data()[1] == 8 * largest
    assert np.nanmax(curve.get_ydata()) == 8 * largest
    (ax,) = reports.draw_curves([wild], ["distance"]).axes
    assert ax.lines[-1].get_ydata() == 1e150 * largest


def test_several_runs_in_a_figure(runs):
    found = [read_run(runs / name) for name in "ab"]
    figure = reports.draw_curves(found, against="floats")
    axes = {ax.get_ylabel(): ax for ax in figure.axes}
    assert [line.get_label() for line in axes["distance to x*"].lines] == [
        "sparkle-ed-gt",
        "sun-dsbo-semi-gt-semi-gt",
    ]
    assert len(axes["consensus distance"].lines) == 4
    assert len(axes["residual G − V"].lines) == 1  # a has no t
    for line, run in zip(axes["distance to x*"].lines, found, strict=True):
        assert np.array_equal(line.get_xdata(), run.columns["floats"])
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    legend = [text.get_text() for one in (*legends, *figure.legends) for text in one.get_texts()]
    assert {"sparkle-ed-gt", "sun-dsbo-semi-gt-semi-gt", "x", "y"} == set(legend)


def test_a_legend_names_everything_in_which_runs_differ(runs, tmp_path):
    assert reports.labels([read_run(runs / name) for name in "ac"]) == ["ring", "complete"]
    assert reports.labels([read_run(runs / name) for name in "abc"]) == [
        "sparkle-ed-gt, ring",
        "sun-dsbo-semi-gt-semi-gt, ring",
        "sparkle-ed-gt, complete",
    ]
    mpidbo.solve(
        {"name": "quadratic", "noise": 0.2},
        method="sparkle-ed-gt",
        topology={"name": "ring", "drop": 0.1},
        agents=4,
        iterations=60,
        evaluate_every=10,
        seed=3,
        steps={"alpha": 0.001},
        metrics=["hypergradient_norm"],
        out=tmp_path / "d",
    )
    assert reports.labels([read_run(runs / "a"), read_run(tmp_path / "d")]) == [
        "alpha = 0.002, noise = 0.1, seed = 0",
        "alpha = 0.001, noise = 0.2, seed = 3, drop = 0.1",
    ]


def test_a_legend_names_the_level_of_a_key_unless_both_have_it(tmp_path):
    beer = {"name": "beer", "compress": "top-k", "k": 0.1}
    kinds = {
        "a": {"strategy": beer},
        "b": {"strategy": {**beer, "k": 0.3}},
        "c": {"lower": beer, "upper": {**beer, "k": 0.2}},
    }
    for name, method in kinds.items():
        mpidbo.solve(
            "quadratic",
            method={"name": "sparkle", **method},
            topology={
                "upper": {"name": "ring"},
                "lower": {"name": "complete" if name == "c" else "ring"},
            },
            agents=4,
            iterations=2,
            out=tmp_path / name,
        )
    found = {name: read_run(tmp_path / name) for name in kinds}
    assert reports.labels([found["a"], found["b"]]) == ["k = 0.1", "k = 0.3"]
    assert reports.labels([found["a"], found["c"]]) == [
        "upper k = 0.1, lower = ring",
        "upper k = 0.2, lower = complete",
    ]


def test_a_run_has_its_color_in_any_order(runs):
    colors = {}
    for names in ("ab", "ba"):
        figure = reports.draw_curves([read_run(runs / name) for name in names], ["distance"])
        for name, line in zip(names, figure.axes[0].lines, strict=True):
            look = line.get_color(), line.get_marker()
            assert colors.setdefault(name, look) == look
    assert {marker for _, marker in colors.values()} == {"o", "s"}


@pytest.mark.parametrize(("points", "most"), [(25, 25), (1000, 8)])
def test_curves_are_told_apart_without_colors(points, most):
    """Each of eight has markers of its own, at other points than the others where it is long."""
    looks = [reports.markers(points, number) for number in range(8)]
    assert len({look["marker"] for look in looks}) == 8
    places = [
        tuple(range(points)[first::every]) for first, every in (look["markevery"] for look in looks)
    ]
    assert all(0 < len(marked) <= most for marked in places)
    assert len(set(places)) == (1 if points == most else 8)


def test_a_figure_has_the_same_bytes_each_time(runs, tmp_path):
    """PDFs have no fonts of type 3, which journals refuse."""
    for kind in reports.FORMATS:
        written = []
        for name in ("a", "b"):
            path = tmp_path / f"{name}.{kind}"
            reports.save(reports.draw_curves([read_run(runs / "a")], ["distance"]), path)
            written.append(path.read_bytes())
        assert written[0] == written[1], kind
        assert kind != "pdf" or b"/Type3" not in written[0]


def test_equal_runs_are_told_apart_by_folder(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "copy")
    assert reports.labels([read_run(runs / "a"), read_run(tmp_path / "copy")]) == [
        "a",
        "copy",
    ]
    assert (
        len(reports.draw_curves([read_run(runs / name) for name in "ac"], ["distance"]).legends)
        == 1
    )


def test_seconds_leave_evaluation_out(runs):
    run = read_run(runs / "a")
    total = sum(run.columns[f"seconds_{part}"] for part in ("oracle", "exchange", "update"))
    assert np.array_equal(
        reports.draw_curves([run], ["distance"], "seconds").axes[0].lines[0].get_xdata(), total
    )


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([1, 200], True),
        ([1, 50], False),
        ([0, 1e-6, 1], True),
        ([-1e-9, 1e-6, 1], False),
        ([np.nan, 1, 1e3], True),
        ([], False),
        ([0, 0], False),
    ],
)
def test_ordinates_are_logarithmic_over_more_than_two_decades(values, log):
    assert reports.is_logarithmic([np.array(values, float)]) is log


@pytest.mark.parametrize("kind", reports.FORMATS)
def test_plot_writes_a_figure(runs, tmp_path, capsys, kind):
    out = tmp_path / f"curves.{kind}"
    assert (
        printed(
            capsys,
            "plot",
            runs / "a",
            runs / "b",
            "--metric",
            "distance",
            "consensus",
            "--out",
            out,
        )
        == f"{out}\n"
    )
    first = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[kind]
    assert out.read_bytes().startswith(first) and out.stat().st_size > 5000


def test_plot_of_one_run_goes_into_its_folder(runs, tmp_path, capsys):
    shutil.copytree(runs / "a", tmp_path / "a")
    assert printed(capsys, "plot", tmp_path / "a") == f"{tmp_path / 'a' / 'curves.png'}\n"
    assert "matplotlib.pyplot" not in sys.modules


def test_plot_against_bytes(tmp_path, capsys):
    """A compressed run ends further to the left than one in full."""
    paths = [tmp_path / "non-gt", tmp_path / "beer"]
    for path in paths:
        mpidbo.solve(
            "quadratic", f"sparkle-{path.name}", agents=4, iterations=6, evaluate_every=3, out=path
        )
    out = tmp_path / "curves.svg"
    assert printed(capsys, "plot", *paths, "--against", "bytes", "--out", out) == f"{out}\n"
    found = [read_run(path) for path in paths]
    (ax,) = reports.draw_curves(found, ["distance"], "bytes").axes
    for line, run in zip(ax.lines, found, strict=True):
        assert np.array_equal(line.get_xdata(), run.columns["bytes"])
    assert ax.get_xlabel() == "bytes sent by all agents"
    assert 0 < found[1].columns["bytes"][-1] < found[0].columns["bytes"][-1]


def test_mistakes_of_plot(runs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    shutil.copy(runs / "a" / "config.toml", tmp_path / "empty")
    assert "did you mean distance?" in printed(
        capsys, "plot", runs / "a", "--metric", "distanse", code=2
    )
    assert ".png, a .pdf, a .svg" in printed(
        capsys, "plot", runs / "a", "--out", "curves.jpg", code=2
    )
    assert "has no history.h5" in printed(capsys, "plot", tmp_path / "empty", code=2)
    assert "no such file or folder" in printed(capsys, "plot", tmp_path / "nowhere", code=2)
    assert "could not be written" in printed(
        capsys, "plot", runs / "a", "--out", tmp_path / "no" / "a.png", code=2
    )
    assert "invalid choice" in printed(capsys, "plot", runs / "a", "--against", "time", code=2)


def test_without_matplotlib(runs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install 'mpidbo[plot]'" in printed(capsys, "plot", runs / "a", code=2)


# show


def test_show(runs, capsys):
    text = printed(capsys, "show", runs / "a")
    for part in (
        "finished, 60 iterations",
        "method    sparkle-ed-gt",
        "problem   quadratic  noise = 0.1",
        "agents    4 on 1 rank, float64",
        "x (4, 5), y (4, 5), z (4, 5)",
        "at iteration 60",
        "rounds",
        "without MPI",
        f"mpidbo {mpidbo.__version__}",
    ):
        assert part in text
    shares = text.split("seconds")[1].split("\n")[0]
    assert 98 <= sum(int(word) for word in shares.split() if word.isdigit()) <= 102
    assert printed(capsys, "show", runs / "a" / "result.h5") == text


def test_show_of_a_run_that_diverged(tmp_path, capsys):
    wild = {"name": "quadratic"}
    with pytest.raises(mpidbo.Diverged) as error:
        mpidbo.solve(
            wild, steps={"alpha": 1e3, "beta": 1e3}, agents=4, iterations=200, out=tmp_path / "run"
        )
    head = printed(capsys, "show", tmp_path / "run").splitlines()[0]
    assert head == f"{tmp_path / 'run'}: {error.value}"
    with pytest.warns(UserWarning, match="held a run, and is now"):
        mpidbo.solve(wild, agents=4, iterations=2, out=tmp_path / "run")
    assert "diverged" not in printed(capsys, "show", tmp_path / "run")


def test_no_part_of_the_seconds_is_negative(tmp_path):
    for method in ("mdbo", "sparkle-gt"):  # mdbo asks its oracles before the first iteration
        history = mpidbo.solve(
            "quadratic", method, agents=4, iterations=20, evaluate_every=1
        ).history
        for part in ("oracle", "exchange", "update", "evaluation"):
            assert (history[f"seconds_{part}"] >= 0).all() and history["seconds_update"][0] == 0


def test_history_as_a_table(runs, capsys):
    head, *rows = printed(capsys, "show", runs / "b", "--history").splitlines()
    names = head.split()
    assert names[:4] == ["iteration", "upper_loss", "phi", "lower_loss"]
    assert names[-2:] == ["floats", "seconds"]
    assert [int(row.split()[0]) for row in rows] == list(range(0, 61, 10))


def test_show_of_unfinished_and_lone_files(runs, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(runs / "a" / "config.toml", folder)
    killed = "no result.h5 and not in use: it was killed or failed; "
    assert f"{killed}nothing written yet" in printed(capsys, "show", folder)
    shutil.copy(runs / "a" / "history.h5", folder)
    assert f"{killed}seen at iteration 60" in printed(capsys, "show", folder)
    shutil.copy(runs / "a" / "result.h5", tmp_path / "renamed.h5")
    assert "4 on 1 rank" in printed(capsys, "show", tmp_path / "renamed.h5")
    shutil.copy(runs / "a" / "history.h5", tmp_path / "other.h5")
    assert "a history, seen at iteration 60" in printed(capsys, "show", tmp_path / "other.h5")


def test_damaged_files(runs, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(runs / "a", folder)
    good = (folder / "result.h5").read_bytes()
    x = np.ascontiguousarray(mpidbo.storage.read_arrays(folder / "result.h5")[0]["x"]).tobytes()
    flipped = bytearray(good)
    flipped[good.index(x[:16])] ^= 1
    for bad in (good[:2000], bytes(flipped), b"", b"text"):
        (folder / "result.h5").write_bytes(bad)
        assert DAMAGED in printed(capsys, "show", folder, code=2)
    (folder / "result.h5").write_bytes(good)
    (folder / "history.h5").write_bytes(b"text")
    assert "history.h5: cannot be read" in printed(capsys, "plot", folder, code=2)
    (folder / "config.toml").write_text("a =")
    shutil.copy(runs / "a" / "history.h5", folder)
    assert "not valid TOML" in printed(capsys, "show", folder, code=2)
    (tmp_path / "none").mkdir()
    assert "holds no run" in printed(capsys, "show", tmp_path / "none", code=2)


# topology


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES if name not in NOT_LAZY])
def test_topologies_as_text_and_figure(name):
    topology = reports.topology_of(name, 8, {})
    text = reports.topology_report(topology)
    assert (
        f"{topology.gap:.6g}" in text
        and f"{topology.lambda_min:.6g}" in text
        and "refused" not in text
    )
    assert "lazy                 yes" in text
    (ax,) = reports.draw_topology(topology).axes
    places = np.asarray(ax.collections[-1].get_offsets())
    assert (
        places.shape == (8, 2)
        and min(np.linalg.norm(a - b) for i, a in enumerate(places) for b in places[:i]) > 0.05
    )
    assert [text.get_text() for text in ax.texts] == [str(agent) for agent in range(8)]
    assert len(ax.collections[0].get_segments()) >= topology.degrees.sum() / 2


@pytest.mark.parametrize("name", [name for name in NOT_LAZY if name != "cycle"])
def test_directed_and_changing_topologies_as_text_and_figure(name):
    """Arrows where a graph is directed, and a panel for each of several graphs."""
    topology = reports.topology_of(name, 8, {})
    text = reports.topology_report(topology)
    assert f"{topology.gap:.6g}" in text and "suits" in text
    assert ("n times its Perron vector" in text) == (name == "directed-erdos-renyi")
    axes = reports.draw_topology(topology).axes
    drawn = [ax for ax in axes if ax.collections]
    assert len(drawn) == len(topology.graphs)
    for ax, graph in zip(drawn, topology.graphs, strict=True):
        lines = ax.collections[0]
        count = len(lines.get_segments()) if graph.symmetric else len(lines.get_offsets())
        assert count == (graph.edges / 2 if graph.symmetric else graph.edges)
        assert [text.get_text() for text in ax.texts] == [str(agent) for agent in range(8)]


@pytest.mark.parametrize(
    ("n", "options", "shape"),
    [
        (1, {}, (1, 1)),
        (2, {}, (1, 2)),
        (7, {}, (7, 1)),
        (9, {}, (3, 3)),
        (12, {"shape": [2, 6]}, (2, 6)),
        (12, {"shape": [6, 2]}, (6, 2)),
    ],
)
@pytest.mark.parametrize("name", ["grid", "torus"])
def test_lattices_are_drawn_as_such(name, n, options, shape):
    places = topology_figure.layout(reports.topology_of(name, n, options))
    if n >= 4:
        assert sorted(np.ptp(places, axis=0) + 1) == sorted(shape)
    assert len(reports.draw_topology(reports.topology_of(name, n, options)).axes) == 1


def test_strategies_that_a_topology_suits(capsys):
    text = printed(capsys, "topology", "ring", "-n", 4, "--set", "lazy=false")
    assert (
        "extra        refused: the smallest eigenvalue of ring is -0.333333" in text
        and "ed           the smallest" in text
    )
    assert "gt           suits" in text and "lazy                 no" in text
    text = printed(capsys, "topology", "exponential", "-n", 8, "--set", "directed=true")
    assert "ed           refused: ed needs a symmetric W" in text and "not symmetric" in text


def test_topology_of_files(tmp_path, capsys):
    W = np.array([[0.6, 0.4, 0, 0], [0.4, 0.3, 0.3, 0], [0, 0.3, 0.3, 0.4], [0, 0, 0.4, 0.6]])
    np.save(tmp_path / "W.npy", W)
    (tmp_path / "graph.edges").write_text("0 1\n1 2\n2 0\n")
    assert f"spectral gap         {1 - np.sort(np.linalg.eigvalsh(W))[-2]:.6g}" in printed(
        capsys, "topology", tmp_path / "W.npy"
    )
    out = tmp_path / "graph.svg"
    text = printed(capsys, "topology", tmp_path / "graph.edges", "--picture", out)
    assert (
        "agents               3" in text and text.endswith(f"{out}\n") and out.stat().st_size > 3000
    )
    assert "use each of 0..4" in printed(
        capsys, "topology", tmp_path / "graph.edges", "-n", 5, code=2
    )


def test_arrows_where_one_of_two_agents_receives():
    (ax,) = reports.draw_topology(reports.topology_of("exponential", 8, {"directed": True})).axes
    assert type(ax.collections[0]).__name__ == "Quiver" and ax.collections[0].N == 24


def test_mistakes_of_topology(capsys):
    assert "-n: missing" in printed(capsys, "topology", "ring", code=2)
    assert "give at least 1" in printed(capsys, "topology", "ring", "-n", 0, code=2)
    assert "did you mean ring?" in printed(capsys, "topology", "rin", "-n", 3, code=2)
    assert "did you mean lazy?" in printed(
        capsys, "topology", "ring", "-n", 3, "--set", "lasy=true", code=2
    )
    assert "not of the form key=value" in printed(
        capsys, "topology", "ring", "-n", 3, "--set", "lazy", code=2
    )
    assert "no-such.npy cannot be read" in printed(capsys, "topology", "no-such.npy", code=2)


# lists


def test_lists_name_everything(capsys):
    text = printed(capsys, "methods")
    assert all(f"\n\n{name}: " in f"\n\n{text}" for name in METHODS) and all(
        f"\n    {name} " in text for name in STRATEGIES
    )
    assert "s++ = W(2s+ - s - (u+ - u))" in text and "p + 2q floats" in text
    assert all(f"\n{name}\n" in f"\n{printed(capsys, 'topology')}" for name in TOPOLOGIES)
    assert "\nquadratic\n" in f"\n{printed(capsys, 'check')}"


@pytest.mark.parametrize("name", METHODS)
def test_methods_with_their_equations(name, capsys):
    text = printed(capsys, "methods", name)
    assert sys.modules[METHODS[name][0].__module__].__doc__.splitlines()[0] in text


def test_a_method_with_strategies_and_a_strategy(capsys):
    text = printed(capsys, "methods", "sparkle-gt-ed")
    assert "p + 4q floats" in text and "5 rounds" in text and "x by ed, y by gt, z by gt" in text
    assert "s+ = W s - h" in printed(capsys, "methods", "semi-gt")
    assert (
        "mu = { kind = power, start = 1.0, exponent = -0.3333, offset = 1.0, warmup = 0 }"
        in printed(capsys, "methods", "f2sa")
    )
    assert "did you mean sparkle?" in printed(capsys, "methods", "sparcle", code=2)


# what is sent


@pytest.mark.parametrize("name", METHODS)
def test_declared_and_measured_floats_agree(name):
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": name}})
    rule = config.rule_of(checked.method, checked.steps, n=2, horizon=10)
    (found,) = communication_cost(rule, dict.fromkeys(rule.levels, make("ring", 2)), (3, 7))
    assert found.floats == rule.floats((3, 7))


@pytest.mark.parametrize(
    ("method", "formula"),
    [
        ("single-level", ("p", 1)),
        ("sparkle", ("p + 2q", 3)),
        ("sparkle-gt-ed", ("p + 4q", 5)),
        ("d-soba-gt", ("2p + 4q", 2)),
    ],
)
def test_formulas(method, formula):
    checked = config.check({"problem": {"name": "quadratic"}, "method": {"name": method}})
    assert (
        communication_formula(config.rule_of(checked.method, checked.steps, n=2, horizon=10))
        == formula
    )


@pytest.mark.parametrize(
    ("method", "topology"),
    [
        ("sparkle-gt-ed", {"upper": {"name": "complete"}, "lower": {"name": "ring"}}),
        ("soba", {"name": "star"}),
        ("d-soba", {"name": "path"}),
        ("single-level-gt", {"name": "ring"}),
    ],
)
def test_traffic_is_what_a_run_sends(method, topology):
    result = mpidbo.solve(
        "quadratic",
        method=method,
        topology=topology,
        agents=5,
        iterations=3,
        evaluate_every=1,
        steps={"alpha": 0.001},
    )
    with mpidbo.solver.Plan(result.config) as plan:
        found = communication_cost(plan.method, plan.levels, plan.dims)
    sent = {
        "floats": sum(part.floats * part.edges for part in found),
        "messages": sum(part.rounds * part.edges for part in found),
        "rounds": sum(part.rounds for part in found),
    }
    assert {name: result.history[name][3] - result.history[name][2] for name in sent} == sent


def test_dry_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mpidbo.cli.program.comm_world", lambda: None)
    (tmp_path / "a.toml").write_text(
        'problem.name = "quadratic"\nrun.agents = 6\nrun.iterations = 1000\n'
    )
    text = printed(capsys, "run", tmp_path / "a.toml", "--dry-run", "--out", tmp_path / "out")
    for part in (
        " 6 on 1 rank",
        "15 floats to each neighbour, 3 rounds",
        "over all agents 180 floats (1.44 kB) in 36 messages",
        "180 k floats (1.44 MB) in 36 k messages",
        "a rank before the start",
    ):
        assert part in text
    assert not (tmp_path / "out").exists() and "steps" not in text
    text = printed(capsys, "run", tmp_path / "a.toml", "--dry-run", "--set", "steps=auto")
    assert "\nsteps        alpha, beta, gamma are found before the run" in text


# a run's bar


@pytest.mark.parametrize(
    ("override", "code", "end"),
    [
        ("run.iterations=3", 0, "3 iterations (all iterations done)"),
        pytest.param("run.iterations=0", 0, "0 iterations", marks=pytest.mark.slow),
        pytest.param(
            'run.stop={metric="distance",above=0}',
            0,
            "0 iterations (distance",
            marks=pytest.mark.slow,
        ),
        ("steps.beta=1e200", 3, "diverged"),
    ],
)
def test_bar_on_a_terminal(tmp_path, override, code, end):
    (tmp_path / "a.toml").write_text(
        'problem.name = "quadratic"\nrun.agents = 2\nrun.iterations = 2000\n'
    )
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    line = launch.command(
        None,
        ["-m", "mpidbo", "run", tmp_path / "a.toml", "--out", tmp_path / "out", "--set", override],
    )
    done = subprocess.run(
        line,
        env=launch.environment({}),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=60,
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 4096):
            seen += part
    os.close(ours)
    assert done.returncode == code and "Traceback" not in seen.decode()
    assert "iteration 0 " not in done.stdout  # no log beside the bar
    last = (done.stdout if code == 0 else seen.decode().split("\r")[-2]).strip()
    assert end in last
    assert "it/s" in seen.decode() or "0/" in seen.decode()


def test_a_bar_may_be_closed_early_and_twice(capsys):
    bar = ProgressBar(10)
    assert bar.look(0, None, False) is None
    bar.show_row(SimpleNamespace(row={"iteration": 0, "upper_loss": 1.0, "floats": 0}))
    bar.look(bar.next(0), None, True)
    bar.close()
    bar.look(3, None, True)
    assert "it" in capsys.readouterr().err


# check


def test_check_tells_what_is_missing(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "import mpidbo\n\nclass Mine(mpidbo.Problem):\n    dims = (2, 2)\n"
        "    def __init__(self, agent, n_agents, *, xp, seed, scale=1.0):\n"
        "        super().__init__(agent, n_agents, xp=xp, seed=seed)\n"
        "        self.scale = scale\n"
        "    def f(self, x, y, sample):\n        return float(x @ x) / 2\n"
        "    def f_x(self, x, y, sample):\n        return self.scale * x\n"
    )
    text = printed(capsys, "check", f"{tmp_path / 'mine.py'}:Mine")
    assert "single-level" in text.split("methods:")[1].split("\n")[0]
    assert (
        "not sparkle, which needs g_y and g_yy and f_y and g_xy" in text
        and text.count("missing\n") == 6
    )
    assert "WRONG" in printed(
        capsys, "check", f"{tmp_path / 'mine.py'}:Mine", "--set", "scale=1.1", code=1
    )
    assert "did you mean scale?" in printed(
        capsys, "check", f"{tmp_path / 'mine.py'}:Mine", "--set", "scal=1.1", code=2
    )


def test_mistakes_of_check(capsys):
    assert "did you mean quadratic?" in printed(capsys, "check", "quadratik", code=2)
    assert "not of the form key=value" in printed(
        capsys, "check", "quadratic", "--set", "p", code=2
    )
    assert "--agents: 0 is out of range" in printed(
        capsys, "check", "quadratic", "--agents", 0, code=2
    )


def test_lacking_oracles():
    assert catalogue.lacking(mpidbo.problems.ORACLES) == {name: [] for name in METHODS}
    assert catalogue.lacking(["f_x"])["sparkle"] == ["g_y", "g_yy", "f_y", "g_xy"]


# doctor


def verdicts(text):
    """what -> its verdicts, from the printed table."""
    found = {}
    for line in text.split("\n\n")[0].splitlines():
        verdict, what, *_ = line.split()
        found.setdefault(what, set()).add(verdict)
    return found


@pytest.fixture
def no_library(tmp_path):
    """The environment of a machine where mpi4py finds no MPI library."""
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("def rc(**options):\n    pass\n")
    (tmp_path / "mpi4py" / "MPI.py").write_text(
        "raise RuntimeError('cannot load MPI library\\nlibmpi.so: not found')"
    )
    return {"PYTHONPATH": str(tmp_path)}


def test_doctor_without_an_mpi_library(no_library, tmp_path):
    done = launch.mpirun(None, ["-m", "mpidbo", "doctor", "--folder", tmp_path], env=no_library)
    assert done.returncode == 0, done.stdout + done.stderr
    found = verdicts(done.stdout)
    assert (
        found["mpi"] == {"warning"}
        and found["hdf5"] == found["gossip"] == {"ok"}
        and "mpiexec" not in found
    )
    assert (
        "no MPI library can be loaded (cannot load MPI library)" in done.stdout
        and "mpidbo[mpich]" in done.stdout
    )


def test_doctor_on_two_ranks(mpi):
    done = mpi(2, ["-m", "mpidbo", "doctor"])
    assert done.returncode == 0, done.stdout + done.stderr
    found = verdicts(done.stdout)
    assert found["mpi"] == found["hdf5"] == found["gossip"] == found["threads"] == {
        "ok"
    } and "wrong" not in set().union(*found.values())
    assert done.stdout.count("2 ranks") == 3


def test_a_command_for_one_process_ignores_the_launcher(mpi):
    done = mpi(2, ["-m", "mpidbo", "topology", "ring", "-n", "4"])
    assert done.returncode == 0 and done.stdout.count("spectral gap") == 2


def test_a_launcher_without_a_library_is_wrong(no_library):
    code = (
        "import os, sys; os.environ['PMI_SIZE'] = '2'; "
        "from mpidbo.cli import main; sys.exit(main(['doctor']))"
    )
    done = launch.mpirun(None, ["-c", code], env=no_library)
    assert (
        done.returncode == 1
        and verdicts(done.stdout)["mpi"] == {"wrong"}
        and "1 wrong" in done.stdout
    )


def test_folder_that_cannot_be_written(tmp_path):
    lines = doctor.examine(None, folder=tmp_path / "nowhere", library="none")
    assert [line.verdict for line in lines if line.subject == "hdf5"] == ["wrong"]
    assert "--folder" in next(line.text for line in lines if line.subject == "hdf5")


def test_gpus(tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text(
        "__version__ = '13.0'\ndef is_available():\n    return False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    lines = doctor.examine(None, folder=tmp_path, library="none")
    assert [line.verdict for line in lines if line.subject == "gpu"] == ["warning"]
    sys.modules.pop("cupy", None)  # monkeypatch would put it back


def test_findings_of_ranks_are_merged():
    same, ours, theirs = (
        Finding("ok", "a", "same"),
        Finding("ok", "b", "1"),
        Finding("warning", "b", "2"),
    )
    merged = list(doctor._merged([[same, ours], [same, theirs], [same, ours], [same, ours]]))
    assert merged == [
        same,
        Finding("ok", "b", "1 (ranks 0, 2-3)"),
        Finding("warning", "b", "2 (rank 1)"),
    ]


def test_wrong_rows_are_seen(monkeypatch):
    from mpidbo.network import Gossip

    usual = Gossip.mix
    monkeypatch.setattr(Gossip, "mix", lambda self, s: usual(self, s) * (1 + 1e-9))
    assert check_gossip(None).verdict == "wrong"


# layout


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "", "0"),
        (9999, "", "9999"),
        (12345, "", "12.3 k"),
        (999.6, "B", "1 kB"),
        (1.5e9, "B", "1.5 GB"),
        (0.25, "", "0.25"),
        (4e21, "", "4e+06 P"),
    ],
)
def test_quantities(number, unit, text):
    assert quantity(number, unit) == text


def test_columns():
    assert aligned([("a", "b"), ("long", "c")]) == "a     b\nlong  c"
    assert aligned([("a", "10"), ("bb", "5")], right=True) == " a  10\nbb   5"
    assert aligned([]) == ""


def test_the_plan_counts_no_memory_of_whoever_started_it(tmp_path):
    (tmp_path / "a.toml").write_text('problem.name = "quadratic"\n')
    held = b"x" * (600 << 20)
    done = subprocess.run(
        [sys.executable, "-m", "mpidbo", "run", tmp_path / "a.toml", "--dry-run"],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: None,
    )  # so that it is forked
    assert held and float(re.search(r"memory +([\d.]+) MB a rank", done.stdout)[1]) < 400, (
        done.stdout + done.stderr
    )

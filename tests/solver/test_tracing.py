"""The timeline of a run: a Chrome trace whose spans nest, and add up to what the history counts."""

import json
from collections import Counter, defaultdict
from contextlib import suppress

import pytest

import mpidbo
from mpidbo import config
from mpidbo.parallel import MARK
from mpidbo.problems import Quadratic
from mpidbo.solver import Folder, Plan, tracing
from mpidbo.solver.timeline import Span, Timeline
from mpidbo.storage import read_arrays
from support.runs import QUADRATIC, run, toml


def checked(out, **run):
    return config.check(
        {
            "problem": {"name": "quadratic", "noise": 0.3},
            "run": {
                "agents": 3,
                "iterations": 7,
                "evaluate_every": 3,
                "trace": True,
                "out": out,
                **run,
            },
        }
    )


def events(out):
    """The spans of trace.json, after the names of the processes and threads, which are returned
    too."""
    trace = json.loads((out / "trace.json").read_text())
    assert trace.keys() == {"traceEvents", "displayTimeUnit"}
    names = [event for event in trace["traceEvents"] if event["ph"] == "M"]
    spans = [event for event in trace["traceEvents"] if event["ph"] != "M"]
    for span in spans:
        assert span["ph"] == "X" and isinstance(span["name"], str) and span["cat"]
        assert span["ts"] >= 0 and span["dur"] >= 0 and span["tid"] > span["pid"] >= 0
    assert not (out / "trace").exists()
    return names, spans


def tracks(spans):
    """The spans of each thread of each rank, in whole nanoseconds: (category, begin, end)."""
    found = defaultdict(list)
    for span in spans:
        begin = round(1000 * span["ts"])
        found[span["pid"], span["tid"]].append(
            (span["cat"], begin, begin + round(1000 * span["dur"]))
        )
    return found


def assert_nested(track):
    """No two spans overlap unless one is inside of the other; the outer one comes first."""
    around = []
    for category, begin, end in track:
        while around and around[-1][2] <= begin:
            around.pop()
        assert not around or end <= around[-1][2], (category, around)
        around.append((category, begin, end))


def test_the_file(tmp_path):
    path, out = toml(tmp_path, {**QUADRATIC, "run.trace": True}), tmp_path / "out"
    run(path, out)
    names, spans = events(out)
    assert [(name["name"], *name["args"].values()) for name in names] == [
        ("process_name", names[0]["args"]["name"]),
        ("process_sort_index", 0),
        ("thread_name", "iterations"),
        ("thread_name", "checkpoint writer"),
    ]
    assert names[0]["args"]["name"].endswith("agents 0 to 3")
    assert [span["args"]["k"] for span in spans if span["cat"] == "iteration"] == [*range(31)]
    for track in tracks(spans).values():
        assert_nested(track)
    history, _ = read_arrays(out / "history.h5")
    count = Counter(span["name"] for span in spans)
    assert {count[name] for name in ("g_y", "g_yy", "g_xy", "f_x")} == {31}
    assert 4 * count["g_y"] == history["calls_g_y"][-1] and count["W"] == history["rounds"][-1]
    assert count["draw"] == 3 * 31 and count["evaluation"] >= 8
    assert {(span["tid"], span["cat"]) for span in spans} == {
        *((1, name) for name in ("iteration", "oracle", "exchange", "update", "evaluation")),
        (1, "checkpoint"),
        (2, "writing"),
    }


class Clock:
    """A clock that advances where it is told to, and by a nanosecond whenever it is read."""

    now = 0

    def ns(self):
        self.now += 1
        return self.now

    def seconds(self):
        return self.ns() / 1e9


def test_sums_are_those_of_the_history(tmp_path, monkeypatch):
    clock = Clock()

    class Timed(Quadratic):
        def g_y(self, x, y, sample):
            clock.now += 1_000_000
            return super().g_y(x, y, sample)

        def metrics(self, x, y):
            clock.now += 300_000
            return {}

    for module in ("problems.oracle", "network.gossip", "solver.loop", "solver.evaluation"):
        monkeypatch.setattr(f"mpidbo.{module}.perf_counter", clock.seconds)
    for module in ("parallel.collectives", "solver.timeline", "solver.tracing"):
        monkeypatch.setattr(f"mpidbo.{module}.perf_counter_ns", clock.ns)
    out = tmp_path / "out"
    settings = {"iterations": 5, "evaluate_every": 1, "batched": "never", "out": out}
    result = mpidbo.solve(Timed, agents=3, **settings, trace=True)
    _, spans = events(out)
    sums = Counter()
    for span in spans:
        sums[span["cat"]] += span["dur"] / 1e6
    assert sums["iteration"] == pytest.approx(
        sums["oracle"] + sums["exchange"] + sums["update"], rel=1e-9
    )
    counted = {part: result.history[f"seconds_{part}"][-1] for part in ("oracle", "evaluation")}
    assert counted["oracle"] == pytest.approx(sums["oracle"], rel=1e-3)
    assert sums["oracle"] == pytest.approx(3 * 5 * 1e-3, rel=1e-3)
    # A row has the time of the evaluations before its own.
    assert counted["evaluation"] * 6 / 5 == pytest.approx(sums["evaluation"], rel=1e-2)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), mpidbo.Diverged("so far")])
def test_however_a_run_ends_its_objects_are_as_they_were(tmp_path, error):
    class Observer:
        def next(self, k):
            return k + 1

        def look(self, k, state, last):
            if error and k == 5:
                raise error

    settings = checked(str(tmp_path / "out"))
    with Plan(settings) as plan:
        objects = [plan.oracle, plan.W.x]
        before = [dict(vars(owner)) for owner in objects]
        tables, ending = plan.config.tables(), suppress(type(error) if error else ())
        with Folder(tmp_path / "out", tables, plan.agents, "auto") as folder, ending:
            plan.run(folder=folder, observers=[Observer()])
        for owner, was in zip(objects, before, strict=True):
            now = vars(owner)
            assert now.keys() == was.keys() and "draw" not in now and "mix" not in now
        assert plan.oracle.rows == before[0]["rows"] and MARK.spans is None
    _, spans = events(tmp_path / "out")
    assert sum(span["cat"] == "iteration" for span in spans) == (5 if error else 7)


def test_a_restart_begins_a_new_file(tmp_path):
    path, out = toml(tmp_path, {**QUADRATIC, "run.trace": True}), tmp_path / "out"
    run(path, out, run__iterations=20)
    (out / "trace").mkdir()  # as of a start that was killed
    (out / "trace" / "rank-7.json").touch()
    run(path, out)
    _, spans = events(out)
    assert [span["args"]["k"] for span in spans if span["cat"] == "iteration"] == [*range(20, 31)]


def test_a_disk_that_is_full_costs_a_warning(tmp_path, monkeypatch):
    def full(parts, path):
        raise OSError("No space left on device")

    monkeypatch.setattr(tracing, "_merge", full)
    with pytest.warns(UserWarning, match=r"run\.trace: .* not complete \(No space left on device"):
        result = mpidbo.solve("quadratic", agents=2, iterations=5, out=tmp_path / "out", trace=True)
    assert result.iteration == 5 and (tmp_path / "out" / "trace" / "rank-0.json").exists()


def test_without_a_folder_it_is_refused():
    with pytest.raises(mpidbo.UserError, match=r"run\.trace: .* this run has none; give run\.out"):
        mpidbo.solve("quadratic", agents=2, iterations=5, trace=True)


def test_only_the_newest_spans_are_kept():
    """Nothing is left of an iteration of which a part was dropped."""
    timeline = Timeline(6)
    for k in range(3):
        at = 100 * k
        timeline.spans.append(("oracle", "g_y", at + 10, at + 20))
        timeline.spans.append(("waiting", "wait", at + 32, at + 38))
        timeline.spans.append(("exchange", "W", at + 30, at + 40))
        timeline.spans.append(("iteration", k, at, at + 50))
    assert timeline.complete() == [
        Span("iteration", 2, 200, 250),
        Span("update", "update", 200, 210),
        Span("oracle", "g_y", 210, 220),
        Span("update", "update", 220, 230),
        Span("exchange", "W", 230, 240),
        Span("waiting", "wait", 232, 238),
        Span("update", "update", 240, 250),
    ]


def test_all_ranks_are_in_one_file_by_one_clock(mpi, tmp_path):
    path, out = toml(tmp_path, {**QUADRATIC, "run.trace": True}), tmp_path / "out"
    assert mpi(3, ["-m", "mpidbo", "run", path, "--out", out]).returncode == 0
    names, spans = events(out)
    labels = [name["args"]["name"] for name in names if name["name"] == "process_name"]
    assert [label.partition(", ")[2] for label in labels] == [
        "agents 0 to 0",
        "agents 1 to 1",
        "agents 2 to 3",
    ]
    found = tracks(spans)
    for track in found.values():
        assert_nested(track)
    # No thread has the number of another, or of a process, which Perfetto would put into one track.
    assert [*found] == [(0, 3), (0, 6), (1, 4), (1, 7), (2, 5), (2, 8)]
    found = {pid: track for (pid, tid), track in found.items() if tid == 3 + pid}
    # Evaluations are collective: there is a moment at which all ranks are in one.
    ranks = [[span for span in found[rank] if span[0] == "evaluation"] for rank in range(3)]
    for together in zip(*ranks, strict=True):
        assert max(begin for _, begin, _ in together) < min(end for _, _, end in together)
    assert all(any(category == "waiting" for category, *_ in found[rank]) for rank in range(3))


@pytest.mark.slow
def test_an_error_of_one_rank_leaves_the_timeline_of_that_rank(mpi, tmp_path):
    (tmp_path / "odd.py").write_text(
        "from mpidbo.problems import Quadratic\n"
        "class Odd(Quadratic):\n"
        "    calls = 0\n"
        "    def g_y(self, x, y, sample):\n"
        "        Odd.calls += 1\n"
        "        if self.agent == 1 and Odd.calls == 20:\n"
        "            raise ValueError('odd')\n"
        "        return super().g_y(x, y, sample)\n"
    )
    tables = {**QUADRATIC, "problem.name": "odd.py:Odd", "run.batched": "never", "run.trace": True}
    path = toml(tmp_path, tables)
    done = mpi(4, ["-m", "mpidbo", "run", path, "--out", tmp_path / "out"])
    assert done.returncode != 0 and "ValueError: odd" in done.stderr
    trace = json.loads((tmp_path / "out" / "trace" / "rank-1.json").read_text())
    assert any(event["name"] == "g_y" for event in trace["traceEvents"])

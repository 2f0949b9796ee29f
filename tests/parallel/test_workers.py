"""Agents divided among threads: the bits, errors and messages of one thread."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import mpidbo
from mpidbo import Problem
from mpidbo.errors import Diverged, UserError
from mpidbo.parallel import Agents, Workers, cores
from mpidbo.problems import PROBLEMS, Oracle, Quadratic, problem_class
from mpidbo.solver import dividing
from mpidbo.solver.position import position
from support.marks import with_sklearn

N = 8
NUMBERS = [1, 2, 3, 8]
SHIPPED = [
    ("quadratic", {"noise": 0.1}),
    ("linear-regression", {}),
    ("policy-evaluation", {"states": 20}),
    ("policy-evaluation-residual", {"states": 20}),
    ("nonconvex-toy", {"noise": 0.2}),
    ("minimax", {"noise": 0.3}),
    ("compositional", {"noise": 0.3}),
    ("unbounded-dissimilarity", {"noise": 0.3}),
    ("meta-learning", {"batch": 2}),
    ("logistic-tuning", {"batch": 10}),
    *with_sklearn(
        ("hyper-cleaning", {"batch": 5}),
        ("hyper-cleaning", {"model": "mlp", "hidden": [30]}),
        ("domain-reweighting", {"batch": 20, "n_train": 300}),
        ("hyper-representation", {"n_train": 300}),
        ("australian", {"batch": 20}),
    ),
]
METHODS = [
    "sparkle-gt",
    "d-soba",
    "sun-dsbo-se",
    "ma-dsbo",
    "gossip-dsbo",
    "slam",
    "f2sa",
    "adasdbo",
]


@pytest.fixture(autouse=True)
def _many_cores(monkeypatch):
    """Warnings about more threads than cores depend on the machine."""
    monkeypatch.setattr(dividing, "usable_cores", lambda: 16)
    monkeypatch.setattr(dividing, "free_cores", lambda: 16)


@pytest.fixture
def _often_switched():
    """Threads of Python take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class OneByOne(Quadratic):
    """Agents without stacked oracles."""

    thread_safe = True
    stacked = Problem.stacked


def bits(problem, method="sparkle-ed-gt", *, workers, iterations=4, **options):
    """What a run returns, and its history but for times."""
    found = mpidbo.solve(
        problem,
        method,
        agents=N,
        iterations=iterations,
        evaluate_every=2,
        workers=workers,
        checks="never",
        **options,
    )
    history = {
        name: values.tobytes()
        for name, values in found.history.items()
        if not name.startswith("seconds")
    }
    return found.x.tobytes(), found.y.tobytes(), history


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(("name", "options"), SHIPPED)
def test_bits_of_problems_do_not_depend_on_workers(name, options):
    first, *others = [bits({"name": name, **options}, workers=count) for count in NUMBERS]
    assert all(other == first for other in others)


@pytest.mark.usefixtures("_often_switched")
@pytest.mark.parametrize("problem", [Quadratic, OneByOne])
@pytest.mark.parametrize("method", METHODS)
def test_bits_of_methods_do_not_depend_on_workers(method, problem):
    given = {"name": problem, "noise": 0.1, "p": 3, "q": 4}
    first, *others = [bits(given, method, workers=count) for count in NUMBERS]
    assert all(other == first for other in others)


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(("name", "options"), with_sklearn(("hyper-cleaning", {"batch": 5})))
@pytest.mark.parametrize("how", [{"batched": "never"}, {"dtype": "float32"}])
def test_other_ways_of_calling_agents_have_these_bits(name, options, how):
    first, other = [
        bits({"name": name, **options}, "sparkle-gt", workers=count, **how) for count in (1, 3)
    ]
    assert other == first


@pytest.mark.slow
@pytest.mark.usefixtures("records", "_often_switched")
@pytest.mark.parametrize(
    ("name", "options"),
    with_sklearn(
        ("hyper-cleaning", {"model": "mlp", "hidden": [100], "batch": 20}),
        ("hyper-cleaning", {"split": "class", "batch": 40}),
    ),
)
def test_fifty_runs_have_the_same_bits(name, options):
    """A race is rare: each run has about a thousand calls of two to eight threads."""
    first = bits({"name": name, **options}, workers=1, iterations=20)
    for repetition in range(50):
        count = 2 + repetition % 7
        assert bits({"name": name, **options}, workers=count, iterations=20) == first, repetition


def test_every_shipped_problem_may_be_divided():
    for name in PROBLEMS:
        assert vars(problem_class(name))["thread_safe"], name


def test_threads_share_no_stack():
    """A stack keeps the last draw, which another thread must not see half made."""
    agents = [Quadratic(i, N, xp=np, seed=0, noise=1.0) for i in range(N)]
    oracle = Oracle(agents, Agents(N))
    oracle.divide(Workers(3))
    stacks = oracle.stacked["g_y"].func.__self__._stacks
    assert [len(stack.A) for stack in stacks] == [2, 3, 3]
    rows = [row for stack in stacks for row in stack.A]
    assert all(np.shares_memory(row, agent.A) for row, agent in zip(rows, agents, strict=True))


def test_threads_work_at_the_same_time():
    """Each part waits for the others to begin."""
    meeting, seen = threading.Barrier(3, timeout=20), []

    def work(part):
        meeting.wait()
        seen.append(list(part))

    Workers(3).divide(7, work)
    assert sorted(seen) == [[0, 1], [2, 3], [4, 5, 6]]


class Meeting(OneByOne):
    """Each agent waits until all threads have come to theirs."""

    barrier: threading.Barrier

    def g_y(self, x, y, sample):
        self.barrier.wait()
        return super().g_y(x, y, sample)


class StackedMeeting(Meeting):
    """The same with stacked oracles, which call the agents."""

    @classmethod
    def stacked(cls, agents):
        return MeetingStack(agents)


class MeetingStack:
    def __init__(self, agents):
        self.agents = agents

    def draw(self, rngs):
        return [None for _ in self.agents]

    def g_y(self, x, y, samples):
        called = zip(self.agents, x, y, samples, strict=True)
        return np.stack([agent.g_y(*rest) for agent, *rest in called])


@pytest.mark.parametrize("problem", [Meeting, StackedMeeting])
def test_agents_are_called_at_the_same_time(problem, monkeypatch):
    monkeypatch.setattr(Meeting, "barrier", threading.Barrier(2, timeout=20), raising=False)
    agents = [problem(i, 4, xp=np, seed=0) for i in range(4)]
    oracle = Oracle(agents, Agents(4))
    oracle.divide(Workers(2))
    assert ("g_y" in oracle.stacked) == (problem is StackedMeeting)
    oracle.full().g_y(np.ones((4, 5)), np.ones((4, 5)))


def test_few_agents_and_one_worker_start_no_thread():
    before = threading.active_count()
    parts = []
    Workers(1).divide(5, parts.append)
    Workers(4).divide(1, parts.append)
    assert parts == [range(5), range(1)] and threading.active_count() == before


def test_the_treatment_of_overflow_is_that_of_the_caller():
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        Workers(2).divide(2, lambda part: np.exp(np.full(1, 1000.0 * part.start)))
    with np.errstate(over="ignore"):
        Workers(2).divide(2, lambda part: np.exp(np.full(1, 1000.0 * part.start)))


def test_the_first_agent_in_order_is_named_when_all_have_answered():
    done = []

    def work(part):
        time.sleep(0.05 * (part.start == 2))
        done.append(part.start)
        if part.start:
            raise ValueError(part.start)

    with pytest.raises(ValueError, match="1"):
        Workers(4).divide(4, work)
    assert sorted(done) == [0, 1, 2, 3]


class Wrong(OneByOne):
    """Agents 3 and 6 return a wrong shape from some iteration on."""

    thread_safe = True

    def g_yy(self, x, y, v, sample):
        product = super().g_yy(x, y, v, sample)
        return product[1:] if self.agent in (3, 6) and abs(x).sum() > 0 else product


class Infinite(OneByOne):
    thread_safe = True

    def g_y(self, x, y, sample):
        slope = super().g_y(x, y, sample)
        return slope * np.inf if self.agent == 5 and abs(x).sum() > 0 else slope


class Loss(OneByOne):
    """Agents 2 and 7 have a loss that is not a number, away from the start."""

    thread_safe = True

    def f(self, x, y, sample):
        value = super().f(x, y, sample)
        return "many" if self.agent in (2, 7) and abs(x).sum() > 0 else value


@pytest.mark.parametrize(
    ("problem", "kind"), [(Wrong, UserError), (Infinite, Diverged), (Loss, UserError)]
)
def test_errors_have_the_sentence_of_one_worker(problem, kind):
    printed = []
    for count in (1, 2, 5):
        with pytest.raises(kind) as caught:
            bits(problem, "sparkle-ed", workers=count)
        printed.append(str(caught.value))
    assert printed[0] and printed == [printed[0]] * 3


class Interrupting(OneByOne):
    """Agent 7, which is not the caller's, has the process interrupted once."""

    thread_safe = True
    done = False

    def g_y(self, x, y, sample):
        if self.agent == N - 1 and abs(x).sum() > 0 and not Interrupting.done:
            Interrupting.done = True
            os.kill(os.getpid(), signal.SIGINT)
        return super().g_y(x, y, sample)


def test_an_interrupt_ends_a_run_of_several_threads(monkeypatch):
    monkeypatch.setattr(Interrupting, "done", False)
    found = mpidbo.solve(Interrupting, agents=N, iterations=10**6, workers=3, evaluate_every=100)
    assert found.stopped and 0 < found.iteration < 10**6


def test_a_run_is_resumed_with_other_workers(tmp_path):
    """As the same run; the result has the number of the last start."""
    given = {"name": Quadratic, "noise": 0.1}
    whole = mpidbo.solve(given, agents=N, iterations=20, workers=1)
    for iterations, count in ((7, 3), (20, 2)):
        found = mpidbo.solve(
            given,
            agents=N,
            iterations=iterations,
            workers=count,
            out=tmp_path / "run",
            resume="auto",
        )
    assert found.x.tobytes() == whole.x.tobytes() and found.y.tobytes() == whole.y.tobytes()
    assert mpidbo.load(tmp_path / "run").provenance["workers"] == 2


@pytest.mark.long
def test_each_of_several_ranks_may_have_workers(mpi, tmp_path):
    code = (
        "import sys, mpidbo\nfrom mpidbo import cli\n"
        "mpidbo.solve({'name': 'quadratic', 'noise': 0.1}, agents=8, iterations=20, workers=2, "
        "comm=cli.comm_world(), out=sys.argv[1])"
    )
    done = mpi(2, ["-W", "ignore", "-c", code, tmp_path / "run"])
    assert done.returncode == 0, done.stdout + done.stderr
    alone = mpidbo.solve({"name": "quadratic", "noise": 0.1}, agents=N, iterations=20, workers=1)
    found = mpidbo.load(tmp_path / "run")
    assert found.x.tobytes() == alone.x.tobytes() and found.y.tobytes() == alone.y.tobytes()
    assert (found.provenance["ranks"], found.provenance["workers"]) == (2, 2)


class Own(Quadratic):
    """A user's class, which does not inherit `thread_safe`."""


@pytest.mark.parametrize(
    ("problem", "options", "sentence"),
    [
        (
            Own,
            {},
            "run.workers: 2, but problem Own does not declare that threads may call its agents; "
            "set thread_safe = True in the class if no agent writes what another one reads, or "
            'leave it at "auto"',
        ),
        (Quadratic, {"threads": 2}, "run.workers: 2, but run.threads = 2 uses the cores already"),
        (Quadratic, {"batched": "always"}, 'run.workers: 2, but run.batched "always" calls all'),
    ],
)
def test_where_there_can_be_only_one_thread(problem, options, sentence):
    with pytest.raises(UserError) as caught:
        mpidbo.solve(problem, agents=N, iterations=1, workers=2, **options)
    assert str(caught.value).startswith(sentence)
    mpidbo.solve(problem, agents=N, iterations=1, **options)


@pytest.mark.parametrize("value", [0, -1, "two", 1.5, True, 2**40])
def test_what_is_no_number_of_workers(value):
    with pytest.raises(UserError, match=r'^run\.workers: .* does not fit; give "auto" or a whole'):
        mpidbo.solve("quadratic", iterations=1, workers=value)


def test_more_workers_than_cores_are_warned_about(monkeypatch):
    monkeypatch.setattr(dividing, "usable_cores", lambda: 2)
    with pytest.warns(UserWarning, match="run.workers: 3 threads on 2 usable cores take turns"):
        mpidbo.solve("quadratic", agents=N, iterations=1, workers=3)


@pytest.mark.parametrize(
    ("seconds", "gain", "free", "expected"),
    [(2e-3, 2, 3, 3), (2e-3, 2, 16, N), (2e-3, 2, 1, 1), (5e-4, 2, 3, 1), (2e-3, 0.8, 3, 1)],
)
def test_auto_takes_free_cores_where_they_gain(monkeypatch, seconds, gain, free, expected):
    def timed(oracle, *given):
        return seconds if oracle.workers.count == 1 else seconds / gain

    monkeypatch.setattr(dividing, "free_cores", lambda: free)
    monkeypatch.setattr(dividing, "seconds_of_call", timed)
    table = {"problem": {"name": "quadratic"}, "run": {"agents": N}}
    assert mpidbo.solver.Plan(mpidbo.config.check(table), None).oracle.workers.count == expected


@contextmanager
def files(monkeypatch, **contents):
    """Let `cores` read these contents in place of the machine's files, by their last names."""

    class File(type(cores.CONTROL_GROUPS)):
        def read_text(self):
            return contents[self.name.replace(".", "_")]

        def is_file(self):
            return self.name.replace(".", "_") in contents

    with monkeypatch.context() as patch:
        patch.setattr(cores, "Path", File)
        patch.setattr(cores, "CONTROL_GROUPS", File("/sys/fs/cgroup"))
        patch.setattr(cores.os, "cpu_count", lambda: 16)
        patch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(12)), raising=False)
        patch.delenv("SLURM_CPUS_PER_TASK", raising=False)
        yield patch


def test_usable_cores_are_the_least_of_all_limits(monkeypatch):
    with files(monkeypatch, cgroup="0::/\n", cpu_max="max 100000\n"):
        assert cores.usable_cores() == 12
    with files(monkeypatch, cgroup="0::/a/b\n", cpu_max="250000 100000\n") as patch:
        assert cores.usable_cores() == 3
        patch.setenv("SLURM_CPUS_PER_TASK", "2")
        assert cores.usable_cores() == 2
    one = {"cpu_cfs_quota_us": "400000", "cpu_cfs_period_us": "100000"}
    with files(monkeypatch, cgroup="3:memory:/x\n2:cpu,cpuacct:/y\n", **one):
        assert cores.usable_cores() == 4


@pytest.mark.parametrize(("running", "expected"), [(1, 12), (5, 12), (11, 6), (40, 1)])
def test_cores_that_others_use_are_not_free(monkeypatch, running, expected):
    with files(monkeypatch, cgroup="", loadavg=f"0.1 0.2 0.3 {running}/99 12\n"):
        assert cores.free_cores() == expected


def test_a_stall_is_reported_where_the_worker_is():
    """The caller's thread only waits for it."""
    release, found = threading.Event(), []

    def work(part):
        if part.start:
            release.wait(20)

    main = threading.Thread(target=lambda: Workers(2).divide(2, work))
    main.start()
    limit = time.monotonic() + 10
    while not found or "release.wait(20)" not in found[-1]:
        assert time.monotonic() < limit, found
        found.append(position(main.ident))
    release.set()
    main.join()
    assert found[-1].startswith("test_workers.py, line ")

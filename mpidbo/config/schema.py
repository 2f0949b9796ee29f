"""The sections of a configuration: their keys with type, range, default and meaning."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Required, TypedDict

from .._fields import Doc, Form, OneOf, Range, fields_of, is_list, is_table
from ..algorithms import STRATEGIES, Function
from ..errors import shown
from ..network import Part
from ..problems import metric_names, name_of, requestable
from .choices import Batched, Buffers, Checks, Device, Dtype, Fused, Mode
from .loggers import LOGGERS
from .values import plain

SECTIONS = ("problem", "method", "steps", "topology", "run", "checkpoint")
"""Names of the sections of a configuration, in the order of its file."""


class ProblemTable(TypedDict, total=False):
    """Keys of `[problem]`, beside the options of the problem."""

    name: Annotated[
        str,
        Doc(
            'one of the [problems](api/problems.md), `"my_file.py:MyProblem"`, or '
            '`"module:MyProblem"`, installed or in the working folder or beside the file; in '
            "`solve` also the class itself",
            default="needed",
        ),
    ]


Named = str | Mapping[str, Any]
"""A name, or a table with a name."""


class MethodTable(TypedDict, total=False):
    """Keys of `[method]`, beside the method's own constants."""

    name: Annotated[
        str,
        Doc(
            "one of the [methods](api/methods.md); its strategies may follow the name: "
            '`"sparkle-ed-gt"`',
            default='`"sparkle"`',
        ),
    ]
    lower: Annotated[
        Named,
        Doc(
            "the [strategy](api/choices.md) of y and z (t), or a [table](#methodlower) with its "
            "name",
            default="the method's",
        ),
    ]
    upper: Annotated[Named, Doc("the strategy of x, likewise", default="the method's")]
    strategy: Annotated[
        Named, Doc("one strategy for both levels; `lower` and `upper` take precedence over it")
    ]
    lower_ridge: Annotated[
        Any,
        Doc(
            "r_k of g + r_k \\|y\\|^2/2 in place of g, for a lower level that is merely convex: a "
            "number or a [schedule](methods.md#schedules) that does not grow; "
            "[what it does](methods.md#a-convex-lower-level)"
        ),
    ]


class StrategyTable(TypedDict, total=False):
    """Keys of the table of a strategy, which are checked by `algorithms.strategy`."""

    name: Required[Annotated[str, Doc("the strategy", default="needed")]]
    wire: Annotated[
        Literal["float32", "bfloat16"],
        Doc(
            "what messages of a strategy that sends in full are rounded to, R: it mixes by "
            "s + (W - I) R(s)",
            default="no rounding",
        ),
    ]
    compress: Annotated[
        str,
        Doc(
            "what travels of a row with `choco`, `beer` and `lead`: "
            "[one of these](choosing.md#compressed-messages)",
            default='`"top-k"`; `lead`: `"quantize"`',
        ),
    ]
    k: Annotated[Part, Doc("of `top-k` and `random-k`: how many entries travel", default="`0.1`")]
    bits: Annotated[int, Range(2, 16), Doc("of `quantize`: bits of an entry", default="`4`")]
    gamma: Annotated[
        float,
        Range(above=0, at_most=1),
        Doc(
            "by how much a step goes towards neighbours; the smaller, the fewer bytes travel",
            default="`choco` `0.2`, `beer` `0.3`, `lead` `0.3`",
        ),
    ]
    a: Annotated[
        float,
        Range(above=0, at_most=1),
        Doc("of `lead`: weight of a message in what neighbours know", default="`0.5`"),
    ]


Step = float | Mapping[str, Any] | Literal["auto"]
"""A number, or the table of a schedule, or what the run is to find."""


class StepsTable(TypedDict, total=False):
    """Keys of `[steps]`."""

    alpha: Annotated[Step, Doc("step size of x", default="the method's")]
    beta: Annotated[Step, Doc("step size of y", default="the method's")]
    gamma: Annotated[Step, Doc("step size of z, or of t", default="the method's")]
    theta: Annotated[
        Step,
        Doc(
            "weight of the newest estimate in the moving average r, at most 1",
            default="the method's",
        ),
    ]


STEPS = tuple(fields_of(StepsTable))
"""The keys of `[steps]`."""


StrategyName = Annotated[str, OneOf(lambda: STRATEGIES, "strategy", others=True)]
"""A strategy, or what a method's paper calls it."""
MetricName = Annotated[str, OneOf(metric_names, "metric", others=True)]
"""A column of the history; those of the problem are not known before it runs."""


class Stop(TypedDict, total=False):
    """Keys of a rule of `run.stop`."""

    metric: Required[
        Annotated[
            MetricName,
            Doc("a column of the history; one on request is then computed", default="needed"),
        ]
    ]
    below: Annotated[float, Doc("stop once the metric is smaller")]
    above: Annotated[float, Doc("stop once the metric is larger")]
    patience: Annotated[
        int,
        Range(1),
        Doc("stop once the metric has not improved on its best value for so many evaluations"),
    ]
    min_delta: Annotated[
        float,
        Range(0),
        Doc("an improvement for `patience` is one by more than this", default="`0`"),
    ]
    mode: Annotated[
        Mode,
        Doc(
            "whether the metric of `patience` is to become small or large",
            default="[by its name](#runstop)",
        ),
    ]


class BestRule(TypedDict, total=False):
    """Keys of `run.best`."""

    metric: Required[
        Annotated[
            MetricName,
            Doc("a metric of the history; one on request is then computed", default="needed"),
        ]
    ]
    mode: Annotated[
        Mode,
        Doc(
            "whether the smallest or the largest value is the best",
            default="[by its name](#runstop)",
        ),
    ]


@dataclass(frozen=True)
class Run:
    """The keys of `[run]`."""

    agents: Annotated[
        int | None, Range(1, 10**6), Doc("number of agents n; unset: the number of ranks")
    ] = None
    iterations: Annotated[int, Range(0), Doc("number of iterations")] = 1000
    seed: Annotated[int, Range(0), Doc("seed of the data and of all draws")] = 0
    dtype: Annotated[
        Dtype,
        Doc("type of all arrays; see [choosing](choosing.md#float32)"),
    ] = "float64"
    device: Annotated[
        Device,
        Doc(
            '`"cuda"`: [a GPU](gpu.md) for each rank, or an error; `"auto"`: the GPU if all ranks '
            "have one, else the CPU"
        ),
    ] = "cpu"
    buffers: Annotated[
        Buffers,
        Doc(
            'memory from which a GPU sends: `"host"`, for every MPI, or `"device"`, for one '
            "[built with CUDA](gpu.md#messages)"
        ),
    ] = "host"
    shared_memory: Annotated[
        bool, Doc("whether a node's ranks exchange long rows in [memory](cluster.md#shared-memory)")
    ] = True
    batched: Annotated[
        Batched,
        Doc(
            "whether one call evaluates all agents of a rank, where the problem can do that; "
            '`"exact"`: where it gives the same bits as one agent after the other, which is tried '
            "at the start"
        ),
    ] = "exact"
    fused: Annotated[
        Fused,
        Doc(
            "whether numba, `mpidbo[fast]`, compiles the updates of long rows, which gives the "
            'same bits; `"auto"`: where it is installed, and the run is long enough to gain'
        ),
    ] = "auto"
    checks: Annotated[
        Checks,
        Doc(
            "whether a run begins with a few calls that find a "
            "[problem that no method can use](losses.md#checks-at-the-start-of-a-run)"
        ),
    ] = "start"
    evaluate_every: Annotated[
        int,
        Range(1),
        Doc(
            "iterations between two rows of the history, each at the price of full-batch losses "
            "and the problem's metrics"
        ),
    ] = 50
    out: Annotated[
        str | None,
        Doc(
            "the run's folder, [free or with this run](checkpoint.md#folders); unset: "
            "`runs/NAME-OF-CONFIG`; in `solve`: no files"
        ),
    ] = None
    stop: Annotated[
        tuple[Stop, ...],
        Form(is_list, "a table, or a list of tables"),
        Doc(
            '[rules](#runstop) such as `{ metric = "distance", below = 1e-6 }` and `{ metric = '
            '"test_accuracy", patience = 10 }`, of which the first that applies ends the run'
        ),
    ] = ()
    best: Annotated[
        BestRule | None,
        Form(is_table, "a metric's name, or a table"),
        Doc(
            '`"auc"` or `{ metric = "auc", mode = "max" }`: keep the iterate at which that is '
            "[best](checkpoint.md#the-best-iterate)"
        ),
    ] = None
    start: Annotated[
        str | None, Doc("a `result.h5` or `best.h5`, at whose averages x and y start")
    ] = None
    threads: Annotated[
        int, Range(1, 4096), Doc("BLAS threads of a rank; the trajectory depends on them")
    ] = 1
    stall_timeout: Annotated[
        float,
        Range(0, 10**9),
        Doc(
            "seconds of waiting for another rank after which a run ends with exit code 4, from its "
            "start on; 0: never"
        ),
    ] = 300
    max_seconds: Annotated[
        float | None, Doc("stop after this time, with a checkpoint and exit code 85")
    ] = None
    metrics: Annotated[
        tuple[Annotated[str, OneOf(requestable, "metric on request")], ...],
        Doc("metrics on request, which are computed at each evaluation"),
    ] = ()
    log: Annotated[
        tuple[Any, ...],
        Form(is_list, f'a list of {", ".join(map(shown, LOGGERS))}, "module:Logger"'),
        Doc("[loggers](watching.md#loggers), which are given each row of the history"),
    ] = ()
    trace: Annotated[
        bool,
        Doc(
            "whether the folder gets a [timeline](watching.md#a-timeline) of all ranks, trace.json"
        ),
    ] = False


@dataclass(frozen=True)
class Checkpoint:
    """The keys of `[checkpoint]`."""

    every: Annotated[
        int,
        Range(0),
        Doc("iterations between two checkpoints; 0: only at the end and when stopped"),
    ] = 0
    keep: Annotated[int, Range(1), Doc("how many of the newest are kept")] = 2


RUN_FIELDS = fields_of(Run)
"""The keys of `[run]` with their types, ranges and meanings."""

FREE = {
    "run.iterations",
    "run.evaluate_every",
    "run.out",
    "run.device",
    "run.stop",
    "run.best",
    "run.metrics",
    "run.log",
    "run.trace",
    "run.buffers",
    "run.shared_memory",
    "run.batched",
    "run.fused",
    "run.checks",
    "run.max_seconds",
    "run.stall_timeout",
    "checkpoint.every",
    "checkpoint.keep",
    "tuning",
}
"""Keys that do not decide a trajectory, and may differ between two starts of one run."""


@dataclass(frozen=True)
class Config:
    """A checked configuration, with every default except those of the problem and the topology.

    Parameters
    ----------
    problem : Mapping
        `[problem]`: the name, or in Python the class, and the options as they were given.
    method : Mapping
        `[method]`: the method's name and all its keys.
    steps : Mapping
        `[steps]`: the step sizes that the method uses, as numbers or tables of a schedule.
    topology : Mapping
        `[topology]`, with the default name.
    run : Run
        `[run]`.
    checkpoint : Checkpoint, optional
        `[checkpoint]`.
    defaulted : tuple of str, optional
        The keys of `[steps]` that have the method's default.
    auto : tuple of str, optional
        The keys of `[steps]` that are to be found, and have a default until then.
    tuning : Mapping, optional
        `[tuning]`: how step sizes were found, where they were.
    """

    problem: Mapping[str, Any]
    method: Mapping[str, Any]
    steps: Mapping[str, Any]
    topology: Mapping[str, Any]
    run: Run
    checkpoint: Checkpoint = Checkpoint()
    defaulted: tuple[str, ...] = ()
    auto: tuple[str, ...] = ()
    tuning: Mapping[str, Any] = field(default_factory=dict)

    def tables(self) -> dict[str, Any]:
        """The configuration as plain tables, which config.toml holds.

        Returns
        -------
        dict
            Section -> its table: numbers, strings, lists and tables, without keys that are unset.
        """
        run = asdict(self.run)
        tables = {
            "problem": {**self.problem, "name": _named(self.problem["name"])},
            "method": _recorded(self.method),
            "steps": {**_recorded(self.steps), **dict.fromkeys(self.auto, "auto")},
            "topology": self.topology,
            "run": {**run, "log": [_named(logger) for logger in run["log"]]},
            "checkpoint": asdict(self.checkpoint),
        }
        if self.tuning:
            tables["tuning"] = self.tuning
        return {section: plain(table) for section, table in tables.items()}


def _recorded(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the names of functions in place of functions."""
    return {
        key: value.table() if isinstance(value, Function) else value for key, value in table.items()
    }


def _named(what: str | type[Any]) -> str:
    """The name by which a configuration refers to a class, or the name itself."""
    return name_of(what) if isinstance(what, type) else what

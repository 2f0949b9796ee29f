"""The keys of `[run]` and `[checkpoint]`, with type, range, default and meaning."""

from dataclasses import dataclass
from typing import Annotated, Any, Required, TypedDict

from .._fields import Doc, Form, OneOf, Range, fields_of, is_list, is_table
from ..errors import shown
from ..problems import metric_names, requestable
from .choices import MAX_THREADS, Batched, Buffers, Checks, Device, Dtype, Fused, Mode, Workers
from .loggers import LOGGERS

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
    overlap: Annotated[
        bool,
        Doc(
            "whether oracles are called while a message is under way that needs no answer of "
            "theirs ([slow networks](choosing.md#slow-networks)), with the same bits; needs numba"
        ),
    ] = False
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
        int, Range(1, MAX_THREADS), Doc("BLAS threads of a rank; the trajectory depends on them")
    ] = 1
    workers: Annotated[
        Workers,
        Doc(
            "threads among which the agents of a rank are divided, with the same bits whatever the "
            'number; `"auto"`: the cores that nobody else uses, '
            "[where they gain](choosing.md#all-cores-of-one-machine)"
        ),
    ] = "auto"
    survive: Annotated[
        int,
        Range(0),
        Doc(
            "iterations between two copies of a rank's rows in the memory of another, with which "
            "`mpidbo run` [continues when a rank dies](cluster.md#when-a-rank-dies); 0: never"
        ),
    ] = 0
    buddies: Annotated[
        int, Range(1, 2), Doc("with `survive`: how many other ranks have a copy of a rank's rows")
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
    "run.overlap",
    "run.checks",
    "run.workers",
    "run.max_seconds",
    "run.stall_timeout",
    "run.survive",
    "run.buddies",
    "checkpoint.every",
    "checkpoint.keep",
    "tuning",
}
"""Keys that do not decide a trajectory, and may differ between two starts of one run."""

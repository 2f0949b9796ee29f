"""`solve`: a run in one call from Python."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ClassVar, ParamSpec

from .._signals import Held
from .result import Result
from .stepwise import Solver

P = ParamSpec("P")


class _Whole(Solver):
    """The solver of `solve`, whose messages name that."""

    _call: ClassVar[str] = "solve"


def _with_arguments_of(
    made: Callable[P, Any],
) -> Callable[[Callable[..., Result]], Callable[P, Result]]:
    """Return a decorator for a function that passes its arguments on: it has their signature."""

    def decorate(function: Callable[..., Result]) -> Callable[P, Result]:
        @wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> Result:
            return function(*arguments, **named)

        vars(call)["__signature__"] = signature(made).replace(return_annotation=Result)
        return call

    return decorate


@_with_arguments_of(Solver)
def solve(*arguments: Any, **named: Any) -> Result:
    """Solve a decentralized bilevel problem.

    Every rank of the communicator calls it with the same arguments. `Solver` takes the same ones,
    and runs in steps.

    Parameters
    ----------
    problem : str, type or mapping
        The problem: the name of one that mpidbo has, ``"file.py:Class"``, ``"module:Class"``, or a
        subclass of `Problem`; with options a mapping ``{"name": one of these, option: value}``.
    method : str or mapping, default "sparkle"
        The method: its name, or a mapping ``{"name": ..., key: value}`` as ``[method]`` of a
        configuration.
    topology : str, mapping, array or graph, default "ring"
        The topology: its name, or a mapping as ``[topology]`` of a configuration; or W, a matrix
        (n, n) of numpy or scipy.sparse; or an undirected graph of networkx without weights, whose
        nodes are the agents 0, ..., n - 1, or in the graph's order where they are not integers.
        ``{"edges": W or graph, key: value}`` takes further keys.
    agents : int, optional
        The number of agents n; default: that of the graph or matrix that is given, else the number
        for which the problem has data, else the number of ranks.
    steps : mapping or "auto", optional
        Step sizes ``{"alpha": ..., "beta": ..., "gamma": ..., "theta": ...}``, numbers, mappings of
        schedules, functions of the iteration k, such as schedules of optax, or "auto"; default: the
        problem's own, else the method's. "auto" is found by short runs before the run, and for all
        of them if it takes the place of the mapping; `Result.config` has how, in ``tuning``. A
        folder keeps the name of a function, so that a restart cannot tell it from another one of
        this name.
    iterations : int, default 1000
        Iterations to do.
    comm : mpi4py.MPI.Comm, optional
        The communicator over whose ranks the agents are distributed; default: all agents are in
        this process, without MPI.
    callback : callable, optional
        ``callback(progress)`` is called at every evaluation with a `Progress`. If it returns True
        or raises StopIteration, on any rank, the run ends there on all ranks. Ranks may have
        different callbacks, or none.
    progress : bool, optional
        Whether rank 0 shows a bar, in a terminal or a notebook.
    out : str or Path, optional
        A folder for the run's files; default: no files.
    resume : {"never", "auto", "must"}, default "never"
        What to do if the folder has a run. "never" renames it to NAME.1, with a warning, and
        starts; "auto" resumes from its newest checkpoint, and returns its result if it has
        finished; "must" refuses to start without a checkpoint. A folder with other files or another
        run is refused.
    checkpoint : int or mapping, optional
        Iterations between two checkpoints, or a mapping as ``[checkpoint]`` of a configuration;
        default: one at the end, and when the run is stopped.
    x0, y0 : array or tree, optional
        Where x and y of all agents start: an array (p,) or (q,), or nested dicts and lists of
        arrays as `Problem.x_tree` returns them; default: the problem's own start.
    start : str, Path, Result, Saved or Best, optional
        An earlier run, at whose averages x and y start: its result.h5, best.h5 or folder, or
        itself, or its `Result.best`.
    stop : mapping or sequence of mappings, optional
        Rules such as ``{"metric": "distance", "below": 1e-6}``, of which the first that applies
        ends the run; see ``run.stop`` of a configuration.
    best : str or mapping, optional
        A metric, or ``{"metric": "score", "mode": "max"}``: `Result.best` is the iterate at which
        it is best.
    metrics : str or sequence of str, optional
        Metrics on request, which are computed at each evaluation.
    evaluate_every : int, default 50
        Iterations between two evaluations, each at the price of full-batch losses and the problem's
        metrics.
    log : str, type or sequence of these, optional
        Loggers, which are given each row of the history: ``"jsonl"``, ``"tensorboard"``,
        ``"mlflow"``, ``"wandb"``, ``"module:Class"``, or a class as `mpidbo.storage.Logger`.
    trace : bool, default False
        Whether the folder gets a timeline of all ranks, trace.json.
    max_seconds : float, optional
        Seconds after which the run stops, with a checkpoint.
    gather : bool, default True
        Whether the result has the rows of all agents on every rank.
    seed : int, default 0
        Seed of the data and of all draws.
    dtype : {"float64", "float32"}, default "float64"
        The type of all arrays.
    device : {"cpu", "cuda", "auto"}, default "cpu"
        Where arrays are; "auto": on GPUs if all ranks have one.
    buffers : {"host", "device"}, default "host"
        The memory from which a GPU sends.
    shared_memory : bool, default True
        Whether ranks of a node exchange long rows through memory that they share.
    batched : {"exact", "always", "never"}, default "exact"
        Whether one call evaluates all agents of a rank; "exact": where that gives the same bits.
    fused : {"auto", "always", "never"}, default "auto"
        Whether numba compiles the updates of long rows, with the same bits; "auto": where it is
        installed, and the run is long enough to gain.
    overlap : bool, default False
        Whether oracles are called while a message is under way that needs no answer of theirs, with
        the same bits; needs numba.
    checks : {"start", "never"}, default "start"
        Whether the run begins with a few calls that find a problem which no method can use.
    threads : int, default 1
        Threads of BLAS on each rank; the trajectory depends on them.
    workers : int or "auto", default "auto"
        Threads among which the agents of a rank are divided, with the same bits whatever the
        number; "auto": the cores that nobody else uses, where the problem is `thread_safe` and
        its oracles take long enough, and 1 on several ranks.
    survive, buddies : int, default 0 and 1
        Keys of a configuration file with which `mpidbo run` continues when a rank dies. A `survive`
        above 0 is refused here, since `comm`, which belongs to the caller, is lost with the rank.
    stall_timeout : float, default 300
        Seconds of waiting for another rank after which the job ends with exit code 4; 0: never.

    Returns
    -------
    Result
        Iterates, history and why the run ended. Also after an interrupt, with what there is by
        then.

    Raises
    ------
    UserError
        A mistake in the arguments, on every rank. The message names what is wrong, where, and the
        remedy.
    Diverged
        An iterate is not finite, on every rank. It has the last finite iterate and the history.

    Notes
    -----
    On several ranks any other exception prints its traceback and aborts the job, so that no rank is
    left waiting. A rank that fails before it calls `solve` ends the job if the script is started
    with ``mpiexec -n N python -m mpi4py script.py``; else the others wait ``stall_timeout`` seconds
    for it, and then end the job with exit code 4.

    What a run logs beside warnings goes to ``logging.getLogger("mpidbo")``.

    Examples
    --------
    >>> import mpidbo
    >>> result = mpidbo.solve("quadratic", method="sparkle-gt-ed", agents=8, iterations=500)
    >>> result.x.shape
    (8, 5)
    >>> def near(progress):
    ...     return progress.row["distance"] < 0.1
    >>> result = mpidbo.solve("quadratic", agents=8, iterations=500, callback=near)
    >>> result.reason
    'stopped by the callback'
    """
    # A signal that comes while the callback runs ends the run, too.
    with Held(), _Whole(*arguments, **named) as solver:
        # Not by `for`, whose variable would keep the state of an evaluation until the next one.
        while next(solver, None):
            pass
    return solver.result

"""Whether a run's updates are computed by compiled kernels."""

from typing import Any

from ..algorithms import Method
from ..config import Run
from ..errors import UserError
from ..parallel import Agents, Cuda, Fused, Host, Overlapping, why_not_fused

MIN_FLOATS = 50_000
"""Floats of a variable of a rank's agents from which a kernel is faster than numpy."""
MIN_WORK = 1e10
"""Floats of x and y that all iterations update, from which that gains more than compiling costs."""
PACKAGE = __name__.partition(".")[0]


def with_kernels(
    backend: Host, run: Run, method: Method, dims: tuple[int, int], agents: Agents
) -> Host:
    """Return the backend of a run: `backend`, or one that compiles updates for it.

    The bits are the same, so that ranks may choose differently whether updates are compiled; where
    messages overlap with oracles, which changes the calls of MPI, they do so on all ranks.

    Raises
    ------
    UserError
        `run.fused` is "always" where that cannot be done, or `run.overlap` is true.
    """
    reason = why_not_fused()
    if run.overlap and agents.size > 1 and not isinstance(backend, Cuda):
        if run.fused == "never":
            raise UserError(
                'run.overlap: it needs compiled updates; leave fused = "never" out, or overlap'
            )
        if reason:
            raise UserError(f"run.overlap: {reason}; install it, or leave overlap out")
        return Overlapping()
    if run.fused == "never" or isinstance(backend, Cuda):
        return backend
    if run.fused == "always":
        if reason:
            raise UserError(f'run.fused "always": {reason}; install it, or set fused = "auto"')
        return Fused()
    p, q = dims
    gains = agents.m * max(dims) >= MIN_FLOATS and run.iterations * agents.m * (p + q) >= MIN_WORK
    return Fused() if gains and not reason and _is_ours(method) else backend


def _is_ours(method: Method) -> bool:
    """Whether method and strategies are of this package; others may change arrays in place."""
    rules: list[Any] = [strategy.rule for strategy in method.strategies().values()]
    modules = [part.__module__.partition(".")[0] for part in [type(method), *rules]]
    return all(module == PACKAGE for module in modules)

"""Messages for what a user's function raised: the file, the line and the remedy."""

import inspect
import re
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from ...errors import MpidboError, UserError
from .arrays import brief

FIRST_ORDER = "or choose a method without second derivatives (see: mpidbo methods)"
REMEDIES = {
    r"derivative for .*attention.* is not implemented": (
        "this attention has no second derivative: compute it under "
        f"torch.nn.attention.sdpa_kernel(SDPBackend.MATH), {FIRST_ORDER}"
    ),
    r"torch\.compile|_dynamo|_inductor|BackendCompilerFailed|InductorError|CompileError": (
        f"give the module and the loss as they are, not compiled (eager), {FIRST_ORDER}"
    ),
    r"derivative for .* is not implemented|once_differentiable|[Dd]ouble.backward": (
        f"this operation has no second derivative: write it with others, {FIRST_ORDER}"
    ),
    r"[Ii]nference tensor": "make x0, y0 and data outside of torch.inference_mode()",
    r"does not require grad and does not have a grad_fn": (
        "leave out no_grad, detach and item on the way from x and y to the loss"
    ),
    r"in-?place operation": (
        "a tensor is changed in place; make a new one, such as y + 1 in place of y += 1"
    ),
    r"custom_vjp": (
        "jax.custom_vjp has no forward derivative, which products of second derivatives take: use "
        f"jax.custom_jvp, or write the function without it, {FIRST_ORDER}"
    ),
    r"callbacks do not support JVP|everse-mode differentiation does not work": (
        "this operation has no derivative: write it with others (jax.lax.scan, jax.numpy), "
        f"{FIRST_ORDER}"
    ),
    r"(Array|Bool|Integer)Conversion|Concretization|NonConcrete|UnexpectedTracer": (
        "JAX compiles your functions, so that they must be traceable: jax.numpy in place of numpy, "
        "jnp.where or jax.lax.cond in place of if, nothing kept from call to call"
    ),
    r"for later calls": "do that to the module before from_torch",
    r"out of sight of a loss": "use it in a method of the module, and call that in the loss",
    r"uninitialized parameter": (
        "call the module once on some samples before from_torch, so that its parameters have shapes"
    ),
}
"""Pattern of an error -> the remedy; the first that matches counts, so special ones come first."""
OUT_OF_MEMORY = r"OutOfMemory|can't allocate memory|RESOURCE_EXHAUSTED|[Oo]ut of memory"


def mistake(error: Exception, where: str, function: Any, remedy: str) -> Exception:
    """Return the error to raise for one that a user's function raised.

    Parameters
    ----------
    error : Exception
        What the function raised.
    where : str
        The beginning of the message.
    function : callable
        The user's function, whose line is named.
    remedy : str
        What to do, unless a better remedy is known for this error.

    Returns
    -------
    Exception
        A UserError; a MemoryError for lack of memory; an error of mpidbo as it is.
    """
    if isinstance(error, (MpidboError, MemoryError)):
        return error
    name = type(error).__name__
    words = f"{type(error).__module__}.{name}: {error}"
    if re.search(OUT_OF_MEMORY, words):
        return MemoryError(brief(str(error)))
    for pattern, better in REMEDIES.items():
        if re.search(pattern, words):
            remedy = better
            break
    message = brief(str(error), 240) or "no message"  # so that a remedy fits
    return UserError(f"{where}: {_line(error, function)}{brief(name, 60)}: {message}; {remedy}")


def _line(error: Exception, function: Any) -> str:
    """The line of the user's file in which that happened, or else in which the function begins."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.lineno]
    file = _file(function)
    mine = [frame for frame in frames if frame.filename == file]
    mine = mine or [frame for frame in frames if not _is_library(frame.filename)]
    if mine:
        return f"{mine[-1].filename}, line {mine[-1].lineno}: "
    code = getattr(_routine(function), "__code__", None)  # raised by a derivative: where it begins
    return f"{code.co_filename}, line {code.co_firstlineno}: " if code else ""


def _routine(function: Any) -> Any:
    """The function that a partial or wrapped one calls in the end."""
    while hasattr(function, "func"):
        function = function.func
    return inspect.unwrap(function)


def _file(function: Any) -> str:
    """The file of a function, or of the class of an object that can be called."""
    try:
        routine = _routine(function)
        known = inspect.isroutine(routine) or inspect.isclass(routine)
        return inspect.getfile(routine if known else type(routine))
    except (TypeError, ValueError, OSError):
        return ""


def _is_library(file: str) -> bool:
    folders = (
        str(Path(__file__).resolve().parents[2]),
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    )
    return file.startswith(("<", *folders)) or "site-packages" in file or "dist-packages" in file

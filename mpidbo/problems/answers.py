"""Answers of oracles: their description, their bits, and whether a run can use them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import UserError, shown


def returned(answer: Any) -> str:
    """Describe what an oracle returned, for a message.

    "shape (3,)", or the value where it has no numbers.
    """
    if answer is None:
        return "nothing"
    try:
        shape = np.shape(answer)
        dtype = getattr(answer, "dtype", None) or np.asarray(answer).dtype
    except ValueError:  # a list of lists of different lengths
        return shown(answer)
    kind = getattr(dtype, "kind", "f")  # a framework's own types have none
    if kind == "c" and shape:
        return f"shape {shape} of complex numbers"
    return f"shape {shape}" if kind in "biuf" else shown(answer)


def check_answer(problem: Any, name: str, agent: int, answer: Any, width: int, xp: Any) -> None:
    """Raise UserError unless the answer of an oracle has shape (width,) and is an array of `xp`.

    `agent` is the number of the agent in the whole network, for the message.
    """
    where = f"problem {type(problem).__name__}.{name}: agent {agent}"
    if returned(answer) != f"shape ({width},)":
        raise UserError(
            f"{where} returns {returned(answer)}, expected shape ({width},); fix it (see: mpidbo "
            "check)"
        )
    if xp is not np and isinstance(answer, np.ndarray):
        raise UserError(
            f"{where} returns an array of numpy, but the run is on the GPU; compute with self.xp, "
            "and bring data there by self.xp.asarray"
        )


def check_loss(problem: Any, name: str, agent: int, answer: Any) -> float:
    """Return a loss as a float. Raises UserError where it is not a number."""
    try:
        if isinstance(answer, (str, bytes)):  # float("1") is a number, "1" is not a loss
            raise TypeError
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"problem {type(problem).__name__}.{name}: agent {agent} returns {returned(answer)}, "
            "expected a number; fix it (see: mpidbo check)"
        ) from None


def bits_of(value: Any, depth: int = 5) -> Iterator[bytes]:
    """Yield the bits of all arrays and numbers in an answer or a sample, to that depth."""
    if isinstance(value, dict):
        value = tuple(value.values())
    elif isinstance(value, (bool, int, float, str)):
        yield repr(value).encode()
    elif hasattr(value, "detach"):  # a tensor of PyTorch, on whatever device
        yield value.detach().cpu().numpy().tobytes()
    elif hasattr(value, "tobytes"):
        yield value.tobytes()
    elif hasattr(value, "__dict__"):
        value = tuple(vars(value).values())
    if isinstance(value, (tuple, list)) and depth:
        for part in value:
            yield from bits_of(part, depth - 1)

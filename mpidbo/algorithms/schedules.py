"""Step sizes and other constants that may vary with the iteration k = 0, 1, 2, ..."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError, did_you_mean, is_one_of, shown


@dataclass(frozen=True)
class Power:
    """start (1 + k/offset)^exponent, times min(1, (k+1)/warmup)."""

    start: float
    exponent: float = 0.0
    offset: float = 1.0
    warmup: int = 0

    def __call__(self, k: int) -> float:
        try:
            value = self.start if self.exponent == 0 else self.start * (1 + k / self.offset) ** self.exponent
        except OverflowError:                           # the run diverges, and says so
            value = math.inf
        return value * (k + 1) / self.warmup if k + 1 < self.warmup else value


Schedule = Power
LARGEST = sys.float_info.max

KINDS: dict[str, tuple[str, ...]] = {
    "constant": ("start",),
    "inverse-sqrt": ("start", "offset"),
    "inverse-time": ("start", "offset"),
    "power": ("start", "exponent", "offset"),
    "sqrt-n-over-t": ("scale", "horizon"),
}
EXPONENTS = {"constant": 0.0, "inverse-sqrt": -0.5, "inverse-time": -1.0}


def schedule(spec: "float | Mapping[str, Any] | Schedule", n: int, where: str, horizon: int | None = None) -> Schedule:
    """A schedule from a number or its table.

    Kinds: constant (start), inverse-sqrt (start, offset): start/sqrt(1 + k/offset), inverse-time (start, offset):
    start/(1 + k/offset), power (start, exponent, offset): start (1 + k/offset)^exponent, sqrt-n-over-t (scale,
    horizon): scale sqrt(n/horizon); any with warmup = m: times min(1, (k+1)/m). A missing horizon is `horizon`, the run's
    iterations. Raises UserError.
    """
    if isinstance(spec, Schedule):
        return spec
    if not isinstance(spec, Mapping):
        return Power(_number(spec, where, 0))
    kind = spec.get("kind", "constant")
    if not is_one_of(kind, KINDS):
        raise UserError(f"{where}.kind: no schedule is called {shown(kind)}; {did_you_mean(kind, KINDS)}")
    keys = (*KINDS[kind], "warmup")
    for key in spec:
        if key not in ("kind", *keys):
            raise UserError(f"{where}.{key}: unknown key of schedule {kind}; {did_you_mean(key, keys)}")
    values = {key: _number(spec[key], f"{where}.{key}", -math.inf if key == "exponent" else 0) for key in keys if key in spec}
    warmup = values.pop("warmup", 0)
    if warmup % 1:
        raise UserError(f"{where}.warmup: {warmup:g} is not a whole number of iterations; give one, such as {math.ceil(warmup)}")
    if kind == "sqrt-n-over-t":
        values.setdefault("horizon", float(horizon or 0))
        if values["horizon"] < 1:
            raise UserError(f"{where}.horizon: needed, a number of iterations of at least 1; set it in the schedule's table")
        return Power(values.get("scale", 1.0) * math.sqrt(n / values["horizon"]), warmup=int(warmup))
    for key in ("start", "exponent")[:1 + (kind == "power")]:
        if key not in values:
            raise UserError(f"{where}.{key}: needed by schedule {kind}; set it in the schedule's table")
    if values.get("offset", 1) <= 0:
        raise UserError(f"{where}.offset: {values['offset']:g} is not positive; set a positive number of iterations")
    return Power(values["start"], values.get("exponent", EXPONENTS.get(kind, 0.0)), values.get("offset", 1.0), int(warmup))


def _number(value: Any, where: str, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise UserError(f"{where}: {shown(value)} is not a finite number; give a number or a schedule's table")
    if value < least:
        raise UserError(f"{where}: {value:g} is negative; give a number of at least 0")
    return float(value)

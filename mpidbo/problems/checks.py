"""Is a problem right: its oracles against finite differences, and the manners that a run relies on."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .base import ORACLES, Problem

# What each oracle is the derivative of, and in which variable; a gradient is differentiated along v.
DERIVATIVE_OF = {"f_x": ("f", "x"), "f_y": ("f", "y"), "g_x": ("g", "x"), "g_y": ("g", "y"),
                 "g_yy": ("g_y", "y"), "g_xy": ("g_y", "x")}
# Powers of the rounding unit: the step of central differences, and a short one that seldom meets a kink.
STEPS = (1 / 3, 0.45)
# Likewise: of a difference, and of the symmetry.
TOLERANCE, SYMMETRY = 0.3, 0.6
NEAR = 0.1


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; `error` is the worst relative error, NaN where nothing could be compared."""

    name: str
    ok: bool
    error: float
    detail: str


def check(problem: Problem, *, rng: np.random.Generator, points: int = 3) -> list[Finding]:
    """Compare every oracle of `problem` with central differences at random points near `start`.

    f_x, f_y, g_x and g_y are compared with f and g, g_yy and g_xy with <g_y, v>, and g_yy must be symmetric: with the
    full batch and with a drawn sample, along random directions, for two lengths of the step, of which the better counts
    (a loss may have kinks). Every oracle must return a new, finite float or array of the right shape and type, the
    same bits for the same arguments, and leave its arguments alone; a draw must depend on its rng alone; dims and start
    must fit. Where there is a project_x, it must leave the start and its own points where they are, and bring no two points
    further apart. An oracle that is missing, or whose loss is, is listed with the error NaN and is no failure.
    Single precision sees gross mistakes only: check in float64.
    """
    first = _guarded("dims, start", lambda: _start(problem))
    if not first.ok:
        return [first]
    places = [Place.near_start(problem, rng) for _ in range(points)]
    second = _guarded("draw", lambda: _draw(problem, rng))
    if second.ok:
        drawn = [replace(place, sample=problem.draw(rng)) for place in places]
        places += [place for place in drawn if place.sample is not None]
    projection = [] if getattr(problem, "project_x", None) is None else [_guarded("project_x", lambda: _projection(problem, places))]
    return [first, second, *projection, *(finding for name in ORACLES for finding in _oracle(problem, name, places, rng))]


def report(findings: list[Finding]) -> str:
    """The findings as a plain table, one line each: name, ok, WRONG or - (not compared), error, detail."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        error = "" if math.isnan(finding.error) else f"{finding.error:.1e}"
        verdict = "WRONG" if not finding.ok else "ok" if error else "-"
        lines.append(f"{finding.name:{width}}  {verdict:5}  {error:7}  {finding.detail}")
    return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True)
class Place:
    """Where an oracle is called: x, y, two vectors u and v of y's shape, and a sample."""

    x: Any
    y: Any
    u: Any
    v: Any
    sample: Any = None

    @staticmethod
    def near_start(problem: Problem, rng: np.random.Generator) -> "Place":
        x, y = (_like(problem, _host(part) + NEAR * rng.standard_normal(part.size)) for part in problem.start())
        u, v = (_like(problem, rng.standard_normal(y.size)) for _ in range(2))
        return Place(x, y, u, v)

    def arguments(self, name: str) -> tuple[Any, ...]:
        return (self.x, self.y, *((self.v,) if name in ("g_yy", "g_xy") else ()), self.sample)

    def call(self, problem: Problem, name: str) -> Any:
        return getattr(problem, name)(*self.arguments(name))


def _guarded(name: str, body: Callable[[], Finding]) -> Finding:
    try:
        return body()
    except Exception as error:
        return Finding(name, False, math.nan, f"raised {type(error).__name__}: {error}")


def _start(problem: Problem) -> Finding:
    p, q = problem.dims
    parts = [_host(part) for part in problem.start()]
    shapes = [part.shape for part in parts]
    ok = min(p, q) > 0 and shapes == [(p,), (q,)] and all(np.isfinite(part).all() for part in parts)
    detail = f"dims {(p, q)}, start of shapes {', '.join(map(str, shapes))}"
    return Finding("dims, start", ok, 0.0 if ok else math.nan,
                   detail if ok else f"{detail}; expected p, q > 0 and two finite arrays of shapes (p,), (q,)")


def _draw(problem: Problem, rng: np.random.Generator) -> Finding:
    seed = int(rng.integers(2**31))
    sample, _, again = (problem.draw(np.random.default_rng(s)) for s in (seed, seed + 1, seed))
    if sample is None and again is None:
        return Finding("draw", True, math.nan, "no draws: every sample is the full batch")
    if not (bits := list(bits_of(sample))):
        return Finding("draw", True, math.nan, "not compared: no numbers or arrays found in a sample")
    if bits != list(bits_of(again)):
        return Finding("draw", False, math.nan, "differs between equal rngs; take all randomness from the rng given")
    return Finding("draw", True, 0.0, "a function of its rng")


def _projection(problem: Problem, places: list["Place"]) -> Finding:
    points = [problem.start()[0], *(place.x for place in places)]
    there = [problem.project_x(x.copy()) for x in points]
    if any(np.shape(p) != np.shape(x) for x, p in zip(points, there, strict=True)):
        return Finding("project_x", False, math.nan, f"returns shape {np.shape(there[0])}, not {np.shape(points[0])}")
    x, p = (np.stack([_host(part) for part in parts]) for parts in (points, there))
    slack = np.finfo(points[0].dtype).eps**SYMMETRY * (1 + np.abs(x).max())
    again = np.stack([_host(problem.project_x(part)) for part in there])
    before, after = (np.linalg.norm(rows[:, None] - rows[None], axis=2) for rows in (x, p))
    for wrong, detail in ((np.abs(again - p).max() > slack, "moves its own points: not a projection"),
                          (np.abs(p[0] - x[0]).max() > slack, "moves the start, which is to lie in the set"),
                          ((after > before + slack).any(), "brings points further apart: not the nearest point of a convex set")):
        if wrong:
            return Finding("project_x", False, math.nan, detail)
    return Finding("project_x", True, 0.0, "leaves its own points and the start, brings none further apart")


def _oracle(problem: Problem, name: str, places: list[Place], rng: np.random.Generator) -> Iterator[Finding]:
    if getattr(problem, name, None) is None:
        yield Finding(name, True, math.nan, "missing")
        return

    def manners() -> Finding:
        for place in places:
            if wrong := _wrong_manners(problem, name, place):
                return Finding(name, False, math.nan, f"{wrong} ({_where(place)})")
        return Finding(name, True, 0.0, "finite, repeatable")

    finding = _guarded(name, manners)
    if finding.ok and name in DERIVATIVE_OF:
        source, variable = DERIVATIVE_OF[name]
        if getattr(problem, source, None) is None:
            finding = Finding(name, True, math.nan, f"not compared: {source} is missing")
        else:
            finding = _guarded(name, lambda: _worst(name, f"differences of {source} in {variable}", TOLERANCE, [
                (_difference_error(problem, name, place, rng), place) for place in places]))
    yield finding
    if name == "g_yy" and not finding.detail.startswith("raised"):
        yield _guarded("g_yy symmetric", lambda: _worst("g_yy symmetric", "<u, g_yy v> = <v, g_yy u>", SYMMETRY, [
            (_asymmetry(problem, place), place) for place in places]))


def _worst(name: str, detail: str, power: float, errors: list[tuple[float, Place]]) -> Finding:
    """The worst place; the tolerance is that power of the rounding unit."""
    error, place = max(errors, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0])
    ok = bool(error < np.finfo(place.x.dtype).eps**power)
    error = error if math.isfinite(error) else math.inf
    return Finding(name, ok, error, detail if ok else f"{detail} ({_where(place)})")


def _wrong_manners(problem: Problem, name: str, place: Place) -> str:
    arguments = place.arguments(name)
    before = list(bits_of(arguments))
    first = place.call(problem, name)
    kept = list(bits_of(first))
    replace(place, x=place.x + NEAR, y=place.y - NEAR, v=place.u).call(problem, name)
    untouched = kept == list(bits_of(first))
    again = place.call(problem, name)
    if before != list(bits_of(arguments)):
        return "modifies its arguments"
    if name in DERIVATIVE_OF:
        shape = (place.x if name.endswith(("_x", "_xy")) else place.y).shape
        if getattr(first, "shape", None) != shape:
            return f"returns shape {getattr(first, 'shape', type(first).__name__)}, not {shape}"
        if first.dtype != place.x.dtype:
            return f"returns {first.dtype} for {place.x.dtype} arguments"
        if not untouched or any(first is part for part in arguments):
            return "returns an array that is not new; a later call or the caller may overwrite it"
    elif np.ndim(_host(first)) != 0:
        return f"returns shape {first.shape}, not a float"
    if not np.isfinite(_host(first)).all():
        return "returns a value that is not finite"
    return "" if kept == list(bits_of(again)) else "returns other bits when called again"


@dataclass(frozen=True)
class Quotient:
    """A central difference of an oracle's source beside what the oracle says of it, and the size that both are relative to."""

    difference: float
    product: float
    size: float

    @property
    def mismatch(self) -> float:
        """The relative error, with its sign."""
        return (self.difference - self.product) / self.size


def quotients(problem: Problem, name: str, place: Place, direction: np.ndarray,
              powers: Iterable[float]) -> Iterator[Quotient]:
    """Along a direction d of length 1: d/dt of the source at (variable + t d), against <oracle, d>; one for each
    step, which is that power of the rounding unit.

    The size is that of the slope; of a typical slope, or what rounding leaves of it, where that is more.
    """
    source, variable = DERIVATIVE_OF[name]
    centre, gradient = getattr(place, variable), _host(place.call(problem, name))
    eps, v = float(np.finfo(centre.dtype).eps), _host(place.v)
    for power in powers:
        step = eps**power
        ends = [problem.xp.asarray(_host(centre) + sign * step * direction, dtype=centre.dtype) for sign in (1, -1)]
        values = [_host(replace(place, **{variable: end}).call(problem, source)) for end in ends]
        move = _host(ends[0]) - _host(ends[1])
        if source == "g_y":
            size, difference = max(map(np.linalg.norm, values)), float((values[0] - values[1]) @ v)
        else:
            size, difference = max(map(abs, values)), float(values[0] - values[1])
        product = float(gradient @ move)
        typical = float(np.linalg.norm(gradient) * np.linalg.norm(move)) / math.sqrt(move.size)
        rounding = 4 * eps * float(size) / eps**TOLERANCE
        yield Quotient(difference, product, max(abs(difference), abs(product), typical, rounding, 1e-300))


def _difference_error(problem: Problem, name: str, place: Place, rng: np.random.Generator) -> float:
    """The error along a random direction, for the better of the steps."""
    direction = rng.standard_normal(getattr(place, DERIVATIVE_OF[name][1]).size)
    direction /= np.linalg.norm(direction)
    return min(abs(found.mismatch) for found in quotients(problem, name, place, direction, STEPS))


def _asymmetry(problem: Problem, place: Place) -> float:
    u, v = _host(place.u), _host(place.v)
    Hv, Hu = (_host(replace(place, v=part).call(problem, "g_yy")) for part in (place.v, place.u))
    size = np.linalg.norm(u) * np.linalg.norm(Hv) + np.linalg.norm(v) * np.linalg.norm(Hu)
    return abs(float(u @ Hv - v @ Hu)) / max(float(size), 1e-300)


def _where(place: Place) -> str:
    return "full batch" if place.sample is None else "drawn sample"


def _like(problem: Problem, values: np.ndarray) -> Any:
    return problem.xp.asarray(values, dtype=getattr(problem, "dtype", np.float64))


def _host(values: Any) -> Any:
    """A float64 numpy copy."""
    return np.array(values.get() if hasattr(values, "get") else values, dtype=np.float64)


def bits_of(value: Any, depth: int = 5) -> Iterator[bytes]:
    """The bits of all arrays and numbers in a result or sample."""
    if isinstance(value, dict):
        value = tuple(value.values())
    elif isinstance(value, (bool, int, float, str)):
        yield repr(value).encode()
    elif hasattr(value, "detach"):                                 # a tensor of PyTorch, on whatever device
        yield value.detach().cpu().numpy().tobytes()
    elif hasattr(value, "tobytes"):
        yield value.tobytes()
    elif hasattr(value, "__dict__"):
        value = tuple(vars(value).values())
    if isinstance(value, (tuple, list)) and depth:
        for part in value:
            yield from bits_of(part, depth - 1)

"""Checks of a problem: finite differences of its oracles, and the rules that a run relies on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .answers import bits_of
from .base import ORACLES, Problem
from .differences import (
    DERIVATIVE_OF,
    START_DISTANCE,
    TOLERANCE_POWER,
    Arguments,
    float64,
    quotients,
)

STEP_POWERS = (1 / 3, 0.45)
"""Steps as powers of the rounding unit: that of central differences, and a short one that rarely
meets a kink."""
SYMMETRY_POWER = 0.6
"""The tolerance of symmetry and of projections, as a power of the rounding unit."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    name : str
        What was checked: an oracle, "draw", "project_x", ...
    ok : bool
        Whether nothing wrong was found.
    error : float
        The largest relative error; NaN where nothing could be compared.
    detail : str
        What was compared, or what is wrong.
    """

    name: str
    ok: bool
    error: float
    detail: str


def check(problem: Problem, *, rng: np.random.Generator, points: int = 3) -> list[Finding]:
    """Compare every oracle of a problem with central differences at random points near its start.

    Parameters
    ----------
    problem : Problem
        One agent, in float64: single precision shows gross mistakes only.
    rng : numpy.random.Generator
        Draws the points, the directions and the samples.
    points : int, default 3
        Number of points.

    Returns
    -------
    list of Finding
        In this order: dims and start, draw, projections if there are any, then the oracles. A
        missing oracle, or one whose loss is missing, has the error NaN and is not a failure.

    Notes
    -----
    f_x, f_y, g_x and g_y are compared with f and g, g_yy and g_xy with <g_y, v>, with the
    full batch and with a drawn sample, along random directions, for two lengths of the step, of
    which the better counts (a loss may have kinks). g_yy must be symmetric.

    Every oracle must return a new, finite float or array of the right shape and type, the same bits
    for the same arguments, and leave its arguments as they are. A draw must depend on its rng
    alone. A projection must not move the start or its own points, and must not bring two points
    further apart.
    """
    first = _guarded("dims, start", lambda: _start(problem))
    if not first.ok:
        return [first]
    places = [Arguments.near_start(problem, rng) for _ in range(points)]
    second = _guarded("draw", lambda: _draw(problem, rng))
    if second.ok:
        drawn = [replace(place, sample=problem.draw(rng)) for place in places]
        places += [place for place in drawn if place.sample is not None]
    findings = [first, second]
    for level in "xy":
        if getattr(problem, f"project_{level}", None) is not None:
            check = partial(_projection, problem, level, places)
            findings.append(_guarded(f"project_{level}", check))
    for name in ORACLES:
        findings += _oracle(problem, name, places, rng)
    return findings


def report(findings: list[Finding]) -> str:
    """Return the findings as a table in plain text.

    Parameters
    ----------
    findings : list of Finding
        As `check` returns them.

    Returns
    -------
    str
        A line for each: name; ok, WRONG or - (not compared); error; detail.
    """
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        error = "" if math.isnan(finding.error) else f"{finding.error:.1e}"
        verdict = "ok" if error else "-"
        if not finding.ok:
            verdict = "WRONG"
        lines.append(f"{finding.name:{width}}  {verdict:5}  {error:7}  {finding.detail}")
    return "\n".join(line.rstrip() for line in lines)


def _guarded(name: str, body: Callable[[], Finding]) -> Finding:
    """The finding of a check, which fails where the problem raises."""
    try:
        return body()
    except Exception as error:
        return _wrong(name, f"raised {type(error).__name__}: {error}")


def _wrong(name: str, detail: str) -> Finding:
    return Finding(name, False, math.nan, detail)


def _start(problem: Problem) -> Finding:
    name = "dims, start"
    p, q = problem.dims
    parts = [float64(part) for part in problem.start()]
    shapes = [part.shape for part in parts]
    detail = f"dims {(p, q)}, start of shapes {', '.join(map(str, shapes))}"
    is_finite = all(np.isfinite(part).all() for part in parts)
    if min(p, q) > 0 and shapes == [(p,), (q,)] and is_finite:
        return Finding(name, True, 0.0, detail)
    return _wrong(name, f"{detail}; expected p, q > 0 and two finite arrays of shapes (p,), (q,)")


def _draw(problem: Problem, rng: np.random.Generator) -> Finding:
    seed = int(rng.integers(2**31))
    # Another draw in between, as a draw must not depend on the one before.
    sample, _, again = (problem.draw(np.random.default_rng(s)) for s in (seed, seed + 1, seed))
    if sample is None and again is None:
        return Finding("draw", True, math.nan, "no draws: every sample is the full batch")
    bits = list(bits_of(sample))
    if not bits:
        detail = "not compared: no numbers or arrays found in a sample"
        return Finding("draw", True, math.nan, detail)
    if bits != list(bits_of(again)):
        return _wrong("draw", "differs between equal rngs; take all randomness from the rng given")
    return Finding("draw", True, 0.0, "a function of its rng")


def _projection(problem: Problem, level: str, places: list[Arguments]) -> Finding:
    name = f"project_{level}"
    project = getattr(problem, name)
    given = [problem.start()["xy".index(level)], *(getattr(place, level) for place in places)]
    projected = [project(x.copy()) for x in given]
    for x, p in zip(given, projected, strict=True):
        if np.shape(p) != np.shape(x):
            return _wrong(name, f"returns shape {np.shape(p)}, not {np.shape(x)}")
    twice = np.stack([float64(project(p)) for p in projected])
    before, after = (np.stack([float64(x) for x in rows]) for rows in (given, projected))
    slack = np.finfo(given[0].dtype).eps ** SYMMETRY_POWER * (1 + np.abs(before).max())
    if np.abs(twice - after).max() > slack:
        return _wrong(name, "moves its own points: not a projection")
    if np.abs(after[0] - before[0]).max() > slack:
        return _wrong(name, "moves the start, which must be in the set")
    if (_distances(after) > _distances(before) + slack).any():
        return _wrong(name, "brings points further apart: not the nearest point of a convex set")
    detail = "leaves its own points and the start, brings none further apart"
    return Finding(name, True, 0.0, detail)


def _distances(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)


def _oracle(
    problem: Problem, name: str, places: list[Arguments], rng: np.random.Generator
) -> Iterator[Finding]:
    """The findings about one oracle."""
    if getattr(problem, name, None) is None:
        yield Finding(name, True, math.nan, "missing")
        return
    finding = _guarded(name, lambda: _contract(problem, name, places))
    if finding.ok and name in DERIVATIVE_OF:
        finding = _derivative(problem, name, places, rng)
    yield finding
    if name == "g_yy" and not finding.detail.startswith("raised"):
        yield _guarded("g_yy symmetric", lambda: _symmetry(problem, places))


def _contract(problem: Problem, name: str, places: list[Arguments]) -> Finding:
    for place in places:
        breach = _breach(problem, name, place)
        if breach:
            return _wrong(name, f"{breach} ({_batch(place)})")
    return Finding(name, True, 0.0, "finite, repeatable")


def _derivative(
    problem: Problem, name: str, places: list[Arguments], rng: np.random.Generator
) -> Finding:
    source, variable = DERIVATIVE_OF[name]
    if getattr(problem, source, None) is None:
        return Finding(name, True, math.nan, f"not compared: {source} is missing")

    def compare() -> Finding:
        errors = [(_difference_error(problem, name, place, rng), place) for place in places]
        return _worst(name, f"differences of {source} in {variable}", TOLERANCE_POWER, errors)

    return _guarded(name, compare)


def _symmetry(problem: Problem, places: list[Arguments]) -> Finding:
    errors = [(_asymmetry(problem, place), place) for place in places]
    return _worst("g_yy symmetric", "<u, g_yy v> = <v, g_yy u>", SYMMETRY_POWER, errors)


def _worst(name: str, detail: str, power: float, errors: list[tuple[float, Arguments]]) -> Finding:
    """The finding of the largest error; the tolerance is that power of the rounding unit."""
    # NaN counts as the largest error; for max it would be neither larger nor smaller.
    error, place = max(errors, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0])
    ok = bool(error < np.finfo(place.x.dtype).eps ** power)
    error = error if math.isfinite(error) else math.inf
    return Finding(name, ok, error, detail if ok else f"{detail} ({_batch(place)})")


def _breach(problem: Problem, name: str, place: Arguments) -> str:
    """The rule that the oracle breaks there, in words; "" for none."""
    arguments = place.of(name)
    before = list(bits_of(arguments))
    first = place.call(problem, name)
    bits = list(bits_of(first))
    # A call elsewhere, which must not overwrite the first answer.
    elsewhere = replace(place, x=place.x + START_DISTANCE, y=place.y - START_DISTANCE, v=place.u)
    elsewhere.call(problem, name)
    is_kept = bits == list(bits_of(first))
    again = place.call(problem, name)
    if before != list(bits_of(arguments)):
        return "modifies its arguments"
    if name in DERIVATIVE_OF:
        shape = (place.x if name.endswith(("_x", "_xy")) else place.y).shape
        if getattr(first, "shape", None) != shape:
            return f"returns shape {getattr(first, 'shape', type(first).__name__)}, not {shape}"
        if first.dtype != place.x.dtype:
            return f"returns {first.dtype} for {place.x.dtype} arguments"
        if not is_kept or any(first is part for part in arguments):
            return "returns an array that is not new; a later call or the caller may overwrite it"
    elif np.ndim(float64(first)) != 0:
        return f"returns shape {first.shape}, not a float"
    if not np.isfinite(float64(first)).all():
        return "returns a value that is not finite"
    return "" if bits == list(bits_of(again)) else "returns other bits when called again"


def _difference_error(
    problem: Problem, name: str, place: Arguments, rng: np.random.Generator
) -> float:
    """The error along a random direction, for the better of the steps."""
    _, variable = DERIVATIVE_OF[name]
    direction = rng.standard_normal(getattr(place, variable).size)
    direction /= np.linalg.norm(direction)
    found = quotients(problem, name, place, direction, STEP_POWERS)
    return min(abs(quotient.mismatch) for quotient in found)


def _asymmetry(problem: Problem, place: Arguments) -> float:
    u, v = float64(place.u), float64(place.v)
    Hv, Hu = (float64(replace(place, v=part).call(problem, "g_yy")) for part in (place.v, place.u))
    size = np.linalg.norm(u) * np.linalg.norm(Hv) + np.linalg.norm(v) * np.linalg.norm(Hu)
    return abs(float(u @ Hv - v @ Hu)) / max(float(size), 1e-300)


def _batch(place: Arguments) -> str:
    return "full batch" if place.sample is None else "drawn sample"

"""Checks at the start of a run, which refuse what a few calls show to be wrong.

All agents are asked three times for what the method needs: near the start, at the start, and near
the start again, at the same draw made again. The first agent of each rank is compared with
difference quotients. Refused is only what is certainly wrong; what may have another reason is a
warning.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .._text import first_nonempty
from .._types import Array, Float
from .._warning import warn
from ..errors import UserError
from ..parallel import Agents, agreed, host
from .answer_checks import OPT_OUT, AnswerChecks, Answers, Point, Refusal
from .checks import Finding
from .differences import (
    DERIVATIVE_OF,
    TOLERANCE_POWER,
    Arguments,
    Quotient,
    quotients,
)
from .oracle import Oracle
from .probing import probe

STEP_POWERS = (1 / 3, 0.45, 0.57)
"""The steps of difference quotients, as powers of the rounding unit."""
MIN_CONTRADICTION = 10
"""Quotients contradict an oracle where their errors exceed this many times the spread of these
errors."""


def check_start(
    oracle: Oracle,
    needs: Iterable[str],
    x: Float[np.ndarray, " p"],
    y: Float[np.ndarray, " q"],
    losses: Mapping[str, Float[np.ndarray, " m"]],
) -> None:
    """Refuse, on all ranks, a problem that breaks a rule that a run relies on; collective.

    Parameters
    ----------
    oracle : Oracle
        The agents of this rank; its counts do not change.
    needs : iterable of str
        The oracles that the method calls.
    x, y : (p,) and (q,) arrays
        The start.
    losses : dict of str to (m,) array
        f and g of this rank's agents there, on their full batch, as far as they are defined.

    Raises
    ------
    UserError
        A rule is certainly broken; where it may be, rank 0 warns.
    """
    with agreed(oracle.agents.comm), np.errstate(all="ignore"):
        doubts = list(_Checks(oracle.twin(), list(needs), x, y).doubts(losses))
    found = oracle.agents.allgather_text(doubts[0] if doubts else "")
    doubt = first_nonempty(found)
    if doubt and oracle.agents.rank == 0:
        warn(f"{doubt} (see: mpidbo check)")


def check_agents(problems: list[Any]) -> Finding:
    """Check all agents of a problem, as a run of a method that needs all oracles would.

    Parameters
    ----------
    problems : list of Problem
        The agents.

    Returns
    -------
    Finding
        The first mistake or doubt, if there is one.
    """
    oracle = Oracle(problems, Agents(len(problems)))
    x, y = (np.array(host(part), oracle.dtype) for part in problems[0].start())
    needs = [
        name
        for name in DERIVATIVE_OF
        if all(getattr(problem, name, None) is not None for problem in problems)
    ]
    try:
        with np.errstate(all="ignore"):
            losses = probe(oracle, needs, x, y)
            doubts = list(_Checks(oracle, needs, x, y).doubts(losses))
    except UserError as error:
        return Finding("all agents", False, math.nan, str(error).replace(f"; {OPT_OUT}", ""))
    detail = doubts[0] if doubts else f"the start of a run, {len(problems)} agents"
    return Finding("all agents", True, 0.0, detail)


class _Checks(AnswerChecks):
    """All checks of one rank's agents."""

    def doubts(self, losses: Mapping[str, Array]) -> Iterator[str]:
        """Yield what may be wrong; raise Refusal for what is."""
        self.check_data()
        (x, y), along = self.near_start()
        start, near = (self.x, self.y, self.normal(self.y.size)), (x, y)
        near_answers: Answers = {}
        try:
            near_answers = self.answers((*near, start[2]), self.needs)
        except Refusal:
            raise
        except Exception:  # near the start may be outside of a domain
            pass
        if near_answers and all(np.isfinite(rows).all() for rows in near_answers.values()):
            at, first = (*near, start[2]), near_answers
        else:
            at, first = start, self.answers(start, self.needs)
        samples = self.sample.samples
        yield from self.check_finite(losses, self.answers(start, self.needs), near_answers)
        yield from self.check_repeatable(at, first, samples)
        if at is not start:
            yield from self.check_derivatives(at, along)

    def check_derivatives(self, near: Point, along: Mapping[str, Array]) -> Iterator[str]:
        """Compare each gradient of the first agent with its loss, and each product with g_y.

        Each loss is called twice.
        """
        x, y, v = map(self.oracle.backend.array, near)
        place = Arguments(x, y, v, v, self.sample.samples[0])
        needed = [
            name
            for name in self.needs
            if getattr(self.problems[0], DERIVATIVE_OF[name][0], None) is not None
        ]
        for loss in sorted({DERIVATIVE_OF[name][0] for name in needed} & {"f", "g"}):
            self.check_loss(loss, place)
        for name in needed:
            if self.contradiction(name, place, along):
                yield from self.judge(name, place, along)

    def check_loss(self, loss: str, place: Arguments) -> None:
        """A loss must leave its arguments as they are, and have one value."""
        before = [host(part).copy() for part in (place.x, place.y)]
        try:
            a, b = (float(place.call(self.problems[0], loss)) for _ in range(2))
        except Exception:  # a run calls losses at the full batch only
            return
        for letter, part, was in zip("xy", (place.x, place.y), before, strict=True):
            if not np.array_equal(host(part), was):
                raise self.in_place(loss, letter, 0)
        if np.isfinite((a, b)).all() and abs(a - b) > self.rounding * abs(a):
            raise self.random(loss)

    def contradiction(
        self, name: str, place: Arguments, along: Mapping[str, Array]
    ) -> Quotient | None:
        """A quotient, if those of all steps agree that this oracle is wrong.

        Kinks and rounding make them disagree.
        """
        _, variable = DERIVATIVE_OF[name]
        found: list[Quotient] = []
        try:
            for quotient in quotients(self.problems[0], name, place, along[variable], STEP_POWERS):
                is_right = not abs(quotient.mismatch) > self.eps**TOLERANCE_POWER
                if is_right or abs(quotient.difference) < self.min_difference:
                    return None
                found.append(quotient)
        except Exception:  # outside of a domain, or no oracle of this sample
            return None
        errors = [quotient.mismatch for quotient in found]
        spread = max(errors) - min(errors)
        is_clear = MIN_CONTRADICTION * spread < min(map(abs, errors))
        return found[0] if is_clear else None

    def judge(self, name: str, place: Arguments, along: Mapping[str, Array]) -> Iterator[str]:
        """Refuse an oracle that quotients contradict at two points, and at the full batch too."""
        problem, (source, variable) = self.problems[0], DERIVATIVE_OF[name]
        (x, y), other = self.near_start()
        elsewhere = replace(place, x=self.oracle.backend.array(x), y=self.oracle.backend.array(y))
        quotient = self.contradiction(name, elsewhere, other)
        if not quotient:
            return
        message = (
            f"{self.where(name)} does not return the derivative of {source} in {variable}: along a "
            f"direction it gives {quotient.product:.3g}, where a difference of {source} is "
            f"{quotient.difference:.3g}"
        )
        full = replace(place, sample=None)
        if place.sample is None or self.contradiction(name, full, along):
            raise Refusal(f"{message}; fix one of them (see: mpidbo check); {OPT_OUT}")
        # A loss that ignores samples says nothing about an oracle that uses them.
        uses_sample = source == "g_y" or (
            float(place.call(problem, source)) != float(full.call(problem, source))
        )
        if uses_sample:
            yield f"{message}, at a drawn sample"
